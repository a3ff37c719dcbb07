using Backup.Environments;
using Backup.Planning;
using Backup.Quiescing;
using Backup.Snapshots;
using Backup.Streams;

namespace Backup.Running;

/// <summary>What is the same for every volume of one environment in one run, and stands in its manifest.</summary>
internal sealed record RunFacts(string RunId, string ToolVersion, EngineFacts Engine);

/// <summary>Where a group is backed up: the same for all groups of one environment in one run.</summary>
/// <param name="Spool">For sources whose containers are held; null = there is none, and they wait for the store.</param>
internal sealed record RunScene(
    RunContext Context, IEnvironment Environment, UndoJournal Journal, Tally Tally, RunFacts Facts, Writers Writers, Spool? Spool);

/// <summary>
/// The backup of one source, in the steps between which its group holds and releases: begin, read, commit. What fails before the commit leaves
/// nothing behind.
/// </summary>
internal sealed class VolumeBackup(RunScene scene, Backends backends, VolumeStep step) : IAsyncDisposable
{
    private readonly string _source = step.Source.ToString();
    private readonly List<Task> _leaving = [];
    private readonly long _started = scene.Context.Time.GetTimestamp();
    private ISourceHandle? _handle;
    private StagedSnapshot? _staged;
    private string _id = "";
    private DateTimeOffset _takenAt;
    private bool _tried;

    public VolumeStep Step => step;

    /// <summary>What held during the whole read.</summary>
    public string Consistency { get; private set; } = step.Consistency;

    /// <summary>Something was not as planned: what was read may be torn.</summary>
    public void Spoil(string problem, string hint)
    {
        if (Consistency == "none") return;
        Consistency = "none";
        scene.Context.Events.Report(new RunEvent.Warning($"{scene.Environment.Name}/{_source}: {problem}: its snapshot is committed with consistency none.", hint));
    }

    /// <summary>Everything that can be done before containers are held: the helper, and the first words with the store.</summary>
    /// <param name="takenAt">The same for all sources of one point in time.</param>
    public async Task BeginAsync(DateTimeOffset takenAt, CancellationToken cancel)
    {
        _takenAt = takenAt;
        scene.Context.Events.Report(new RunEvent.VolumeStarted(scene.Environment.Name, _source, step.ExpectedBytes));
        await TwiceAsync(StageAsync, async token =>
        {
            await DisposeAsync();
            await StageAsync(token);
        }, cancel);
    }

    /// <summary>See <see cref="WarmUp"/>. What goes wrong here the read itself will meet, and tell.</summary>
    /// <param name="most">Bytes.</param>
    /// <returns>Bytes.</returns>
    public async Task<long> WarmUpAsync(long most, CancellationToken cancel)
    {
        try
        {
            await using Stream tar = await _handle!.OpenAsync(cancel);
            return await WarmUp.ReadAsync(tar, most, cancel);
        }
        catch (EnvironmentException)
        {
            return 0;
        }
    }

    /// <summary>Returns as soon as the last byte of the source was taken over; compression and upload may go on.</summary>
    public Task ReadAsync(CancellationToken cancel) => TwiceAsync(ReadOnceAsync, async token =>
    {
        await StageAgainAsync(token);
        await ReadOnceAsync(token);
    }, cancel);

    private async Task ReadOnceAsync(CancellationToken cancel)
    {
        await using Stream tar = await _handle!.OpenAsync(cancel);
        await _staged!.WriteTarAsync(tar, new ByteProgress(scene.Context, scene.Environment.Name, _source, step.ExpectedBytes), cancel);
    }

    /// <summary>Finishes the upload. Only after it returns does the snapshot exist.</summary>
    public async Task<MadeSnapshot> CommitAsync(Quiescence held, CancellationToken cancel)
    {
        var quiesce = new QuiesceRecord(Consistency, held.DowntimeSeconds, held.Windows);
        var record = new SnapshotRecord(_id, scene.Environment.Name, _source, _takenAt, step.Facts is null ? null : DriverSecrets.Redact(step.Facts),
            step.Consumers, scene.Facts.Engine, quiesce, scene.Facts.ToolVersion, scene.Facts.RunId);
        Snapshot snapshot = await _staged!.CommitAsync(record, cancel);
        var made = new MadeSnapshot(snapshot, quiesce.DowntimeSeconds);
        scene.Tally.Add(made);
        scene.Context.Events.Report(new RunEvent.SnapshotMade(snapshot, made.DowntimeSeconds, scene.Context.Time.GetElapsedTime(_started).TotalSeconds));
        return made;
    }

    /// <summary>Begins to give up what was made, and waits for nothing: containers may be held.</summary>
    public void Leave()
    {
        if (_staged is { } staged) _leaving.Add(Task.Run(() => staged.DisposeAsync().AsTask()));
        if (_handle is { } handle) _leaving.Add(Task.Run(() => handle.DisposeAsync().AsTask()));
        (_staged, _handle) = (null, null);
    }

    public async ValueTask DisposeAsync()
    {
        Leave();
        await Task.WhenAll(_leaving);
    }

    private async Task StageAsync(CancellationToken cancel)
    {
        _id = scene.Context.NewId();
        ISnapshotStore store = backends.Store(step.Policy.Store);
        _handle = await scene.Environment.PrepareSourceAsync(step.Source, scene.Facts.RunId, cancel);
        _staged = await store.BeginAsync(_id, scene.Environment.Name, _source, _takenAt, step.ExpectedBytes, step.Policy.CompressionLevel,
            step.Quiesce.Count > 0 ? scene.Spool : null, cancel);
    }

    /// <summary>While containers are held: a helper is waited for, the store is not.</summary>
    private async Task StageAgainAsync(CancellationToken cancel)
    {
        _id = scene.Context.NewId();
        StagedSnapshot again = _staged!.Again(_id);
        Leave();
        _staged = again;
        _handle = await scene.Environment.PrepareSourceAsync(step.Source, scene.Facts.RunId, cancel);
    }

    /// <summary>What broke, or proved incomplete, is tried once more from the start; nothing of the first try is kept.</summary>
    private async Task TwiceAsync(Func<CancellationToken, Task> work, Func<CancellationToken, Task> again, CancellationToken cancel)
    {
        try
        {
            await work(cancel);
        }
        catch (BackupException e) when (!_tried && Blame.MayPass(e))
        {
            _tried = true;
            scene.Context.Events.Report(new RunEvent.Warning($"{_source}: {e.Problem} Trying once more.", e.Hint));
            await again(cancel);
        }
    }
}
