using System.Globalization;
using Backup.Policies;
using Backup.Snapshots;

namespace Backup.Planning;

/// <summary>Which snapshots of one volume stay, each with its reasons. A pure function of what exists, the policy and the time.</summary>
public static class Retention
{
    /// <summary>
    /// Decides for every snapshot, newest first. The newest always stays, so a volume is never emptied; a snapshot dated after
    /// <paramref name="now"/> stays too and takes no other's place, because a wrong clock must not push good snapshots out.
    /// </summary>
    /// <param name="snapshots">Of one volume of one environment, in any order.</param>
    /// <param name="policy">Null keeps everything.</param>
    /// <param name="zone">In which the cron slots are read.</param>
    public static IReadOnlyList<RetentionDecision> Decide(
        IReadOnlyList<Snapshot> snapshots, RetentionPolicy? policy, TimeZoneInfo zone, DateTimeOffset now)
    {
        List<Snapshot> newestFirst = [.. snapshots.OrderByDescending(s => s.TakenAt).ThenBy(s => s.Id, StringComparer.Ordinal)];
        if (policy is null) return [.. newestFirst.Select(s => new RetentionDecision(s, true, ["no retention in the policy"]))];

        List<Snapshot> past = [.. newestFirst.Where(s => s.TakenAt <= now)];
        List<SlotVerdicts> slots = [.. policy.Keep.Select(slot => new SlotVerdicts(slot, past, zone, now))];
        return
        [
            .. newestFirst.Take(newestFirst.Count - past.Count)
                .Select(s => new RetentionDecision(s, true, ["dated in the future: the clock was or is wrong"])),
            .. past.Select((s, position) => Decide(s, position, policy, slots)),
        ];
    }

    private static RetentionDecision Decide(Snapshot snapshot, int position, RetentionPolicy policy, List<SlotVerdicts> slots)
    {
        var keep = new List<string>();
        if (position < policy.KeepLast) keep.Add($"last {policy.KeepLast}");
        keep.AddRange(slots.Select(s => s.Keeps(snapshot)).OfType<string>());
        if (keep.Count == 0 && position < policy.Minimum) keep.Add($"minimum {policy.Minimum}");
        if (keep.Count == 0 && position == 0) keep.Add("the newest is never removed");
        if (keep.Count > 0) return new RetentionDecision(snapshot, true, keep);

        List<string> refusals = [.. slots.Select(s => s.Refuses(snapshot))];
        if (policy.KeepLast > 0) refusals.Insert(0, $"not among the last {policy.KeepLast}");
        bool old = slots.Count > 0 && slots.All(s => s.Outlived(snapshot));
        return new RetentionDecision(snapshot, false, old ? ["older than every rule"] : refusals.Count > 0 ? refusals : ["no rule keeps it"]);
    }

    /// <summary>What one slot rule says of every snapshot.</summary>
    private sealed class SlotVerdicts
    {
        private readonly RetentionSlot _slot;
        private readonly string _period;
        private readonly string _rule;
        private readonly Dictionary<Snapshot, DateTimeOffset> _slotOf = new(ReferenceEqualityComparer.Instance);
        private readonly HashSet<Snapshot> _kept = new(ReferenceEqualityComparer.Instance);
        private readonly HashSet<Snapshot> _outlived = new(ReferenceEqualityComparer.Instance);

        internal SlotVerdicts(RetentionSlot slot, List<Snapshot> newestFirst, TimeZoneInfo zone, DateTimeOffset now)
        {
            _slot = slot;
            CronSchedule schedule = CronSchedule.Parse(slot.Cron, zone);
            _period = Period(schedule.Expression);
            _rule = $"({slot.Cron}{(slot.For is null ? "" : $", {slot.For.Text}")}{(slot.Count is null ? "" : $", {slot.Count} slots")})";
            DateTimeOffset? limit = slot.For?.Before(now);
            int filled = 0;
            DateTimeOffset? current = null;
            foreach (Snapshot snapshot in newestFirst)
            {
                DateTimeOffset its = schedule.SlotOf(snapshot.TakenAt);
                _slotOf[snapshot] = its;
                bool first = its != current;
                if (first) (current, filled) = (its, filled + 1);
                if (snapshot.TakenAt < limit || filled > slot.Count) _outlived.Add(snapshot);
                else if (first) _kept.Add(snapshot);
            }
        }

        internal string? Keeps(Snapshot snapshot) => _kept.Contains(snapshot) ? $"{_period} {Name(snapshot)} {_rule}" : null;

        internal bool Outlived(Snapshot snapshot) => _outlived.Contains(snapshot);

        internal string Refuses(Snapshot snapshot) => Outlived(snapshot)
            ? _slot.For is { } span ? $"older than {span.Text} ({_slot.Cron})" : $"beyond {_slot.Count} slots ({_slot.Cron})"
            : $"{_period} {Name(snapshot)} has a newer one ({_slot.Cron})";

        private string Name(Snapshot snapshot)
        {
            DateTimeOffset slot = _slotOf[snapshot];
            return slot.ToString(slot.TimeOfDay == TimeSpan.Zero && _period != "hourly slot" ? "yyyy-MM-dd" : "yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture);
        }

        private static string Period(CronExpression cron)
        {
            bool Single(CronField field) => field.Values.Count() == 1;
            if (!Single(cron.Minute)) return "slot";
            if (cron is { Hour.Full: true, Day.Full: true, Month.Full: true, Weekday.Full: true }) return "hourly slot";
            if (!Single(cron.Hour)) return "slot";
            return (cron.Day, cron.Month, cron.Weekday) switch
            {
                ({ Full: true }, { Full: true }, { Full: true }) => "daily slot",
                ({ Full: true }, { Full: true }, var week) when Single(week) => "weekly slot",
                (var day, { Full: true }, { Full: true }) when Single(day) => "monthly slot",
                (var day, var month, { Full: true }) when Single(day) && Single(month) => "yearly slot",
                _ => "slot",
            };
        }
    }
}
