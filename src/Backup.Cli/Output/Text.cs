using System.Globalization;
using System.Text;

namespace Backup.Cli.Output;

/// <summary>Numbers, times and names as people read them.</summary>
internal static class Text
{
    private static readonly string[] SizeUnits = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

    /// <summary><c>512 B</c>, <c>1.2 KiB</c>, <c>120 MiB</c>.</summary>
    public static string Size(long bytes)
    {
        double value = bytes;
        int unit = 0;
        while (value >= 1023.95 && unit < SizeUnits.Length - 1)
        {
            value /= 1024;
            unit++;
        }
        string format = unit == 0 || value >= 99.95 ? "0" : "0.0";
        return string.Create(CultureInfo.InvariantCulture, $"{value.ToString(format, CultureInfo.InvariantCulture)} {SizeUnits[unit]}");
    }

    /// <summary><c>0.8 s</c>, <c>12 s</c>, <c>3 min 20 s</c>, <c>1 h 04 min</c>.</summary>
    public static string Duration(double seconds)
    {
        if (seconds < 9.95) return seconds.ToString("0.0", CultureInfo.InvariantCulture) + " s";
        long whole = (long)Math.Round(seconds);
        if (whole < 60) return $"{whole} s";
        if (whole < 3600) return $"{whole / 60} min {whole % 60:00} s";
        return $"{whole / 3600} h {whole % 3600 / 60:00} min";
    }

    /// <summary><c>40 s</c>, <c>12 min</c>, <c>26 h</c>, <c>3 d</c>.</summary>
    public static string Age(TimeSpan age) => age switch
    {
        { Ticks: < 0 } => "in the future",
        { TotalSeconds: < 60 } => $"{(long)age.TotalSeconds} s",
        { TotalMinutes: < 120 } => $"{(long)age.TotalMinutes} min",
        { TotalHours: < 72 } => $"{(long)age.TotalHours} h",
        _ => $"{(long)age.TotalDays} d",
    };

    /// <summary>In the zone of the reader, to the second.</summary>
    public static string Time(DateTimeOffset time, TimeZoneInfo zone) =>
        TimeZoneInfo.ConvertTime(time, zone).ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture);

    /// <summary>The heading over a column of such times, such as <c>TAKEN (UTC+08:00)</c>.</summary>
    public static string TimeHeading(string name, TimeZoneInfo zone, DateTimeOffset now)
    {
        TimeSpan offset = zone.GetUtcOffset(now);
        string sign = offset < TimeSpan.Zero ? "-" : "+";
        return offset == TimeSpan.Zero ? $"{name} (UTC)" : $"{name} (UTC{sign}{offset:hh\\:mm})";
    }

    /// <summary>The first eight characters, which suffice to name a snapshot in practice.</summary>
    public static string ShortId(string id) => id.Length > 8 ? id[..8] : id;

    /// <summary><c>1 volume</c>, <c>3 volumes</c>.</summary>
    public static string Count(long count, string noun) =>
        count == 1 ? $"1 {noun}" : $"{count.ToString("#,0", CultureInfo.InvariantCulture)} {noun}s";

    /// <summary>Control characters of a name made visible, so that a file name cannot drive the terminal.</summary>
    public static string Plain(string name)
    {
        if (!name.Any(char.IsControl)) return name;
        var text = new StringBuilder();
        foreach (char c in name)
            text.Append(c switch
            {
                '\n' => @"\n",
                '\r' => @"\r",
                '\t' => @"\t",
                _ when char.IsControl(c) => $@"\x{(int)c:x2}",
                _ => c.ToString(),
            });
        return text.ToString();
    }
}
