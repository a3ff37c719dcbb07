using System.Diagnostics.CodeAnalysis;

namespace Backup.Planning;

/// <summary>
/// Five cron fields, read as Vixie cron reads them: names, lists, ranges, steps, Sunday as 0 or 7, <c>@daily</c> and its like. When both the
/// day of month and the day of week are restricted, a day that satisfies either one matches; a field that begins with <c>*</c> is no
/// restriction in this sense. Knows calendar days and local times only; <see cref="CronSchedule"/> adds the zone.
/// </summary>
/// <remarks>
/// Parsed here rather than by a library because the allowed values themselves are needed: to search backwards for retention slots, and to
/// write the same schedule as a systemd calendar.
/// </remarks>
public sealed record CronExpression(string Text, CronField Minute, CronField Hour, CronField Day, CronField Month, CronField Weekday)
{
    // 29 February on a given weekday can be 40 years away when a century year without leap day lies between.
    private const int SearchYears = 41;

    private static readonly Dictionary<string, string> Shorthands = new(StringComparer.OrdinalIgnoreCase)
    {
        ["@hourly"] = "0 * * * *",
        ["@daily"] = "0 0 * * *",
        ["@midnight"] = "0 0 * * *",
        ["@weekly"] = "0 0 * * 0",
        ["@monthly"] = "0 0 1 * *",
        ["@yearly"] = "0 0 1 1 *",
        ["@annually"] = "0 0 1 1 *",
    };

    /// <summary>A day matches by either day field, not by both.</summary>
    public bool EitherDay => !Day.Star && !Weekday.Star;

    /// <exception cref="FormatException">With the problem in the user's words.</exception>
    public static CronExpression Parse(string text)
    {
        string trimmed = text.Trim();
        string[] fields = Shorthands.GetValueOrDefault(trimmed, trimmed).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        if (fields is ["@reboot"]) throw new FormatException("@reboot is not a time");
        if (fields.Length != 5)
            throw new FormatException($"\"{text}\" has {fields.Length} {(fields.Length == 1 ? "field" : "fields")} instead of five: minute hour day month weekday");
        var cron = new CronExpression(text, CronField.Minute(fields[0]), CronField.Hour(fields[1]), CronField.Day(fields[2]),
            CronField.Month(fields[3]), CronField.Weekday(fields[4]));
        if (cron.After(new DateTime(2000, 1, 1)) is null) throw new FormatException($"\"{text}\" never comes: no such day exists");
        return cron;
    }

    public static bool TryParse(string text, [NotNullWhen(true)] out CronExpression? cron, [NotNullWhen(false)] out string? problem)
    {
        try
        {
            (cron, problem) = (Parse(text), null);
            return true;
        }
        catch (FormatException e)
        {
            (cron, problem) = (null, e.Message);
            return false;
        }
    }

    /// <summary>The first local time after <paramref name="local"/>; null when there is none within the calendar.</summary>
    public DateTime? After(DateTime local)
    {
        DateTime from = Floor(local).AddMinutes(1);
        int last = Math.Min(from.Year + SearchYears, DateTime.MaxValue.Year - 1);
        for (DateTime day = from.Date; day.Year <= last;)
        {
            if (!Month.Allows(day.Month)) { day = new DateTime(day.Year, day.Month, 1).AddMonths(1); continue; }
            if (Matches(day))
                for (int hour = day == from.Date ? from.Hour : 0; hour < 24; hour++)
                    if (Hour.Allows(hour))
                        for (int minute = day == from.Date && hour == from.Hour ? from.Minute : 0; minute < 60; minute++)
                            if (Minute.Allows(minute)) return day.AddHours(hour).AddMinutes(minute);
            day = day.AddDays(1);
        }
        return null;
    }

    /// <summary>The last local time at or before <paramref name="local"/>; null when there is none within the calendar.</summary>
    public DateTime? AtOrBefore(DateTime local)
    {
        DateTime from = Floor(local);
        int first = Math.Max(from.Year - SearchYears, 2);
        for (DateTime day = from.Date; day.Year >= first;)
        {
            if (!Month.Allows(day.Month)) { day = new DateTime(day.Year, day.Month, 1).AddDays(-1); continue; }
            if (Matches(day))
                for (int hour = day == from.Date ? from.Hour : 23; hour >= 0; hour--)
                    if (Hour.Allows(hour))
                        for (int minute = day == from.Date && hour == from.Hour ? from.Minute : 59; minute >= 0; minute--)
                            if (Minute.Allows(minute)) return day.AddHours(hour).AddMinutes(minute);
            day = day.AddDays(-1);
        }
        return null;
    }

    private bool Matches(DateTime day)
    {
        bool date = Day.Allows(day.Day), weekday = Weekday.Allows((int)day.DayOfWeek);
        return EitherDay ? date || weekday : date && weekday;
    }

    private static DateTime Floor(DateTime local) => new(local.Year, local.Month, local.Day, local.Hour, local.Minute, 0);
}
