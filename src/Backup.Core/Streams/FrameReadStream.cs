using System.Security.Cryptography;
using System.Threading.Channels;

namespace Backup.Streams;

/// <summary>
/// The content of some frames, in order: fetched ahead, compared with their checksums and decompressed on all cores in bounded memory.
/// With a final hash the last frame is handed out only after the hash of everything was found right, so no reader ever sees a clean end of bad data.
/// </summary>
internal sealed class FrameReadStream : ReadOnlyStream
{
    private readonly string _what;
    private readonly FrameSeen? _seen;
    private readonly FramePool _pool;
    private readonly FrameThread _workers;
    private readonly FrameThread? _hasher;
    private readonly string? _sha256;
    private readonly int _count;
    private readonly IReadOnlyList<FrameSpan> _spans;
    private readonly Channel<Frame> _ordered = Channel.CreateUnbounded<Frame>(new() { SingleReader = true, SingleWriter = true });
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _fetching;
    private Frame? _current;
    private int _at;
    private bool _closed;

    /// <param name="spans">The frames, ascending.</param>
    /// <param name="open">Opens the packed bytes at an offset for a length; the length is never more than is asked.</param>
    /// <param name="sha256">Hash that all content together must have, lower-case hex; null when only the frames' checksums are known.</param>
    /// <param name="what">What is read, for messages, such as the object's key.</param>
    /// <param name="seen">Sees each frame's compressed bytes and content size, in order, before they are proved.</param>
    /// <exception cref="BackupException">Thrown by reads: the bytes are not what was stored.</exception>
    internal FrameReadStream(IReadOnlyList<FrameSpan> spans, int frameSize, Func<long, long, CancellationToken, Task<Stream>> open, string? sha256, string what,
        FrameSeen? seen = null)
    {
        Zstd.Require();
        _what = what;
        _seen = seen;
        _spans = spans;
        _count = spans.Count;
        _sha256 = sha256;
        int workers = Math.Max(1, Math.Min(Frame.Workers(1), spans.Count));
        _pool = new FramePool(frameSize, workers + 2);
        _hasher = sha256 is null ? null : new FrameThread("backup hash", 1, HashAll);
        _workers = new FrameThread("backup unzstd", workers, Unpack);
        _fetching = Task.Run(() => FetchAsync(open, _stop.Token));
    }

    private async Task FetchAsync(Func<long, long, CancellationToken, Task<Stream>> open, CancellationToken cancel)
    {
        Exception? failure = null;
        Stream? source = null;
        try
        {
            for (int i = 0; i < _count; i++)
            {
                FrameSpan span = _spans[i];
                if (source is null)
                {
                    int last = i;
                    while (last + 1 < _count && _spans[last].PackedOffset + _spans[last].PackedLength == _spans[last + 1].PackedOffset) last++;
                    source = await open(span.PackedOffset, _spans[last].PackedOffset + _spans[last].PackedLength - span.PackedOffset, cancel).ConfigureAwait(false);
                }
                Frame frame = await _pool.RentAsync(cancel).ConfigureAwait(false);
                int got = await source.ReadAtLeastAsync(frame.Packed.AsMemory(0, span.PackedLength), span.PackedLength, throwOnEndOfStream: false, cancel)
                    .ConfigureAwait(false);
                if (got < span.PackedLength) throw Damaged($"it ends at byte {span.PackedOffset + got}, inside a frame");
                _seen?.Invoke(frame.Packed.AsSpan(0, span.PackedLength), span.RawLength);
                frame.PackedLength = span.PackedLength;
                frame.RawLength = span.RawLength;
                frame.Start(i, users: 1);
                _workers.Add(frame);
                if (_hasher is null) await _ordered.Writer.WriteAsync(frame, cancel).ConfigureAwait(false);
                else _hasher.Add(frame);
                if (i + 1 < _count && span.PackedOffset + span.PackedLength == _spans[i + 1].PackedOffset) continue;
                await source.DisposeAsync().ConfigureAwait(false);
                source = null;
            }
        }
        catch (Exception e)
        {
            failure = e;
        }
        finally
        {
            if (source is not null) await source.DisposeAsync().ConfigureAwait(false);
        }
        _workers.Finish();
        if (_hasher is null || failure is not null) _ordered.Writer.TryComplete(failure);
        _hasher?.Finish();
    }

    private void Unpack(IEnumerable<Frame> frames)
    {
        ZstdDecompressor? zstd = null;
        foreach (Frame frame in frames)
        {
            try
            {
                ReadOnlySpan<byte> packed = frame.Packed.AsSpan(0, frame.PackedLength);
                FrameSpan span = _spans[frame.Number];
                if (XxHash64.Of(packed) != span.Checksum)
                    throw Damaged($"bytes {span.PackedOffset} to {span.PackedOffset + span.PackedLength - 1} do not have the recorded checksum");
                zstd ??= new ZstdDecompressor();
                int? size = zstd.Frame(packed, frame.Raw, out string? problem);
                if (size != span.RawLength) throw Damaged($"the frame at byte {span.PackedOffset} does not decompress ({problem ?? "wrong size"})");
                frame.Done.SetResult();
            }
            catch (Exception e)
            {
                frame.Done.SetException(e);
            }
        }
        zstd?.Dispose();
    }

    private void HashAll(IEnumerable<Frame> frames)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        int done = 0;
        foreach (Frame frame in frames)
        {
            try
            {
                frame.Done.Task.GetAwaiter().GetResult();
                hash.AppendData(frame.Raw, 0, frame.RawLength);
                if (++done == _count && Convert.ToHexStringLower(hash.GetCurrentHash()) != _sha256)
                    throw Damaged("its content as a whole does not have the recorded hash");
                _ordered.Writer.TryWrite(frame);
            }
            catch (Exception e)
            {
                _ordered.Writer.TryComplete(e);
            }
        }
        _ordered.Writer.TryComplete();
    }

    private BackupException Damaged(string problem) =>
        new($"{_what} is damaged: {problem}.", "Restore another snapshot of this volume, or put the object back from another copy of the store.");

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancel = default)
    {
        if (buffer.Length == 0 || !await MoveAsync(cancel).ConfigureAwait(false)) return 0;
        int count = Math.Min(buffer.Length, _current!.RawLength - _at);
        _current.Raw.AsSpan(_at, count).CopyTo(buffer.Span);
        _at += count;
        return count;
    }

    /// <summary>The rest of the frame that is being read, without copying; empty at the end. Valid until the next read.</summary>
    internal async ValueTask<ReadOnlyMemory<byte>> ReadPieceAsync(CancellationToken cancel)
    {
        if (!await MoveAsync(cancel).ConfigureAwait(false)) return default;
        ReadOnlyMemory<byte> piece = _current!.Raw.AsMemory(_at, _current.RawLength - _at);
        _at = _current.RawLength;
        return piece;
    }

    public override async Task CopyToAsync(Stream destination, int bufferSize, CancellationToken cancel)
    {
        while (await ReadPieceAsync(cancel).ConfigureAwait(false) is { Length: > 0 } piece)
            await destination.WriteAsync(piece, cancel).ConfigureAwait(false);
    }

    /// <summary>Makes a byte of the current frame available; false at the end.</summary>
    private async ValueTask<bool> MoveAsync(CancellationToken cancel)
    {
        ObjectDisposedException.ThrowIf(_closed, this);
        while (_current is null || _at == _current.RawLength)
        {
            if (_current is not null)
            {
                _pool.Return(_current);
                _current = null;
            }
            if (!await _ordered.Reader.WaitToReadAsync(cancel).ConfigureAwait(false)) return false;
            if (!_ordered.Reader.TryRead(out Frame? frame)) continue;
            await frame.Done.Task.WaitAsync(cancel).ConfigureAwait(false);
            _current = frame;
            _at = 0;
        }
        return true;
    }

    public override async ValueTask DisposeAsync()
    {
        if (_closed) return;
        _closed = true;
        await _stop.CancelAsync().ConfigureAwait(false);
        await _fetching.ConfigureAwait(false);
        _workers.Dispose();
        _hasher?.Dispose();
        _pool.Close();
        _stop.Dispose();
    }
}

/// <summary>Looks at one frame's compressed bytes.</summary>
internal delegate void FrameSeen(ReadOnlySpan<byte> packed, int rawLength);
