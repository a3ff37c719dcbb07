using Backup.Planning;
using Backup.Quiescing;
using Backup.Snapshots;

namespace Backup.Running;

/// <summary>
/// The backup of the sources of one group as of one moment: begin all, hold all, read all, bring all back, then finish the uploads. A source that
/// fails does not take the others with it.
/// </summary>
internal sealed class GroupBackup(RunScene scene, Backends backends)
{
    /// <returns>What was made; what failed is in the tally.</returns>
    public async Task<IReadOnlyList<MadeSnapshot>> RunAsync(GroupStep group, CancellationToken cancel)
    {
        List<MadeSnapshot> made = [.. await RunAsync([.. group.Volumes.Where(v => v.Quiesce.Count > 0)], group.Quiesce, cancel)];
        // These wait for nobody, so one pipeline at a time is enough.
        foreach (VolumeStep alone in group.Volumes.Where(v => v.Quiesce.Count == 0)) made.AddRange(await RunAsync([alone], [], cancel));
        return made;
    }

    private async Task<IReadOnlyList<MadeSnapshot>> RunAsync(IReadOnlyList<VolumeStep> steps, IReadOnlyList<QuiesceStep> quiesce, CancellationToken cancel)
    {
        VolumeBackup[] all = [.. steps.Select(step => new VolumeBackup(scene, backends, step))];
        List<VolumeBackup> good = [.. all];
        var held = new Quiescence(new HoldScene(scene.Environment, scene.Context, scene.Journal, scene.Facts.RunId, Restore: null), Quiescence.DefaultHealthTimeout);
        var made = new List<MadeSnapshot>();
        try
        {
            DateTimeOffset takenAt = scene.Context.Now;
            await EachAsync(good, volume => volume.BeginAsync(takenAt, cancel));
            if (good.Count == 0) return made;
            await ReadAsync(good, quiesce, held, cancel);
            await EachAsync(good, async volume => made.Add(await volume.CommitAsync(
                new QuiesceRecord(volume.Step.Consistency, held.DowntimeSeconds, held.Windows), cancel)));
            // The uploads are done; who was started again had that long to become healthy.
            foreach (Recovery unwell in (await held.RecoveriesAsync()).Where(r => r.Problem is not null))
                scene.Tally.Add(new RunFailure(scene.Environment.Name, null, unwell.Problem!, $"Look at its log: docker logs {unwell.Container}", "quiesce"));
            return made;
        }
        finally
        {
            foreach (ReleaseFailure failure in held.Failures)
                scene.Tally.Add(new RunFailure(scene.Environment.Name, null, failure.Problem, failure.Hint, "quiesce", NeedsPerson: true));
            foreach (VolumeBackup volume in all) await volume.DisposeAsync();
        }
    }

    /// <summary>Those that could not be read leave the list.</summary>
    private async Task ReadAsync(List<VolumeBackup> volumes, IReadOnlyList<QuiesceStep> quiesce, Quiescence held, CancellationToken cancel)
    {
        try
        {
            await HoldAsync(quiesce, held, cancel);
        }
        catch (BackupException e)
        {
            await EachAsync(volumes, _ => Task.FromException(e));
            return;
        }

        try
        {
            await EachAsync(volumes, volume => volume.ReadAsync(cancel));
        }
        finally
        {
            await held.ReleaseAsync();
        }
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

    /// <summary>Those that fail leave the list and nothing behind.</summary>
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
                await volume.DisposeAsync();
            }
        }
    }
}
