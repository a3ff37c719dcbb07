using System.Threading.Channels;

namespace Backup.Streams;

/// <summary>
/// Cuts a stream into frames of equal size and compresses them on all cores, in bounded memory. Beside the compression one thread sees
/// every byte in order (hash, tar scan). Frames come out in order by <see cref="NextAsync"/>.
/// </summary>
internal sealed class FrameCompressor : IDisposable
{
    private readonly FramePool _pool;
    private readonly FrameThread _inspector;
    private readonly FrameThread _workers;
    private readonly Channel<Frame> _ordered = Channel.CreateUnbounded<Frame>(new() { SingleReader = true, SingleWriter = true });
    private readonly TaskCompletionSource _inspected = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _stop = new();
    private readonly Action<ReadOnlySpan<byte>> _inspect;
    private readonly int _level;
    private Exception? _failure;

    /// <param name="inspect">Sees all content in order, on one thread; what it throws ends the taking of input.</param>
    internal FrameCompressor(int frameSize, int level, Action<ReadOnlySpan<byte>> inspect)
    {
        Zstd.Require();
        int workers = Frame.Workers(level);
        _pool = new FramePool(frameSize, workers + 2);
        _level = level;
        _inspect = inspect;
        _inspector = new FrameThread("backup scan", 1, Inspect);
        _workers = new FrameThread("backup zstd", workers, Compress);
    }

    /// <summary>
    /// Takes the whole stream over. Returns when the last byte was inspected; compression of the last frames may be under way.
    /// </summary>
    /// <exception cref="Exception">Of the source, of the inspection, or the one given to <see cref="Abort"/>.</exception>
    internal async Task TakeAsync(Stream source, IProgress<long>? progress, CancellationToken cancel)
    {
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(cancel, _stop.Token);
        long total = 0, reported = 0;
        try
        {
            for (int number = 0; ; number++)
            {
                Frame frame = await _pool.RentAsync(linked.Token).ConfigureAwait(false);
                int fill = 0, read = -1;
                try
                {
                    while (fill < _pool.FrameSize && (read = await source.ReadAsync(frame.Raw.AsMemory(fill), linked.Token).ConfigureAwait(false)) > 0)
                    {
                        fill += read;
                        total += read;
                        if (progress is null || total - reported < 256 << 10) continue;
                        progress.Report(reported = total);
                    }
                }
                catch
                {
                    _pool.Return(frame);
                    throw;
                }
                if (fill == 0) { _pool.Return(frame); break; }
                frame.RawLength = fill;
                frame.Start(number, users: 2);
                _ordered.Writer.TryWrite(frame);
                _workers.Add(frame);
                _inspector.Add(frame);
                if (read == 0) break;
            }
            if (total != reported) progress?.Report(total);
            _inspector.Finish();
            await _inspected.Task.WaitAsync(linked.Token).ConfigureAwait(false);
            _stop.Token.ThrowIfCancellationRequested();
        }
        catch (Exception) when (_stop.IsCancellationRequested && !cancel.IsCancellationRequested && _failure is not null)
        {
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(_failure);
        }
        finally
        {
            _ordered.Writer.TryComplete();
            _workers.Finish();
        }
    }

    /// <summary>The next compressed frame in order, or null at the end; give it back by <see cref="Return"/>.</summary>
    internal async ValueTask<Frame?> NextAsync(CancellationToken cancel)
    {
        if (!await _ordered.Reader.WaitToReadAsync(cancel).ConfigureAwait(false)) return null;
        _ordered.Reader.TryRead(out Frame? frame);
        await frame!.Done.Task.ConfigureAwait(false);
        return frame;
    }

    internal void Return(Frame frame)
    {
        if (frame.Leave()) _pool.Return(frame);
    }

    /// <summary>Stops taking input: <see cref="TakeAsync"/> ends with this failure.</summary>
    internal void Abort(Exception failure)
    {
        Interlocked.CompareExchange(ref _failure, failure, null);
        _stop.Cancel();
    }

    private void Inspect(IEnumerable<Frame> frames)
    {
        foreach (Frame frame in frames)
        {
            try
            {
                if (_failure is null) _inspect(frame.Raw.AsSpan(0, frame.RawLength));
            }
            catch (Exception e)
            {
                Abort(e);
            }
            Return(frame);
        }
        _inspected.TrySetResult();
    }

    private void Compress(IEnumerable<Frame> frames)
    {
        ZstdCompressor? zstd = null;
        foreach (Frame frame in frames)
        {
            try
            {
                zstd ??= new ZstdCompressor(_level);
                frame.PackedLength = zstd.Frame(frame.Raw.AsSpan(0, frame.RawLength), frame.Packed);
                frame.Checksum = XxHash64.Of(frame.Packed.AsSpan(0, frame.PackedLength));
                frame.Done.SetResult();
            }
            catch (Exception e)
            {
                frame.Done.SetException(e);
            }
        }
        zstd?.Dispose();
    }

    /// <summary>Call when nobody is in <see cref="TakeAsync"/> or <see cref="NextAsync"/> any more. Waits for the frames in work, some milliseconds.</summary>
    public void Dispose()
    {
        _stop.Cancel();
        _ordered.Writer.TryComplete();
        _inspector.Dispose();
        _workers.Dispose();
        _pool.Close();
        _stop.Dispose();
    }
}
