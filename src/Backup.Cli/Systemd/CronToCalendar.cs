using Backup.Planning;

namespace Backup.Cli.Systemd;

/// <summary>The same times in the words of systemd.time(7).</summary>
internal static class CronToCalendar
{
    private static readonly string[] Days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

    /// <summary>
    /// One or two values of <c>OnCalendar=</c>: cron joins its two day fields by OR when both are restricted, systemd joins them by AND, so
    /// that each gets its own line. Where the clocks skip a time, systemd skips the day, while cron's reading of this program runs after the gap.
    /// </summary>
    /// <exception cref="FormatException">Not a cron expression.</exception>
    internal static IReadOnlyList<string> Translate(string cron, TimeZoneInfo zone)
    {
        CronExpression e = CronExpression.Parse(cron);
        string time = $"{List(e.Hour)}:{List(e.Minute)}:00{Zone(zone)}";
        string day = $"*-{List(e.Month)}-{List(e.Day)} {time}", anyDay = $"*-{List(e.Month)}-* {time}";
        if (e.EitherDay && !e.Day.Full && !e.Weekday.Full) return [day, $"{Weekdays(e.Weekday)} {anyDay}"];
        if (e.EitherDay || e.Weekday.Full) return [e.EitherDay ? anyDay : day];
        return [$"{Weekdays(e.Weekday)} {day}"];
    }

    // A zone without a name of its own is the host's, which is what systemd means when none is given.
    private static string Zone(TimeZoneInfo zone) => zone.Id is "UTC" or "Etc/UTC" ? " UTC" : zone.HasIanaId ? " " + zone.Id : "";

    private static string List(CronField field)
    {
        if (field.Full) return "*";
        List<int> values = [.. field.Values];
        int step = values.Count > 2 ? values[1] - values[0] : 0;
        bool even = step > 1 && values.Zip(values.Skip(1)).All(p => p.Second - p.First == step) && values[^1] + step > field.Maximum;
        return even ? $"{values[0]:D2}/{step}" : Runs(values, v => v.ToString("D2"));
    }

    private static string Weekdays(CronField field) =>
        Runs([.. field.Values.Select(v => v == 0 ? 7 : v).Order()], v => Days[v - 1]);

    private static string Runs(List<int> values, Func<int, string> write)
    {
        var parts = new List<string>();
        for (int i = 0; i < values.Count;)
        {
            int end = i;
            while (end + 1 < values.Count && values[end + 1] == values[end] + 1) end++;
            if (end - i >= 2)
            {
                parts.Add($"{write(values[i])}..{write(values[end])}");
                i = end + 1;
            }
            else parts.Add(write(values[i++]));
        }
        return string.Join(",", parts);
    }
}
