using System.Security.Cryptography;
using Backup.Stores;
using Backup.Streams;

namespace Backup.Snapshots.Archive;

/// <summary>An archive being made: tar → scan beside compression → data object; the index grows along. See FORMAT.md for the order of work.</summary>
internal sealed class StagedArchive : StagedSnapshot
{
    internal const int FrameBytes = 2 << 20;
    /// <summary>An index up to this size waits in memory; a larger one streams into its object.</summary>
    private const int IndexInMemory = 4 << 20;

    private readonly IObjectStore _store;
    private readonly RunContext _context;
    private readonly ArchiveKeys _keys;
    private readonly string _id, _environment, _source;
    private readonly DateTimeOffset _takenAt;
    private readonly int _level;
    private readonly ObjectWriter _data;
    private readonly IncrementalHash _tarHash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private readonly FileIndexWriter _indexText = new();
    private readonly TarScan _scan;
    private readonly SeekTable _seekTable = new();
    private readonly List<FrameSpan> _frames = [];
    private readonly FrameCompressor _frameCompressor;
    private readonly CancellationTokenSource _stop = new();
    private ObjectWriter? _index;
    private Task? _draining;
    private long _packed;
    private bool _whole, _committed, _disposed;

    internal StagedArchive(IObjectStore store, RunContext context, ArchiveKeys keys, ObjectWriter data,
        (string Id, string Environment, string Source, DateTimeOffset TakenAt, int Level) facts)
    {
        (_store, _context, _keys, _data) = (store, context, keys, data);
        (_id, _environment, _source, _takenAt, _level) = facts;
        _scan = new TarScan(_indexText.Add, _indexText.AddGlobalHeader);
        _frameCompressor = new FrameCompressor(FrameBytes, _level, bytes =>
        {
            _scan.Push(bytes);
            _tarHash.AppendData(bytes);
        });
    }

    public override async Task WriteTarAsync(Stream tar, IProgress<long>? progress, CancellationToken cancel)
    {
        if (_draining is not null) throw new InvalidOperationException("a snapshot takes one tar");
        _draining = Task.Run(DrainAsync, CancellationToken.None);
        await _frameCompressor.TakeAsync(tar, progress, cancel).ConfigureAwait(false);
        _scan.Complete();
        _whole = true;
    }

    /// <summary>Carries frames into the data object, until the tar ends or something fails; a failure stops the taking of input as well.</summary>
    private async Task DrainAsync()
    {
        try
        {
            long raw = 0;
            while (await _frameCompressor.NextAsync(_stop.Token).ConfigureAwait(false) is { } frame)
            {
                await _data.WriteAsync(frame.Packed.AsMemory(0, frame.PackedLength), _stop.Token).ConfigureAwait(false);
                _seekTable.Add(frame.Packed.AsSpan(0, frame.PackedLength), frame.RawLength);
                _frames.Add(new FrameSpan(_packed, frame.PackedLength, raw, frame.RawLength, frame.Checksum));
                _packed += frame.PackedLength;
                raw += frame.RawLength;
                _frameCompressor.Return(frame);
                await SpillIndexAsync(IndexInMemory, _stop.Token).ConfigureAwait(false);
            }
        }
        catch (Exception e)
        {
            _frameCompressor.Abort(e);
            throw;
        }
    }

    private async Task SpillIndexAsync(int least, CancellationToken cancel)
    {
        ReadOnlyMemory<byte> ready = _indexText.Take(least);
        if (ready.Length == 0) return;
        _index ??= await _store.CreateAsync(_keys.Index, null, cancel).ConfigureAwait(false);
        await _index.WriteAsync(ready, cancel).ConfigureAwait(false);
    }

    public override async Task<Snapshot> CommitAsync(SnapshotRecord record, CancellationToken cancel)
    {
        if (!_whole || _committed) throw new InvalidOperationException("only a whole tar can be committed, and only once");
        if (record.Id != _id || record.Environment != _environment || record.Source != _source || record.TakenAt != _takenAt)
            throw new ArgumentException("the record is of another snapshot", nameof(record));

        await using (cancel.Register(_stop.Cancel).ConfigureAwait(false))
        {
            try
            {
                await _draining!.ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                cancel.ThrowIfCancellationRequested();
                throw;
            }
        }
        await _data.WriteAsync(_seekTable.ToBytes(), cancel).ConfigureAwait(false);
        ObjectReceipt data = await _data.CommitAsync(cancel).ConfigureAwait(false);
        if (data.Size != _packed + SeekTable.Size(_frames.Count))
            throw new BackupException($"{_store.Location} took {data.Size} bytes of {_keys.Data} where {_packed + SeekTable.Size(_frames.Count)} were sent.", "Check the store, then run the backup again.");

        foreach (FrameSpan frame in _frames) _indexText.AddFrame(frame);
        _indexText.End(_frames.Count);
        await SpillIndexAsync(1, cancel).ConfigureAwait(false);
        ObjectReceipt index = await _index!.CommitAsync(cancel).ConfigureAwait(false);

        if (await _store.HeadAsync(_keys.Marker, cancel).ConfigureAwait(false) is null)
            throw new BackupException($"Another prune took this unfinished snapshot for abandoned and collected it ({_keys.Stem}).",
                "Give prune a minimum age that is longer than the longest backup, then run the backup again.");
        long tarBytes = _frames[^1].RawOffset + _frames[^1].RawLength;
        var manifest = new Manifest(Manifest.FormatName, Manifest.Version, _id, _environment, _source, _takenAt,
            new TarFacts(tarBytes, Convert.ToHexStringLower(_tarHash.GetCurrentHash()), _scan.Entries, _scan.Files),
            new CompressionFacts("zstd-seekable", _level, FrameBytes, _frames.Count),
            [StoredObject.Of(_keys.Data, data), StoredObject.Of(_keys.Index, index)],
            record.Quiesce, record.Volume, record.Consumers, record.Engine, record.ToolVersion, record.RunId);
        byte[] bytes = ManifestJson.Write(manifest);
        await _store.PutAsync(_keys.Manifest, bytes, cancel).ConfigureAwait(false);
        _committed = true;
        await RemoveMarkerAsync().ConfigureAwait(false);
        return manifest.Snapshot(_store.Name, bytes.Length);
    }

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
        _frameCompressor.Abort(new ObjectDisposedException(nameof(StagedArchive)));
        if (_draining is not null) await _draining.ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default).ConfigureAwait(false);
        _frameCompressor.Dispose();
        await _data.DisposeAsync().ConfigureAwait(false);
        if (_index is not null) await _index.DisposeAsync().ConfigureAwait(false);
        _indexText.Dispose();
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
