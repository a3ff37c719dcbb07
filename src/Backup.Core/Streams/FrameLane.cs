using System.Runtime.ExceptionServices;

namespace Backup.Streams;

/// <summary>
/// One tar on its way through a <see cref="FramePress"/>: taken in by <see cref="TakeAsync"/>, drained in order by <see cref="NextAsync"/>. A failure at
/// either end, or between, ends both, and frees at once what the tar holds.
/// </summary>
/// <param name="level">zstd compression level, 1 to 19.</param>
/// <param name="inspect">Sees all content in order, before the taking ends; what it throws ends the lane.</param>
/// <param name="digest">Sees all content in order as well, but when there is time for it: at the latest right before a frame is compressed.</param>
internal sealed class FrameLane(FramePress press, int level, Action<ReadOnlySpan<byte>> inspect, Action<ReadOnlySpan<byte>> digest) : IAsyncDisposable
{
    /// <summary>Bytes a second. Beside a source that brings more, two cores have no time to compress.</summary>
    internal const double QuickSource = 125e6;

    /// <summary>Never disposed, which it needs not: a thread of the press may be about to cancel it.</summary>
    private readonly CancellationTokenSource _stop = new();

    /// <summary>Of late, for one frame.</summary>
    private TimeSpan _pace;

    /// <summary>How long the source was waited for so far, without the waits for room and for the compressor. Null where nobody looks at a clock: without a spool.</summary>
    internal TimeSpan? SourceTime { get; private set; }

    internal int Level => level;
    /// <summary>How many of its frames are compressed at the same time: high levels take much memory each.</summary>
    internal int MostPacking { get; } = Frame.Workers(level);
    internal void Inspect(LaneFrame frame) => inspect(frame.Bytes.Span);
    internal void Digest(LaneFrame frame) => digest(frame.Bytes.Span);

    // ---- the press's, under its lock

    /// <summary>Lanes are drained in this order.</summary>
    internal int Order;
    /// <summary>Everything that is not drained yet, in order.</summary>
    internal readonly Queue<LaneFrame> Frames = new();
    internal bool Reading, Complete;
    /// <summary>Even two cores have time to digest and compress beside it.</summary>
    internal bool IsSlow => _pace.TotalSeconds * QuickSource > press.FrameSize;
    /// <summary>Frames that the inspection has still to see, that are being compressed, that any thread is at.</summary>
    internal int Unseen, Packing, InWork;
    /// <summary>How many of its first frames the digest has seen, and whether a thread is at the next one.</summary>
    internal int Digested;
    internal bool Digesting;
    internal Exception? Failure;
    internal bool Failed => Failure is not null;
    internal readonly Signal Room = new(), AllSeen = new(), Turn = new(), Idle = new();

    internal void ThrowIfFailed()
    {
        if (Failure is not null) ExceptionDispatchInfo.Throw(Failure);
    }

    // ---- its two ends

    /// <summary>
    /// Takes a stream over to its end. Returns when the last byte was inspected; the last frames may wait for compression, or in the spool.
    /// </summary>
    /// <exception cref="Exception">Of the source, of the inspection, or the one given to <see cref="Fail"/>.</exception>
    internal async Task TakeAsync(Stream source, IProgress<long>? progress, CancellationToken cancel)
    {
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(cancel, _stop.Token);
        press.Enter(this);
        try
        {
            await FillAsync(source, progress, linked.Token).ConfigureAwait(false);
            await press.AllSeenAsync(this, linked.Token).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            bool stopped = _stop.IsCancellationRequested && !cancel.IsCancellationRequested;
            Fail(e);
            if (stopped) ThrowIfFailed();
            throw;
        }
        finally
        {
            press.EndReading(this);
        }
    }

    /// <summary>What was taken is all of it: after the last frame <see cref="NextAsync"/> tells the end.</summary>
    internal void End() => press.Complete(this);

    /// <summary>The next compressed frame, when all lanes before this one are through; null at the end. Give it back by <see cref="Return"/>.</summary>
    internal ValueTask<LaneFrame?> NextAsync(CancellationToken cancel) => press.NextAsync(this, cancel);

    internal void Return(LaneFrame frame) => press.Drained(frame);

    /// <summary>The drain is done: it is the next lane's turn.</summary>
    internal void Leave() => press.Leave(this);

    /// <summary>Ends the lane: whoever is at one of its ends gets this failure. The first one counts.</summary>
    internal void Fail(Exception failure)
    {
        press.Fail(this, failure);
        // Whoever is woken by this must not run on the caller's thread: it may be one of the press, for whose end they wait.
        _ = _stop.CancelAsync();
    }

    /// <summary>Call when nobody is at its ends any more. Waits for the frames in work, some milliseconds.</summary>
    public async ValueTask DisposeAsync()
    {
        Fail(new ObjectDisposedException(nameof(FrameLane)));
        await press.IdleAsync(this).ConfigureAwait(false);
        press.Close();
    }

    private async Task FillAsync(Stream source, IProgress<long>? progress, CancellationToken cancel)
    {
        long total = 0, reported = 0;
        for (int number = 0, read = -1; read != 0; number++)
        {
            byte[] buffer = await press.RentAsync(this, cancel).ConfigureAwait(false);
            long started = press.Clock?.GetTimestamp() ?? 0;
            int fill = 0;
            try
            {
                while (fill < press.FrameSize && (read = await source.ReadAsync(buffer.AsMemory(fill, press.FrameSize - fill), cancel).ConfigureAwait(false)) > 0)
                {
                    fill += read;
                    total += read;
                    if (progress is null || total - reported < 256 << 10) continue;
                    progress.Report(reported = total);
                }
            }
            catch
            {
                press.GiveBack(buffer);
                throw;
            }
            if (press.Clock?.GetElapsedTime(started) is { } took)
            {
                SourceTime = SourceTime.GetValueOrDefault() + took;
                // The first one waits for the engine to begin.
                if (number > 0 && fill == press.FrameSize) _pace = number == 1 ? took : _pace + (took - _pace) / 4;
            }
            if (fill == 0) press.GiveBack(buffer);
            else press.Add(new LaneFrame(this, number, buffer, fill));
        }
        if (total != reported) progress?.Report(total);
    }
}

/// <summary>Something that can be waited for, again and again; set and asked under one lock.</summary>
internal sealed class Signal
{
    private TaskCompletionSource? _waiting;

    internal bool Awaited => _waiting is not null;

    internal Task Wait() => (_waiting ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    internal void Set()
    {
        _waiting?.SetResult();
        _waiting = null;
    }
}
