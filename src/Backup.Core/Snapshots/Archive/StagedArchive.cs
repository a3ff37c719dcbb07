using System.Security.Cryptography;
using Backup.Stores;
using Backup.Streams;

namespace Backup.Snapshots.Archive;

/// <summary>An archive being made: tar → check → scan and hash → compression → data object; the index grows along. See FORMAT.md for the order of work.</summary>
internal sealed class StagedArchive : StagedSnapshot
{
    internal const int FrameBytes = 2 << 20;

    private readonly IObjectStore _store;
    private readonly RunContext _context;
    private readonly ArchiveDraft _draft;
    private readonly ArchiveKeys _keys;
    private readonly Task<ObjectWriter> _data;
    private readonly IncrementalHash _tarHash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private readonly IndexDraft _index;
    /// <summary>While containers are held a tar is only proved complete; what is in it is looked at when there is time.</summary>
    private readonly TarCheck _check = new();
    private readonly TarScan _scan;
    private readonly SeekTable _seekTable = new();
    private readonly List<FrameSpan> _frames = [];
    private readonly FrameLane _lane;
    private readonly CancellationTokenSource _stop = new();
    private Task<IReadOnlyList<StoredObject>>? _draining;
    private long _begun;
    private long _packed;
    private bool _whole, _committed, _disposed;

    /// <param name="begin">Has the first words with the store; cancelled when the archive is given up.</param>
    internal StagedArchive(IObjectStore store, RunContext context, ArchiveDraft draft, Func<CancellationToken, Task<ObjectWriter>> begin)
    {
        (_store, _context, _draft, _keys) = (store, context, draft, draft.Keys);
        _data = begin(_stop.Token);
        _index = new IndexDraft(store, _keys.Index, draft.Spool);
        _scan = new TarScan(_index.Text.Add, _index.Text.AddGlobalHeader);
        _lane = new FrameLane(FramePress.Open(FrameBytes, draft.Spool), draft.Level, _check.Push, bytes =>
        {
            _scan.Push(bytes);
            _tarHash.AppendData(bytes);
            _index.Relieve();
        });
    }

    public override StagedSnapshot Again(string id)
    {
        ArchiveDraft anew = _draft with { Id = id };
        return new StagedArchive(_store, _context, anew, stop => Task.Run(() => anew.BeginAsync(_store, _context, stop), CancellationToken.None));
    }

    public override async Task WriteTarAsync(Stream tar, IProgress<long>? progress, CancellationToken cancel)
    {
        if (_draining is not null) throw new InvalidOperationException("a snapshot takes one tar");
        _begun = _context.Time.GetTimestamp();
        _draining = Task.Run(DrainAsync, CancellationToken.None);
        try
        {
            await _lane.TakeAsync(tar, progress, cancel).ConfigureAwait(false);
            _check.Complete();
        }
        catch (IncompleteTarException e)
        {
            _lane.Fail(e);
            throw;
        }
        _whole = true;
        _lane.End();
    }

    /// <summary>
    /// Carries frames into the data object, until the tar ends or something fails; a failure stops the taking of input as well. Finishes both objects: the
    /// next snapshot that shares the spool then has the store's buffers for itself.
    /// </summary>
    private async Task<IReadOnlyList<StoredObject>> DrainAsync()
    {
        CancellationToken cancel = _stop.Token;
        try
        {
            long raw = 0;
            ObjectWriter data = await _data.ConfigureAwait(false);
            while (await _lane.NextAsync(cancel).ConfigureAwait(false) is { } frame)
            {
                try
                {
                    await data.WriteAsync(frame.Bytes, cancel).ConfigureAwait(false);
                    _seekTable.Add(frame.Bytes.Span, frame.RawLength);
                    _frames.Add(new FrameSpan(_packed, frame.Length, raw, frame.RawLength, frame.Checksum));
                    _packed += frame.Length;
                    raw += frame.RawLength;
                }
                finally
                {
                    _lane.Return(frame);
                }
                await _index.WriteOnAsync(cancel).ConfigureAwait(false);
            }
            IReadOnlyList<StoredObject> objects = await FinishObjectsAsync(data, cancel).ConfigureAwait(false);
            _lane.Leave();
            return objects;
        }
        catch (Exception e)
        {
            _lane.Fail(e);
            throw;
        }
    }

    private async Task<IReadOnlyList<StoredObject>> FinishObjectsAsync(ObjectWriter writer, CancellationToken cancel)
    {
        _scan.Complete();
        await writer.WriteAsync(_seekTable.ToBytes(), cancel).ConfigureAwait(false);
        ObjectReceipt data = await writer.CommitAsync(cancel).ConfigureAwait(false);
        if (data.Size != _packed + SeekTable.Size(_frames.Count))
            throw new BackupException($"{_store.Location} took {data.Size} bytes of {_keys.Data} where {_packed + SeekTable.Size(_frames.Count)} were sent.", "Check the store, then run the backup again.");
        ObjectReceipt index = await _index.CommitAsync(_frames, cancel).ConfigureAwait(false);
        return [StoredObject.Of(_keys.Data, data), StoredObject.Of(_keys.Index, index)];
    }

    public override async Task<Snapshot> CommitAsync(SnapshotRecord record, CancellationToken cancel)
    {
        if (!_whole || _committed) throw new InvalidOperationException("only a whole tar can be committed, and only once");
        if (record.Id != _draft.Id || record.Environment != _draft.Environment || record.Source != _draft.Source || record.TakenAt != _draft.TakenAt)
            throw new ArgumentException("the record is of another snapshot", nameof(record));

        IReadOnlyList<StoredObject> objects;
        await using (cancel.Register(_stop.Cancel).ConfigureAwait(false))
        {
            try
            {
                objects = await _draining!.ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                cancel.ThrowIfCancellationRequested();
                throw;
            }
        }
        if (await _store.HeadAsync(_keys.Marker, cancel).ConfigureAwait(false) is null)
            throw new BackupException($"Another prune took this unfinished snapshot for abandoned and collected it ({_keys.Stem}).",
                "Give prune a minimum age that is longer than the longest backup, then run the backup again.");
        long tarBytes = _frames[^1].RawOffset + _frames[^1].RawLength;
        var manifest = new Manifest(Manifest.FormatName, Manifest.Version, _draft.Id, _draft.Environment, _draft.Source, _draft.TakenAt,
            new TarFacts(tarBytes, Convert.ToHexStringLower(_tarHash.GetCurrentHash()), _scan.Entries, _scan.Files),
            new CompressionFacts("zstd-seekable", _draft.Level, FrameBytes, _frames.Count),
            objects,
            record.Quiesce, record.Volume, record.Consumers, record.Engine, record.ToolVersion, record.RunId)
        {
            Dump = record.Dump,
            Timing = _lane.SourceTime is { } read ? new Timing(Rounded(read), Rounded(_context.Time.GetElapsedTime(_begun))) : null,
        };
        byte[] bytes = ManifestJson.Write(manifest);
        await _store.PutAsync(_keys.Manifest, bytes, cancel).ConfigureAwait(false);
        _committed = true;
        await RemoveMarkerAsync().ConfigureAwait(false);
        return manifest.Snapshot(_store.Name, bytes.Length);
    }

    private static double Rounded(TimeSpan time) => Math.Round(time.TotalSeconds, 3);

    /// <summary>The snapshot exists already; a marker that stays is harmless and the next prune takes it away.</summary>
    private async Task RemoveMarkerAsync()
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(30), _context.Time);
        try
        {
            await _store.DeleteAsync(_keys.Marker, deadline.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is BackupException or OperationCanceledException)
        {
            _context.Events.Report(new RunEvent.Warning($"The marker {_keys.Marker} could not be removed: {e.Message}", "It is harmless; the next 'backup prune' removes it."));
        }
    }

    public override async ValueTask DisposeAsync()
    {
        if (_disposed) return;
        _disposed = true;
        await _stop.CancelAsync().ConfigureAwait(false);
        _lane.Fail(new ObjectDisposedException(nameof(StagedArchive)));
        if (_draining is not null) await _draining.ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default).ConfigureAwait(false);
        await _lane.DisposeAsync().ConfigureAwait(false);
        await ((Task)_data).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (_data.IsCompletedSuccessfully) await _data.Result.DisposeAsync().ConfigureAwait(false);
        await _index.DisposeAsync().ConfigureAwait(false);
        _tarHash.Dispose();
        _stop.Dispose();
        if (!_committed) await DiscardAsync().ConfigureAwait(false);
    }

    /// <summary>The manifest goes first: a commit that failed without an answer may have written it.</summary>
    private async Task DiscardAsync()
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(30), _context.Time);
        try
        {
            await _store.DeleteAsync(_keys.Manifest, deadline.Token).ConfigureAwait(false);
            // An upload whose beginning was not answered has no writer that could discard it.
            foreach (string key in (string[])[_keys.Manifest, _keys.Data, _keys.Index]) await _store.AbortUploadsAsync(key, deadline.Token).ConfigureAwait(false);
            foreach (string key in (string[])[_keys.Data, _keys.Index, _keys.Marker])
                await _store.DeleteAsync(key, deadline.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is BackupException or OperationCanceledException)
        {
            _context.Events.Report(new RunEvent.Warning($"What the unfinished snapshot {_keys.Stem} left could not be removed: {e.Message}", "The next 'backup prune' collects it."));
        }
    }
}
