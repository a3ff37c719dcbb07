using Backup.Environments;
using Backup.Planning;
using Backup.Policies;
using Backup.Snapshots;

namespace Backup.Running;

/// <summary>How long containers were held for a volume's snapshots.</summary>
/// <param name="LastSeconds">The newest.</param>
/// <param name="MedianSeconds">Of the newest ten.</param>
/// <param name="WorstSeconds">Of all that are kept.</param>
public sealed record DowntimeTrend(double LastSeconds, double MedianSeconds, double WorstSeconds)
{
    private const int Recent = 10;

    /// <param name="snapshots">At least one, newest first.</param>
    internal static DowntimeTrend Of(IReadOnlyList<Snapshot> snapshots)
    {
        double[] recent = [.. snapshots.Take(Recent).Select(s => s.DowntimeSeconds).Order()];
        double median = (recent[(recent.Length - 1) / 2] + recent[recent.Length / 2]) / 2;
        return new DowntimeTrend(snapshots[0].DowntimeSeconds, median, snapshots.Max(s => s.DowntimeSeconds));
    }
}

/// <param name="LastSnapshot">Id of the newest snapshot; null = there is none.</param>
/// <param name="Due">When the next one is due by the schedule; null without a schedule.</param>
public sealed record VolumeStatus(
    string Environment, string Volume, string? LastSnapshot, DateTimeOffset? TakenAt, double? AgeSeconds, DateTimeOffset? Due, bool Overdue)
{
    /// <summary>Null when there is no snapshot.</summary>
    public DowntimeTrend? Downtime { get; init; }
}

public sealed record StatusReport(IReadOnlyList<VolumeStatus> Volumes, IReadOnlyList<RunFailure> Failures)
{
    public bool Ok => Failures.Count == 0 && Volumes.All(v => !v.Overdue);
}

/// <summary>Per volume that the policy selects: its last good snapshot, its age, and whether the next one is overdue.</summary>
public sealed class StatusQuery(RunContext context, Backends backends)
{
    /// <summary>A timer is delayed at random and a run takes its time; only later than this is late.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromHours(1);

    /// <param name="maxAge">Older than this is overdue, whatever the schedule; null = by the schedule.</param>
    public async Task<StatusReport> RunAsync(IReadOnlyList<string> environments, TimeSpan? maxAge, CancellationToken cancel)
    {
        var volumes = new List<VolumeStatus>();
        var failures = new List<RunFailure>();
        foreach (EnvironmentPolicy policy in await backends.SelectAsync(environments, cancel))
        {
            var known = new List<Snapshot>();
            foreach (string store in Backends.StoresOf(policy))
            {
                try
                {
                    SnapshotList list = await backends.Store(store).ListAsync(policy.Name, null, cancel);
                    known.AddRange(list.Snapshots);
                    failures.AddRange(list.Damaged.Select(d => BackupRun.DamagedFailure(policy.Name, d)));
                }
                catch (BackupException e) when (e.Kind == FailureKind.Failed)
                {
                    failures.Add(Blame.Failure(policy.Name, null, e, "store"));
                }
            }

            IReadOnlyList<string> expected;
            try
            {
                Inventory inventory = await backends.Environment(policy.Name).InspectAsync(cancel);
                BackupPlan plan = Planner.Plan(policy, inventory, known, null);
                expected = [.. plan.Volumes.Select(v => v.Source).Concat(plan.Missing).Concat(plan.Dumps.Select(d => d.Source)).Concat(plan.Refused.Select(r => r.Source))
                    .Distinct().Order().Select(s => s.ToString())];
            }
            catch (BackupException e) when (e.Kind == FailureKind.Failed)
            {
                failures.Add(Blame.Failure(policy.Name, null, e));
                expected = [.. known.Select(s => s.Volume).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
            }
            volumes.AddRange(expected.Select(volume => Status(policy, volume, known, maxAge)));
        }
        return new StatusReport(volumes, failures);
    }

    private VolumeStatus Status(EnvironmentPolicy policy, string volume, IReadOnlyList<Snapshot> known, TimeSpan? maxAge)
    {
        List<Snapshot> snapshots = [.. known.Where(s => s.Volume == volume).OrderByDescending(s => s.TakenAt)];
        if (snapshots is not [var last, ..]) return new VolumeStatus(policy.Name, volume, null, null, null, null, Overdue: true);

        TimeSpan age = context.Now - last.TakenAt;
        DateTimeOffset? due = policy.Schedule is { } schedule ? CronSchedule.Parse(schedule.Cron, schedule.TimeZone).Next(last.TakenAt) : null;
        bool overdue = maxAge is { } limit ? age > limit : due is { } next && context.Now > next + Grace;
        return new VolumeStatus(policy.Name, volume, last.Id, last.TakenAt, age.TotalSeconds, due, overdue) { Downtime = DowntimeTrend.Of(snapshots) };
    }
}
