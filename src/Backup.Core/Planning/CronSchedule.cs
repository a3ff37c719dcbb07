namespace Backup.Planning;

/// <summary>
/// A cron expression in a time zone. A local time that the clocks skip comes at the first instant after the gap, once; a local time
/// that they show twice comes once, the first time.
/// </summary>
public sealed class CronSchedule(CronExpression expression, TimeZoneInfo zone)
{
    public CronExpression Expression { get; } = expression;
    public TimeZoneInfo Zone { get; } = zone;

    /// <exception cref="FormatException">With the problem in the user's words.</exception>
    public static CronSchedule Parse(string cron, TimeZoneInfo zone) => new(CronExpression.Parse(cron), zone);

    /// <summary>The first occurrence after an instant, in the zone's offset.</summary>
    public DateTimeOffset Next(DateTimeOffset after)
    {
        DateTime local = Local(after);
        while (true)
        {
            local = Expression.After(local) ?? throw Nothing(after);
            DateTimeOffset instant = Instant(local);
            if (instant > after) return instant;
        }
    }

    /// <summary>The last occurrence at or before an instant, in the zone's offset: the slot in which the instant lies.</summary>
    public DateTimeOffset AtOrBefore(DateTimeOffset instant)
    {
        DateTime local = Local(instant);
        // In the second pass of a repeated hour the whole first pass has been, also its local times that still lie ahead on the clock.
        if (Zone.IsAmbiguousTime(local))
        {
            TimeSpan[] offsets = Zone.GetAmbiguousTimeOffsets(local);
            if (Zone.GetUtcOffset(instant) == offsets.Min()) local += offsets.Max() - offsets.Min();
        }
        while (true)
        {
            local = Expression.AtOrBefore(local) ?? throw Nothing(instant);
            DateTimeOffset found = Instant(local);
            if (found <= instant) return found;
            local = local.AddMinutes(-1);
        }
    }

    /// <summary>The slot in which an instant lies; see <see cref="AtOrBefore"/>.</summary>
    public DateTimeOffset SlotOf(DateTimeOffset instant) => AtOrBefore(instant);

    /// <summary>The last occurrence before an instant.</summary>
    public DateTimeOffset Previous(DateTimeOffset before) => AtOrBefore(before.AddTicks(-1));

    private DateTime Local(DateTimeOffset instant) => DateTime.SpecifyKind(TimeZoneInfo.ConvertTime(instant, Zone).DateTime, DateTimeKind.Unspecified);

    private DateTimeOffset Instant(DateTime local)
    {
        if (Zone.IsInvalidTime(local))
        {
            DateTime valid = local;
            while (Zone.IsInvalidTime(valid)) valid = valid.AddMinutes(-1);
            DateTimeOffset gapEnd = new DateTimeOffset(valid, Zone.GetUtcOffset(valid)).AddMinutes(1);
            return TimeZoneInfo.ConvertTime(gapEnd, Zone);
        }
        return new DateTimeOffset(local, Zone.IsAmbiguousTime(local) ? Zone.GetAmbiguousTimeOffsets(local).Max() : Zone.GetUtcOffset(local));
    }

    private InvalidOperationException Nothing(DateTimeOffset near) => new($"\"{Expression.Text}\" has no occurrence near {near:O}");
}
