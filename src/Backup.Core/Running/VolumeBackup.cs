using Backup.Environments;
using Backup.Planning;
using Backup.Quiescing;
using Backup.Snapshots;

namespace Backup.Running;

/// <summary>What is the same for every volume of one environment in one run.</summary>
internal sealed record RunFacts(string RunId, string ToolVersion, EngineFacts Engine);

/// <summary>The backup of one source: hold, read, bring back, then finish the upload and write the manifest.</summary>
internal sealed class VolumeBackup(RunContext context, IEnvironment environment, ISnapshotStore store, UndoJournal journal, RunFacts facts)
{
    private readonly List<RunFailure> _failures = [];

    /// <summary>What went wrong beside the snapshot itself, such as a container that did not come back.</summary>
    public IReadOnlyList<RunFailure> Failures => _failures;

    /// <summary>A read that broke, or proved incomplete, is tried once more from the start; nothing of the first try is kept.</summary>
    public async Task<MadeSnapshot> RunAsync(VolumeStep step, CancellationToken cancel)
    {
        try
        {
            return await AttemptAsync(step, cancel);
        }
        catch (BackupException e) when (e is IncompleteTarException or EnvironmentException { Unreachable: false, Kind: FailureKind.Failed } && _failures.Count == 0)
        {
            context.Events.Report(new RunEvent.Warning($"{step.Source}: {e.Problem} Trying once more.", e.Hint));
            return await AttemptAsync(step, cancel);
        }
    }

    private async Task<MadeSnapshot> AttemptAsync(VolumeStep step, CancellationToken cancel)
    {
        string source = step.Source.ToString();
        string id = context.NewId();
        DateTimeOffset takenAt = context.Now;
        long started = context.Time.GetTimestamp();
        context.Events.Report(new RunEvent.VolumeStarted(environment.Name, source, step.ExpectedBytes));

        // Everything that can be done before the containers are held is done before: the helper, and the first words with the store.
        await using ISourceHandle handle = await environment.PrepareSourceAsync(step.Source, facts.RunId, cancel);
        await using StagedSnapshot staged = await store.BeginAsync(
            id, environment.Name, source, takenAt, step.ExpectedBytes, step.Policy.CompressionLevel, spool: null, cancel);

        Quiescence held = await Quiescence.HoldAsync(step.Quiesce, environment, context, journal, facts.RunId, restore: null, cancel);
        try
        {
            await using Stream tar = await handle.OpenAsync(cancel);
            await staged.WriteTarAsync(tar, new ByteProgress(context, environment.Name, source, step.ExpectedBytes), cancel);
        }
        finally
        {
            await held.ReleaseAsync();
            _failures.AddRange(held.Failures.Select(f => new RunFailure(environment.Name, source, f.Problem, f.Hint, "quiesce", NeedsPerson: true)));
        }

        var quiesce = new QuiesceRecord(step.Consistency, held.DowntimeSeconds, held.Windows);
        Snapshot snapshot = await staged.CommitAsync(Record(step, id, takenAt, quiesce), cancel);
        context.Events.Report(new RunEvent.SnapshotMade(snapshot, held.DowntimeSeconds, context.Time.GetElapsedTime(started).TotalSeconds));
        return new MadeSnapshot(snapshot, held.DowntimeSeconds);
    }

    private SnapshotRecord Record(VolumeStep step, string id, DateTimeOffset takenAt, QuiesceRecord quiesce) =>
        new(id, environment.Name, step.Source.ToString(), takenAt, step.Facts is null ? null : DriverSecrets.Redact(step.Facts),
            step.Consumers, facts.Engine, quiesce, facts.ToolVersion, facts.RunId);
}
