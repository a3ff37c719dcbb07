using System.Collections.Concurrent;
using Backup.Environments;
using Backup.Planning;
using Backup.Policies;
using Backup.Quiescing;
using Backup.Snapshots;
using Backup.Streams;

namespace Backup.Running;

/// <param name="Environments">Names; empty = all.</param>
/// <param name="VolumeGlobs">Only sources that match one; empty = all that the policy selects.</param>
public sealed record RunRequest(IReadOnlyList<string> Environments, IReadOnlyList<string> VolumeGlobs);

/// <param name="Failures">Environments or stores that did not answer.</param>
public sealed record PlanReport(IReadOnlyList<EnvironmentPlan> Environments, IReadOnlyList<RunFailure> Failures);

/// <param name="Retention">What retention would decide about the snapshots that exist now.</param>
public sealed record EnvironmentPlan(BackupPlan Plan, IReadOnlyList<RetentionDecision> Retention);

/// <summary>The backup: plan each environment, then take its groups of volumes one after the other; environments run side by side, in as many streams as the policy allows.</summary>
/// <param name="spool">Lets held containers wait for the read alone; null = they wait for the store too.</param>
public sealed class BackupRun(RunContext context, Backends backends, string toolVersion, Spool? spool = null)
{
    /// <summary>Looked at side by side; how many are read at a time is the policy's to say, for each takes a pipeline of buffers.</summary>
    private const int EnvironmentsAtOnce = 4;

    public async Task<PlanReport> PlanAsync(RunRequest request, CancellationToken cancel)
    {
        var plans = new List<EnvironmentPlan>();
        var failures = new List<RunFailure>();
        var misses = new List<BackupException>();
        IReadOnlyList<EnvironmentPolicy> environments = await backends.SelectAsync(request.Environments, cancel);
        foreach (EnvironmentPolicy policy in environments)
        {
            try
            {
                (BackupPlan plan, _, IReadOnlyList<Snapshot> known) = await PlanAsync(policy, request, failures, cancel);
                plans.Add(new EnvironmentPlan(plan, [.. RetentionOf(policy, known)]));
                failures.AddRange(Refusals(plan));
            }
            catch (BackupException e) when (e.Kind == FailureKind.Failed)
            {
                failures.Add(Blame.Failure(policy.Name, null, e));
            }
            catch (BackupException e) when (e.Kind == FailureKind.NotFound)
            {
                misses.Add(e);
            }
        }
        ThrowIfAllMiss(misses, environments.Count);
        return new PlanReport(plans, failures);
    }

    /// <summary>Executes. What fails is in the report; only cancellation and a wrong request are thrown.</summary>
    public async Task<RunReport> RunAsync(RunRequest request, UndoJournal journal, CancellationToken cancel)
    {
        long started = context.Time.GetTimestamp();
        var tally = new Tally(context);
        var misses = new ConcurrentBag<BackupException>();
        using var streams = new StreamSlots(backends.Policy.Streams, spool);
        IReadOnlyList<EnvironmentPolicy> environments = await backends.SelectAsync(request.Environments, cancel);
        backends.RequireSecrets(environments);

        RecoverReport recovered = await new RecoverRun(context, backends).RunAsync(journal, [.. environments.Select(e => e.Name)], cancel);
        foreach (string action in recovered.Actions) context.Events.Report(new RunEvent.Step($"left by a killed run: {action}"));
        foreach (RunFailure failure in recovered.Failures) tally.Add(failure);

        try
        {
            // The nodes of a Swarm one after the other: what is held for one may run on others, too.
            await Parallel.ForEachAsync(environments.GroupBy(e => e.Swarm ?? e.Name), new ParallelOptions { MaxDegreeOfParallelism = Math.Max(EnvironmentsAtOnce, backends.Policy.Streams), CancellationToken = cancel },
                async (group, token) =>
                {
                    foreach (EnvironmentPolicy policy in group)
                        try
                        {
                            await RunAsync(policy, request, journal, streams, tally, token);
                        }
                        catch (BackupException e) when (e.Kind == FailureKind.NotFound)
                        {
                            misses.Add(e);
                        }
                });
            ThrowIfAllMiss(misses, environments.Count);
        }
        finally
        {
            context.Events.Report(new RunEvent.Report(tally.Report(context.Time.GetElapsedTime(started))));
        }
        return tally.Report(context.Time.GetElapsedTime(started));
    }

    /// <summary>A --volume that no environment has is a mistake; one that only some have is what it is for.</summary>
    private static void ThrowIfAllMiss(IReadOnlyCollection<BackupException> misses, int environments)
    {
        if (environments > 0 && misses.Count == environments) throw misses.First();
    }

    private async Task RunAsync(
        EnvironmentPolicy policy, RunRequest request, UndoJournal journal, StreamSlots streams, Tally tally, CancellationToken cancel)
    {
        string runId = context.NewId();
        try
        {
            var planFailures = new List<RunFailure>();
            (BackupPlan plan, Inventory inventory, IReadOnlyList<Snapshot> known) = await PlanAsync(policy, request, planFailures, cancel);
            foreach (RunFailure failure in planFailures) tally.Add(failure);
            foreach (SkippedSource skipped in plan.Skipped)
                context.Events.Report(new RunEvent.VolumeSkipped(policy.Name, skipped.Source.ToString(), skipped.Reason));
            foreach (PlanWarning warning in plan.Warnings)
                context.Events.Report(new RunEvent.Warning($"{policy.Name}: {warning.Problem}", warning.Hint));
            foreach (RunFailure failure in Refusals(plan)) tally.Add(failure);
            context.Events.Report(new RunEvent.EnvironmentStarted(policy.Name, plan.Volumes.Count + plan.Dumps.Count));
            foreach (SourceRef missing in plan.Missing)
                tally.Add(new RunFailure(policy.Name, missing.ToString(), BackupPlan.WhyMissing(missing, policy.Name), BackupPlan.MissingHint, "source"));
            if (plan.Volumes.Count + plan.Dumps.Count == 0) return;

            IEnvironment environment = backends.Environment(policy.Name);
            await using var helpers = new RunHelpers(context, environment, journal, runId);
            var scene = new RunScene(context, environment, journal, tally, new RunFacts(runId, toolVersion, plan.Engine), new Writers(inventory.Volumes), Spool: null);
            var groups = new List<GroupBackup>();
            foreach (GroupStep group in plan.Groups)
            {
                await streams.UseAsync(async share =>
                {
                    RunScene here = scene with { Spool = share };
                    GroupStep now = await GroupBackup.AsOfNowAsync(here, Whole(group, here), cancel);
                    groups.Add(new GroupBackup(here, backends, now));
                    foreach (MadeSnapshot made in await groups[^1].RunAsync(cancel))
                        await RetainAsync(policy, made.Snapshot, known, tally, cancel);
                }, cancel);
            }
            foreach (DumpStep dump in plan.Dumps)
            {
                await streams.UseAsync(async _ =>
                {
                    if (await new DumpBackup(scene, backends, dump).RunAsync(cancel) is { } made) await RetainAsync(policy, made.Snapshot, known, tally, cancel);
                }, cancel);
            }
            await LastLook.RunAsync(scene, groups, cancel);
        }
        catch (BackupException e) when (e.Kind is FailureKind.Failed)
        {
            tally.Add(Blame.Failure(policy.Name, null, e));
        }
    }

    /// <summary>The group without the sources that an unfinished restore left incomplete: half a volume would count as its newest good snapshot, and
    /// push a whole one out.</summary>
    private static GroupStep Whole(GroupStep group, RunScene scene)
    {
        List<VolumeStep> broken = [.. group.Volumes.Where(v => scene.Journal.IsBroken(scene.Environment.Name, v.Source.ToString()))];
        foreach (VolumeStep step in broken)
            scene.Tally.Add(new RunFailure(scene.Environment.Name, step.Source.ToString(),
                $"A restore into {step.Source} began to replace its content and did not finish: it is not backed up.",
                "Restore it again with --overwrite. If it is well as it is, delete the journal in the state directory.", "source"));
        return broken.Count == 0 ? group : group with { Volumes = [.. group.Volumes.Except(broken)] };
    }

    private async Task RetainAsync(EnvironmentPolicy policy, Snapshot made, IReadOnlyList<Snapshot> known, Tally tally, CancellationToken cancel)
    {
        try
        {
            IReadOnlyList<Snapshot> all = [made, .. known.Where(s => s.Volume == made.Volume && s.Store == made.Store)];
            foreach (RetentionDecision decision in Decide(all, policy.For(SourceRef.Parse(made.Volume))).Where(d => !d.Keep))
            {
                await backends.Store(made.Store).RemoveAsync(decision.Snapshot, cancel);
                tally.AddRemoved(decision.Snapshot.Id);
                context.Events.Report(new RunEvent.SnapshotRemoved(decision.Snapshot, string.Join("; ", decision.Reasons)));
            }
        }
        catch (BackupException e)
        {
            tally.Add(Blame.Failure(policy.Name, made.Volume, e, "retention"));
        }
    }

    private async Task<(BackupPlan Plan, Inventory Inventory, IReadOnlyList<Snapshot> Known)> PlanAsync(
        EnvironmentPolicy policy, RunRequest request, List<RunFailure> failures, CancellationToken cancel)
    {
        Inventory inventory = await backends.Environment(policy.Name).InspectAsync(cancel);
        var known = new List<Snapshot>();
        foreach (string name in Backends.StoresOf(policy))
        {
            try
            {
                SnapshotList list = await backends.Store(name).ListAsync(policy.Name, null, cancel);
                known.AddRange(list.Snapshots);
                failures.AddRange(list.Damaged.Select(d => DamagedFailure(policy.Name, d)));
            }
            catch (BackupException e)
            {
                failures.Add(Blame.Failure(policy.Name, null, e));
            }
        }
        BackupPlan plan = await ProbedPlan.MakeAsync(policy, backends.Environment(policy.Name), inventory, known, request.VolumeGlobs, cancel);
        return (spool?.Room() / backends.Policy.Streams is { } room ? plan.Within(room) : plan, inventory, known);
    }

    /// <summary>What a person asked for by name and cannot be done: nothing else is done in its place.</summary>
    private static IEnumerable<RunFailure> Refusals(BackupPlan plan) =>
        plan.Refused.Select(r => new RunFailure(plan.Environment, r.Source.ToString(), r.Problem, r.Hint, "source"));

    internal static RunFailure DamagedFailure(string environment, DamagedManifest damaged) =>
        new(environment, null, $"A snapshot in store {damaged.Store} is damaged: {damaged.Key}: {damaged.Problem}",
            "It counts for nothing and is never removed by retention. Restore it from a copy, or delete its objects by hand.", "store");

    private IEnumerable<RetentionDecision> RetentionOf(EnvironmentPolicy policy, IReadOnlyList<Snapshot> known) =>
        known.GroupBy(s => (s.Volume, s.Store)).SelectMany(group => Decide([.. group], policy.For(SourceRef.Parse(group.Key.Volume))));

    private IReadOnlyList<RetentionDecision> Decide(IReadOnlyList<Snapshot> all, VolumePolicy policy) =>
        Retention.Decide(all, policy.Retention, policy.TimeZone, context.Now);
}
