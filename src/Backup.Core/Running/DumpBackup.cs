using Backup.Environments;
using Backup.Planning;
using Backup.Quiescing;
using Backup.Quiescing.Presets;
using Backup.Snapshots;
using Backup.Streams;

namespace Backup.Running;

/// <summary>A snapshot of what a database's own dump writes, while it runs. Nobody is held back for it.</summary>
internal sealed class DumpBackup(RunScene scene, Backends backends, DumpStep step)
{
    private static readonly TimeSpan EndingTimeout = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Again = TimeSpan.FromSeconds(2);

    private readonly string _source = step.Source.ToString();

    /// <summary>Null when it failed, which is in the tally then.</summary>
    internal async Task<MadeSnapshot?> RunAsync(CancellationToken cancel)
    {
        if (scene.Journal.IsBroken(scene.Environment.Name, _source))
        {
            scene.Tally.Add(new RunFailure(scene.Environment.Name, _source, $"A restore into {_source} began to replace its content and did not finish: it is not dumped.",
                "Restore it again with --overwrite. If it is well as it is, delete the journal in the state directory.", "source"));
            return null;
        }
        try
        {
            return await MakeTwiceAsync(cancel);
        }
        catch (BackupException e)
        {
            scene.Tally.Add(Blame.Failure(scene.Environment.Name, _source, e));
            return null;
        }
    }

    /// <summary>
    /// What broke on the way is tried once more from the start; nothing of the first try is kept. A dump's program that says no is not asked again. One
    /// that ended well, and whose end did not arrive, was cut on the way.
    /// </summary>
    private async Task<MadeSnapshot> MakeTwiceAsync(CancellationToken cancel)
    {
        try
        {
            return await MakeAsync(cancel);
        }
        catch (BackupException e) when (e is IncompleteDumpException || e is not CommandFailedException && Blame.MayPass(e))
        {
            scene.Context.Events.Report(new RunEvent.Warning($"{_source}: {e.Problem} Trying once more.", e.Hint));
            return await MakeAsync(cancel);
        }
    }

    /// <summary>Also when it was recreated since the plan was made, or is another task of its service, which this very run may have scaled.</summary>
    private async Task<ContainerFacts?> FindAsync(CancellationToken cancel)
    {
        if (await scene.Environment.FindContainerAsync(step.Container.Id, cancel) is { } same) return same;
        if (step.Container.ServiceId is not { } service) return await scene.Environment.FindContainerAsync(step.Container.Name, cancel);
        ContainerSight? task = (await scene.Environment.ListContainersAsync(cancel)).FirstOrDefault(c => c.Running && c.ServiceId == service);
        return task is null ? null : await scene.Environment.FindContainerAsync(task.Id, cancel);
    }

    private async Task<MadeSnapshot> MakeAsync(CancellationToken cancel)
    {
        string id = scene.Context.NewId();
        DateTimeOffset takenAt = scene.Context.Now;
        long started = scene.Context.Time.GetTimestamp();
        scene.Context.Events.Report(new RunEvent.VolumeStarted(scene.Environment.Name, _source, step.ExpectedBytes));

        await using StagedSnapshot staged = await backends.Store(step.Policy.Store).BeginAsync(
            id, scene.Environment.Name, _source, takenAt, step.ExpectedBytes, step.Policy.CompressionLevel, spool: null, cancel);
        ContainerFacts container = await FindAsync(cancel)
            ?? throw new EnvironmentException(scene.Environment.Name, $"{step.Container.Name} is gone", "Start it, or correct the policy, and run the backup again.");
        string? before = await HeldAsync(container, cancel);
        await WriteAsync(staged, container, id, takenAt, cancel);
        string? held = before is not null && await HeldAsync(container, cancel) == before ? before : null;
        Snapshot snapshot = await staged.CommitAsync(Record(id, takenAt, held), cancel);

        WarnOfDrop(snapshot);
        var made = new MadeSnapshot(snapshot, 0);
        scene.Tally.Add(made);
        scene.Context.Events.Report(new RunEvent.SnapshotMade(snapshot, 0, scene.Context.Time.GetElapsedTime(started).TotalSeconds));
        return made;
    }

    /// <summary>A dump goes on in its container when nobody listens any more: what ends it is in the journal before it begins.</summary>
    private async Task WriteAsync(StagedSnapshot staged, ContainerFacts now, string id, DateTimeOffset takenAt, CancellationToken cancel)
    {
        string[] end = ["/bin/sh", "-c", Shell.EndDump, "backup-end-dump", id];
        var undo = new UndoEntry(scene.Context.NewId(), scene.Facts.RunId, scene.Environment.Name, UndoKind.Exec, HeldContainer.Of(now), end,
            EndingTimeout.TotalSeconds, scene.Context.Now, Restore: null);
        scene.Journal.Add(undo);
        try
        {
            Stream output = await scene.Environment.OpenExecAsync(now.Id, step.Method.WriteAs(id).Command(step.Options), cancel);
            await using var tar = new DumpTarStream(output, step.Method.FileName, step.Method.Mark, takenAt);
            await staged.WriteTarAsync(tar, new ByteProgress(scene.Context, scene.Environment.Name, _source, step.ExpectedBytes), cancel);
        }
        finally
        {
            await EndAsync(undo);
        }
    }

    private async Task EndAsync(UndoEntry undo)
    {
        using var deadline = new CancellationTokenSource(EndingTimeout, scene.Context.Time);
        try
        {
            try
            {
                await Undoing.UndoAsync(undo, scene.Environment, scene.Context, deadline.Token);
            }
            catch (EnvironmentException)
            {
                // A container that is just dying still counts as running; a moment later it is seen that nothing is left in it to be ended.
                await Task.Delay(Again, scene.Context.Time, deadline.Token);
                await Undoing.UndoAsync(undo, scene.Environment, scene.Context, deadline.Token);
            }
            scene.Journal.Done(undo);
        }
        catch (Exception e) when (e is BackupException or OperationCanceledException)
        {
            scene.Context.Events.Report(new RunEvent.Warning($"{step.Container.Name}: whether the dump has ended there could not be seen: {e.Message}",
                "The next run or `backup recover` ends what is left of it."));
        }
    }

    /// <summary>What a restore compares with. Null when it cannot be told, which is no reason not to keep a dump that is whole.</summary>
    private async Task<string?> HeldAsync(ContainerFacts container, CancellationToken cancel)
    {
        try
        {
            return step.Method.Contents is { } contents ? await DatabaseContents.ReadAsync(scene.Environment, container, contents, step.Options, cancel) : null;
        }
        catch (EnvironmentException e) when (!e.Unreachable)
        {
            return null;
        }
    }

    /// <summary>A whole dump of the wrong, or an emptied, database looks like this.</summary>
    private void WarnOfDrop(Snapshot made)
    {
        if (step.ExpectedBytes is { } before && made.Bytes < before / 2)
            scene.Context.Events.Report(new RunEvent.Warning($"{_source} has shrunk from {before} to {made.Bytes} bytes since {step.ExpectedSource}.",
                "If that is not what happened to the database, look at what the dump holds before retention removes the older ones."));
    }

    private SnapshotRecord Record(string id, DateTimeOffset takenAt, string? held)
    {
        ContainerFacts c = step.Container;
        var consumer = new ConsumerRecord(c.Name, c.Id, c.Image, c.ImageId, c.ImageDigest, c.ComposeProject, c.ComposeService, "", true);
        return new SnapshotRecord(id, scene.Environment.Name, _source, takenAt, null, [consumer], scene.Facts.Engine, new QuiesceRecord("dump", 0, []),
            scene.Facts.ToolVersion, scene.Facts.RunId)
        {
            Dump = new DumpRecord(step.Preset.Name, step.Method.FileName, step.Method.Words, step.Options.Format.ToString().ToLowerInvariant(),
                step.Options.User, step.Options.PasswordFile, step.Options.Databases, step.Options.Files)
            {
                Held = held,
            },
        };
    }
}
