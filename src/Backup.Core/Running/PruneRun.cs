using Backup.Environments;
using Backup.Planning;
using Backup.Policies;
using Backup.Snapshots;

namespace Backup.Running;

/// <param name="Decisions">Every snapshot with its verdict; those not kept are (or, dry, would be) removed.</param>
/// <param name="Collected">What unfinished work left and was (or would be) collected.</param>
public sealed record PruneReport(IReadOnlyList<RetentionDecision> Decisions, IReadOnlyList<string> Collected, IReadOnlyList<RunFailure> Failures);

/// <summary>Retention alone, explained snapshot by snapshot; and what unfinished runs left in the stores.</summary>
public sealed class PruneRun(RunContext context, Backends backends)
{
    /// <param name="abandonedAfter">Unfinished work younger than this may still be going on, perhaps on another host, and is left alone.</param>
    public async Task<PruneReport> RunAsync(IReadOnlyList<string> environments, bool dryRun, TimeSpan abandonedAfter, CancellationToken cancel)
    {
        var decisions = new List<RetentionDecision>();
        var collected = new List<string>();
        var failures = new List<RunFailure>();
        IReadOnlyList<EnvironmentPolicy> selected = await backends.SelectAsync(environments, cancel);
        // Without the names nothing of it can be found in the stores: opening it says why they are not known.
        foreach (EnvironmentPolicy policy in selected.Where(e => e.Silent))
            if (policy.IsTemplate || await HasNodesAsync(policy, failures, cancel)) await TryAsync(policy.Name, failures, () => backends.Environment(policy.Name).InspectAsync(cancel));
        foreach (EnvironmentPolicy policy in selected.Where(e => !e.IsTemplate))
            foreach (string store in Backends.StoresOf(policy))
                await TryAsync(policy.Name, failures, () => PruneAsync(policy, backends.Store(store), dryRun, decisions, failures, cancel));

        foreach (string store in selected.SelectMany(Backends.StoresOf).Distinct(StringComparer.Ordinal))
            await TryAsync(store, failures, async () => collected.AddRange(await backends.Store(store).CollectAsync(abandonedAfter, dryRun, cancel)));
        return new PruneReport(decisions, collected, failures);
    }

    private async Task PruneAsync(
        EnvironmentPolicy policy, ISnapshotStore store, bool dryRun, List<RetentionDecision> decisions, List<RunFailure> failures, CancellationToken cancel)
    {
        SnapshotList list = await store.ListAsync(policy.Name, null, cancel);
        failures.AddRange(list.Damaged.Select(d => BackupRun.DamagedFailure(policy.Name, d)));
        foreach (IGrouping<string, Snapshot> volume in list.Snapshots.GroupBy(s => s.Volume).OrderBy(g => g.Key, StringComparer.Ordinal))
        {
            VolumePolicy rule = policy.For(SourceRef.Parse(volume.Key));
            foreach (RetentionDecision decision in Retention.Decide([.. volume], rule.Retention, rule.TimeZone, context.Now))
            {
                decisions.Add(decision);
                if (decision.Keep || dryRun) continue;
                await store.RemoveAsync(decision.Snapshot, cancel);
                context.Events.Report(new RunEvent.SnapshotRemoved(decision.Snapshot, string.Join("; ", decision.Reasons)));
            }
        }
    }

    /// <summary>Whether there are snapshots that only nodes of it, if it is a Swarm, can have made.</summary>
    private async Task<bool> HasNodesAsync(EnvironmentPolicy silent, List<RunFailure> failures, CancellationToken cancel)
    {
        bool found = false;
        foreach (string store in Backends.StoresOf(silent))
            await TryAsync(silent.Name, failures, async () =>
                found |= (await backends.Store(store).ListAsync(null, null, cancel)).Snapshots.Any(s => EnvironmentNames.CanBeNode(silent, s.Environment)));
        return found;
    }

    private static async Task TryAsync(string subject, List<RunFailure> failures, Func<Task> work)
    {
        try
        {
            await work();
        }
        catch (BackupException e) when (e.Kind == FailureKind.Failed)
        {
            failures.Add(Blame.Failure(subject, null, e));
        }
    }
}
