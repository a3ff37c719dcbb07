using System.Globalization;
using Backup.Environments;
using Backup.Planning;
using Backup.Quiescing;

namespace Backup.Running;

/// <summary>
/// The backup of the sources of one group as of one moment: begin all, hold all, read all, bring all back, then finish the uploads. A source that
/// fails does not take the others with it.
/// </summary>
internal sealed class GroupBackup(RunScene scene, Backends backends, GroupStep group)
{
    private const string StartedHint = "Run the backup again while nothing else is started.";

    private IReadOnlyList<Recovery> _recoveries = [];

    /// <summary>Who was held; null before the run, and when nobody had to be.</summary>
    public Quiescence? Held { get; private set; }

    /// <summary>The group with those held who write to it now; the plan may be hours old, and containers are recreated meanwhile.</summary>
    public static async Task<GroupStep> AsOfNowAsync(RunScene scene, GroupStep planned, CancellationToken cancel)
    {
        try
        {
            IReadOnlyList<ContainerSight> now = await scene.Environment.ListContainersAsync(cancel);
            if (planned.Volumes.All(v => Running(scene, now, v).Select(c => c.Id).ToHashSet(StringComparer.Ordinal).SetEquals(v.Writers))) return planned;
            var warnings = new List<PlanWarning>();
            GroupAgain again = await ProbedPlan.AgainAsync(scene.Environment, planned, await scene.Environment.InspectAsync(cancel), warnings, cancel);
            foreach (PlanWarning warning in warnings) scene.Context.Events.Report(new RunEvent.Warning($"{scene.Environment.Name}: {warning.Problem}", warning.Hint));
            foreach (RefusedSource refused in again.Refused)
                scene.Tally.Add(new RunFailure(scene.Environment.Name, refused.Source.ToString(), refused.Problem, refused.Hint, "source"));
            return again.Group;
        }
        catch (EnvironmentException)
        {
            // Whatever is wrong will be told by what needs the engine more.
            return planned;
        }
    }

    /// <returns>What was made; what failed, and what it cost, is in the tally.</returns>
    public async Task<IReadOnlyList<MadeSnapshot>> RunAsync(CancellationToken cancel)
    {
        var made = new List<MadeSnapshot>();
        Quiescence held = Quiescence();
        if (group.Quiesce.Count > 0) Held = held;
        try
        {
            await RunAsync([.. group.Held], group.Quiesce, held, made, cancel);
        }
        finally
        {
            scene.Tally.Add(Report(held));
        }
        // These wait for nobody, so one pipeline at a time is enough.
        foreach (VolumeStep alone in group.Volumes.Except(group.Held)) await RunAsync([alone], [], Quiescence(), made, cancel);
        return made;
    }

    private Quiescence Quiescence() =>
        new(new HoldScene(scene.Environment, scene.Context, scene.Journal, scene.Facts.RunId, Restore: null), group.HealthTimeout, group.MaxDowntime);

    private GroupReport Report(Quiescence held) => new(scene.Environment.Name, group.Name, [.. group.Volumes.Select(v => v.Source.ToString())],
        held.DowntimeSeconds, group.MaxDowntime?.TotalSeconds, held.Over.IsCancellationRequested,
        [.. held.Windows.Select(w => new ContainerReport(w.Container, w.How, w.From, w.Until, _recoveries.FirstOrDefault(r => r.Container == w.Container)?.Health))]);

    private async Task RunAsync(
        IReadOnlyList<VolumeStep> steps, IReadOnlyList<QuiesceStep> quiesce, Quiescence held, List<MadeSnapshot> made, CancellationToken cancel)
    {
        VolumeBackup[] all = [.. steps.Select(step => new VolumeBackup(scene, backends, step))];
        List<VolumeBackup> good = [.. all];
        try
        {
            DateTimeOffset takenAt = scene.Context.Now;
            await EachAsync(good, volume => volume.BeginAsync(takenAt, cancel));
            if (good.Count == 0) return;
            await WarmUpAsync(good, cancel);
            await ReadAsync(good, quiesce, held, cancel);
            await EachAsync(good, async volume => made.Add(await volume.CommitAsync(held, cancel)));
            // The uploads are done; who was started again had that long to become healthy.
            _recoveries = await held.RecoveriesAsync();
            foreach (Recovery unwell in _recoveries.Where(r => r.Problem is not null)) scene.Tally.Add(Blame.Failure(scene.Environment.Name, unwell));
        }
        finally
        {
            foreach (ReleaseFailure failure in held.Failures)
                scene.Tally.Add(new RunFailure(scene.Environment.Name, null, failure.Problem, failure.Hint, "quiesce", NeedsPerson: true));
            foreach (VolumeBackup volume in all) await volume.DisposeAsync();
        }
    }

    private async Task WarmUpAsync(IEnumerable<VolumeBackup> volumes, CancellationToken cancel)
    {
        long room = WarmUp.Room();
        foreach (VolumeBackup volume in volumes.Where(v => group.WarmedUp.Contains(v.Step)))
        {
            if (room <= 0) return;
            room -= await volume.WarmUpAsync(room, cancel);
        }
    }

    /// <summary>Those that could not be read leave the list.</summary>
    private async Task ReadAsync(List<VolumeBackup> volumes, IReadOnlyList<QuiesceStep> quiesce, Quiescence held, CancellationToken cancel)
    {
        Task<IReadOnlyList<ContainerSight>>? now = null;
        try
        {
            try
            {
                await HoldAsync(quiesce, held, cancel);
            }
            catch (DowntimeExceededException) when (volumes.Any(v => v.Step.Policy.Downtime.Keep))
            {
                // They are read as they are; the others fail below, because the time is over.
            }
            catch (BackupException e)
            {
                await EachAsync(volumes, _ => Task.FromException(e));
                return;
            }
            await EachAsync(volumes, volume => ReadAsync(volume, held, cancel));
            // Asked before anybody is brought back, so that only who wrote during the read is in the answer; nobody waits for it.
            now = scene.Environment.ListContainersAsync(cancel);
        }
        finally
        {
            await held.ReleaseAsync();
        }
        await SpoilAsync(volumes, held, now);
        if (held.Unproved is [var first, ..])
            await EachAsync(volumes, _ => Task.FromException(new BackupException($"What was read is not proved to be good: {first}.", "Look at the container's log, then run the backup again.")));
    }

    /// <summary>An engine that would not hold somebody is asked once more; by then everybody is back.</summary>
    private async Task HoldAsync(IReadOnlyList<QuiesceStep> quiesce, Quiescence held, CancellationToken cancel)
    {
        try
        {
            await held.HoldAsync(quiesce, cancel);
        }
        catch (BackupException e) when (Blame.MayPass(e))
        {
            scene.Context.Events.Report(new RunEvent.Warning($"{e.Problem} Trying once more.", e.Hint));
            await held.HoldAsync(quiesce, cancel);
        }
    }

    /// <summary>Whoever is held comes back when the time is over, also in the middle of this.</summary>
    private async Task ReadAsync(VolumeBackup volume, Quiescence held, CancellationToken cancel)
    {
        if (volume.Step.Policy.Downtime.Keep)
        {
            await volume.ReadAsync(cancel);
            if (held.Over.IsCancellationRequested) volume.Spoil($"its containers came back before it was read, because {Limit}", Cure);
            return;
        }
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancel, held.Over);
        try
        {
            await volume.ReadAsync(stop.Token);
            held.Over.ThrowIfCancellationRequested();
        }
        catch (OperationCanceledException e) when (!cancel.IsCancellationRequested)
        {
            throw new BackupException($"Its containers came back before it was read, because {Limit}.",
                $"{Cure} With \"whenExceeded\": \"keep\" what is read after that is kept, marked as inconsistent.", inner: e);
        }
    }

    private string Limit => string.Create(CultureInfo.InvariantCulture, $"the maxDowntime of {group.Name} is {group.MaxDowntime?.TotalSeconds:0.###} s");

    private const string Cure = "Raise maxDowntime, or let less be read while containers are held.";

    /// <summary>Nobody else may have written to what was read.</summary>
    private async Task SpoilAsync(List<VolumeBackup> volumes, Quiescence held, Task<IReadOnlyList<ContainerSight>> listing)
    {
        IReadOnlyList<ContainerSight>? now = null;
        string unknown = "";
        try
        {
            now = await listing;
        }
        catch (EnvironmentException e)
        {
            unknown = e.Problem;
        }
        foreach (VolumeBackup volume in volumes)
        {
            if (now is null) volume.Spoil($"whether somebody else wrote to it could not be asked ({unknown})", StartedHint);
            else if (Running(scene, now, volume.Step).Where(c => !volume.Step.Writers.Contains(c.Id)).Select(c => c.Name).ToList() is { Count: > 0 } strangers)
                volume.Spoil($"{string.Join(", ", strangers)} came up while it was read and may have written to it", StartedHint);
            else if (volume.Step.Quiesce.Select(q => q.Name).Intersect(held.Disturbed).ToList() is { Count: > 0 } disturbed)
                volume.Spoil($"somebody brought {string.Join(", ", disturbed)} back while it was read", StartedHint);
        }
    }

    private static IEnumerable<ContainerSight> Running(RunScene scene, IReadOnlyList<ContainerSight> now, VolumeStep step) =>
        now.Where(c => c.Running && !c.Helper && scene.Writers.Writes(c.Mounts, step.Source));

    /// <summary>Those that fail leave the list; what they made goes meanwhile, and is gone when the group is done.</summary>
    private async Task EachAsync(List<VolumeBackup> volumes, Func<VolumeBackup, Task> work)
    {
        foreach (VolumeBackup volume in volumes.ToArray())
        {
            try
            {
                await work(volume);
            }
            catch (BackupException e)
            {
                scene.Tally.Add(Blame.Failure(scene.Environment.Name, volume.Step.Source.ToString(), e));
                volumes.Remove(volume);
                volume.Leave();
            }
        }
    }
}
