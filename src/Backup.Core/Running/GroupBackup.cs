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
        var made = new List<MadeSnapshot>();
        try
        {
            DateTimeOffset takenAt = scene.Context.Now;
            await EachAsync(good, volume => volume.BeginAsync(takenAt, cancel));
            if (good.Count == 0) return made;
            QuiesceRecord held = await ReadAsync(good, quiesce, cancel);
            await EachAsync(good, async volume => made.Add(await volume.CommitAsync(held with { Consistency = volume.Step.Consistency }, cancel)));
            return made;
        }
        finally
        {
            foreach (VolumeBackup volume in all) await volume.DisposeAsync();
        }
    }

    /// <returns>What was held; the consistency is each volume's own.</returns>
    private async Task<QuiesceRecord> ReadAsync(List<VolumeBackup> volumes, IReadOnlyList<QuiesceStep> quiesce, CancellationToken cancel)
    {
        Quiescence held;
        try
        {
            held = await HoldAsync(quiesce, cancel);
        }
        catch (BackupException e)
        {
            await EachAsync(volumes, _ => Task.FromException(e));
            return new QuiesceRecord("none", 0, []);
        }

        try
        {
            await EachAsync(volumes, volume => volume.ReadAsync(cancel));
        }
        finally
        {
            await held.ReleaseAsync();
            string? only = volumes is [var single] ? single.Step.Source.ToString() : null;
            foreach (ReleaseFailure failure in held.Failures)
                scene.Tally.Add(new RunFailure(scene.Environment.Name, only, failure.Problem, failure.Hint, "quiesce", NeedsPerson: true));
        }
        return new QuiesceRecord("none", held.DowntimeSeconds, held.Windows);
    }

    /// <summary>An engine that would not hold somebody is asked once more; by then everybody is back.</summary>
    private async Task<Quiescence> HoldAsync(IReadOnlyList<QuiesceStep> quiesce, CancellationToken cancel)
    {
        try
        {
            return await Quiescence.HoldAsync(quiesce, scene.Environment, scene.Context, scene.Journal, scene.Facts.RunId, restore: null, cancel);
        }
        catch (BackupException e) when (Blame.MayPass(e))
        {
            scene.Context.Events.Report(new RunEvent.Warning($"{e.Problem} Trying once more.", e.Hint));
            return await Quiescence.HoldAsync(quiesce, scene.Environment, scene.Context, scene.Journal, scene.Facts.RunId, restore: null, cancel);
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
