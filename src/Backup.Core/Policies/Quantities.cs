using System.Globalization;
using System.Text.RegularExpressions;

namespace Backup.Policies;

/// <summary>Spans, durations and sizes as people write them. Each returns null for what is none.</summary>
internal static partial class Quantities
{
    internal const string SpanExamples = "36h, 14d, 8w, 12mo or 2y";

    // Longer ones leave the calendar when they are subtracted from a date.
    private const int MostYears = 1000;

    [GeneratedRegex(@"^(?:(\d{1,6})\s*(h|d|w|mo|y)\s*)+$", RegexOptions.CultureInvariant)]
    private static partial Regex SpanForm();

    [GeneratedRegex(@"^(\d{1,6})\s*(ms|s|m|min|h)$", RegexOptions.CultureInvariant)]
    private static partial Regex DurationForm();

    [GeneratedRegex(@"^(\d{1,15})\s*(B|[KMGT]i?B?)?$", RegexOptions.CultureInvariant | RegexOptions.IgnoreCase)]
    private static partial Regex SizeForm();

    /// <summary>14d, 8w, 12mo, 2y, 36h, also 1y6mo. Zero is none.</summary>
    internal static CalendarSpan? Span(string text)
    {
        Match match = SpanForm().Match(text.Trim());
        if (!match.Success) return null;
        long months = 0, hours = 0;
        for (int i = 0; i < match.Groups[1].Captures.Count; i++)
        {
            long number = long.Parse(match.Groups[1].Captures[i].Value, CultureInfo.InvariantCulture);
            switch (match.Groups[2].Captures[i].Value)
            {
                case "h": hours += number; break;
                case "d": hours += number * 24; break;
                case "w": hours += number * 24 * 7; break;
                case "mo": months += number; break;
                default: months += number * 12; break;
            }
        }
        if (months + hours == 0 || months > MostYears * 12 || hours > MostYears * 365L * 24) return null;
        return new CalendarSpan(text.Trim(), (int)months, TimeSpan.FromHours(hours));
    }

    /// <summary>30s, 5m, 1h, 500ms.</summary>
    internal static TimeSpan? Duration(string text)
    {
        Match match = DurationForm().Match(text.Trim());
        if (!match.Success) return null;
        long number = long.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture);
        return match.Groups[2].Value switch
        {
            "ms" => TimeSpan.FromMilliseconds(number),
            "s" => TimeSpan.FromSeconds(number),
            "h" => TimeSpan.FromHours(number),
            _ => TimeSpan.FromMinutes(number),
        };
    }

    /// <summary>Bytes of 16MiB, 16M (the same), 16MB (decimal), 16777216.</summary>
    internal static long? Size(string text)
    {
        Match match = SizeForm().Match(text.Trim());
        if (!match.Success) return null;
        string unit = match.Groups[2].Value.ToUpperInvariant();
        int power = unit.Length == 0 ? 0 : "BKMGT".IndexOf(unit[0]);
        decimal bytes = decimal.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture);
        for (int i = 0; i < power; i++) bytes *= unit.Length == 2 ? 1000 : 1024;
        return bytes <= long.MaxValue ? (long)bytes : null;
    }
}
