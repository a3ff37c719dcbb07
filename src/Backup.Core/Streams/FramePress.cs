using System.Collections.Concurrent;

namespace Backup.Streams;

/// <summary>
/// Where tars become compressed frames, on all cores and in bounded memory. A frame is filled by a reader, inspected (one thread sees every byte in
/// order), digested (in order too, at once or later), packed, and drained in order by whoever writes to a store. Each tar is a <see cref="FrameLane"/>;
/// lanes that are open at the same time share threads and buffers, and are drained one after the other. With a spool a reader waits neither for
/// compressors nor for a store: frames that wait are moved there, and loaded when it is their turn.
/// </summary>
internal sealed class FramePress
{
    private const int MostInStock = 16;
    /// <summary>The engine takes one at full speed; reader, inspection and spool take another.</summary>
    private const int CoresForReading = 2;
    /// <summary>Buffers of presses that ended: the next one need not make its own.</summary>
    private static readonly ConcurrentBag<byte[]> Stock = [];

    private readonly Lock _gate = new();
    private readonly Stack<byte[]> _buffers = new();
    private readonly FrameSchedule _schedule;
    private readonly Spool? _spool;
    private readonly int _bufferSize;
    private readonly WorkThreads _inspector, _packers;
    private readonly WorkThreads? _mover;
    private int _users;

    private FramePress(int frameSize, Spool? spool)
    {
        Zstd.Require();
        (FrameSize, _spool) = (frameSize, spool);
        _bufferSize = ZstdCompressor.Bound(frameSize);
        int packers = Frame.Workers(level: 1);
        // Two buffers for each frame in work, and for two more; of these each packer has one for itself.
        _schedule = new FrameSchedule(2 * (packers + 2) - packers, elastic: spool is not null, Environment.ProcessorCount - CoresForReading);
        _inspector = new WorkThreads("backup check", 1, Inspect);
        _packers = new WorkThreads("backup zstd", packers, Pack);
        _mover = spool is null ? null : new WorkThreads("backup spool", 1, MoveAway);
    }

    internal int FrameSize { get; }

    /// <summary>Null where nobody needs to know how fast a source is.</summary>
    internal TimeProvider? Clock => _spool?.Clock;

    /// <summary>A press of one's own, or the one that all share who have this spool. Each user calls <see cref="Close"/> once.</summary>
    internal static FramePress Open(int frameSize, Spool? spool)
    {
        if (spool is null) return new FramePress(frameSize, null) { _users = 1 };
        lock (spool)
        {
            spool.Press ??= new FramePress(frameSize, spool);
            spool.Press._users++;
            return spool.Press;
        }
    }

    /// <summary>The last user's ends the threads. None of the user's lanes may be in work.</summary>
    internal void Close()
    {
        lock (_spool ?? (object)this)
        {
            if (--_users > 0) return;
            if (_spool is not null) _spool.Press = null;
        }
        _inspector.Dispose();
        _packers.Dispose();
        _mover?.Dispose();
        while (_buffers.TryPop(out byte[]? buffer)) GiveToStock(buffer);
    }

    /// <summary>The lane's turn to be drained comes when all that entered before it left.</summary>
    internal void Enter(FrameLane lane)
    {
        lock (_gate) _schedule.Enter(lane);
    }

    internal void Leave(FrameLane lane)
    {
        lock (_gate)
        {
            _schedule.Leave(lane);
            Advance();
        }
    }

    /// <summary>A buffer to fill: goes on as a frame, or back by <see cref="GiveBack"/>.</summary>
    internal async ValueTask<byte[]> RentAsync(FrameLane lane, CancellationToken cancel)
    {
        while (true)
        {
            Task room;
            lock (_gate)
            {
                lane.ThrowIfFailed();
                if (_schedule.MayFill) return TakeBuffer();
                room = lane.Room.Wait();
                Advance();
            }
            await room.WaitAsync(cancel).ConfigureAwait(false);
        }
    }

    internal void GiveBack(byte[] buffer)
    {
        lock (_gate)
        {
            GiveBuffer(buffer);
            Advance();
        }
    }

    internal void Add(LaneFrame frame)
    {
        lock (_gate)
        {
            if (frame.Lane.Failed) GiveBuffer(frame.Buffer!);
            else _schedule.Filled(frame);
            Advance();
        }
        _inspector.Wake();
    }

    /// <summary>The source is read, or given up: nobody is held by this lane any more.</summary>
    internal void EndReading(FrameLane lane)
    {
        lock (_gate)
        {
            lane.Reading = false;
            Advance();
        }
    }

    /// <summary>Nothing more will be added.</summary>
    internal void Complete(FrameLane lane)
    {
        lock (_gate)
        {
            lane.Complete = true;
            Advance();
        }
    }

    /// <summary>Completes when all that was added has been inspected.</summary>
    internal async Task AllSeenAsync(FrameLane lane, CancellationToken cancel)
    {
        while (true)
        {
            Task seen;
            lock (_gate)
            {
                lane.ThrowIfFailed();
                if (lane.Unseen == 0) return;
                seen = lane.AllSeen.Wait();
            }
            await seen.WaitAsync(cancel).ConfigureAwait(false);
        }
    }

    /// <summary>The next compressed frame when it is the lane's turn; null at the end. It goes back by <see cref="Drained"/>.</summary>
    internal async ValueTask<LaneFrame?> NextAsync(FrameLane lane, CancellationToken cancel)
    {
        while (true)
        {
            LaneFrame? frame;
            Task turn = Task.CompletedTask;
            lock (_gate)
            {
                lane.ThrowIfFailed();
                frame = _schedule.NextToDrain(lane);
                if (frame is not null) Begin(frame);
                else if (lane.Complete && lane.Frames.Count == 0 && _schedule.IsTurnOf(lane)) return null;
                else turn = lane.Turn.Wait();
            }
            if (frame is not null)
            {
                if (TryLoad(frame)) return frame;
                lock (_gate) Ends(frame);
            }
            await turn.WaitAsync(cancel).ConfigureAwait(false);
        }
    }

    internal void Drained(LaneFrame frame)
    {
        lock (_gate)
        {
            // A lane that failed has no frames any more.
            if (!frame.Lane.Failed) frame.Lane.Frames.Dequeue();
            Drop(frame);
            LeavesWork(frame.Lane);
            Advance();
        }
    }

    /// <summary>Frees what the lane holds; what a thread is at goes when the thread is through.</summary>
    internal void Fail(FrameLane lane, Exception failure)
    {
        List<SpoolSlot> slots = [];
        lock (_gate)
        {
            if (lane.Failed) return;
            lane.Failure = failure;
            lane.Reading = false;
            foreach (LaneFrame frame in lane.Frames.Where(f => !f.Busy))
            {
                _schedule.Begins(frame);
                if (frame.Slot is not null) slots.Add(frame.Slot);
                Drop(frame);
            }
            lane.Frames.Clear();
            _schedule.Leave(lane);
            lane.Room.Set();
            lane.AllSeen.Set();
            lane.Turn.Set();
            Advance();
        }
        foreach (SpoolSlot slot in slots) _spool!.Free(slot);
    }

    /// <summary>Completes when no thread is at a frame of the lane.</summary>
    internal async Task IdleAsync(FrameLane lane)
    {
        while (true)
        {
            Task idle;
            lock (_gate)
            {
                if (lane.InWork == 0) return;
                idle = lane.Idle.Wait();
            }
            await idle.ConfigureAwait(false);
        }
    }

    // ---- the threads

    private void Inspect(WorkThreads threads)
    {
        while (threads.Wait())
            while (InspectOne()) { }
    }

    private bool InspectOne()
    {
        LaneFrame? frame;
        bool digests;
        lock (_gate)
        {
            frame = _schedule.NextToInspect();
            if (frame is null) return false;
            digests = _schedule.DigestsBeside(frame);
            if (digests) frame.Lane.Digesting = true;
            Begin(frame);
        }
        Exception? failure = null;
        try
        {
            frame.Lane.Inspect(frame);
            if (digests) Digest(frame);
        }
        catch (Exception e)
        {
            failure = e;
        }
        if (failure is not null) frame.Lane.Fail(failure);
        lock (_gate)
        {
            frame.Stage = FrameStage.Inspected;
            if (--frame.Lane.Unseen == 0) frame.Lane.AllSeen.Set();
            Ends(frame);
        }
        return true;
    }

    private void Pack(WorkThreads threads)
    {
        using var packer = new Packer(FromStock());
        while (threads.Wait())
            while (PackOne(packer)) { }
        GiveToStock(packer.Target);
    }

    private bool PackOne(Packer packer)
    {
        LaneFrame? frame;
        bool digests;
        lock (_gate)
        {
            frame = _schedule.NextToPack();
            if (frame is null) return false;
            digests = FrameSchedule.IsNextToDigest(frame);
            if (digests) frame.Lane.Digesting = true;
            Begin(frame);
            _schedule.BeginsPacking(frame.Lane);
            if (_schedule.NextToPack() is not null) _packers.Wake();
        }
        if (TryLoad(frame))
        {
            try
            {
                if (digests) Digest(frame);
                packer.Pack(frame);
            }
            catch (Exception e)
            {
                frame.Lane.Fail(e);
            }
        }
        lock (_gate)
        {
            _schedule.EndsPacking(frame.Lane);
            Ends(frame);
        }
        return true;
    }

    /// <summary>Lets the next frame be digested, by another thread, as soon as this one is.</summary>
    private void Digest(LaneFrame frame)
    {
        frame.Lane.Digest(frame);
        lock (_gate)
        {
            frame.Lane.Digested++;
            frame.Lane.Digesting = false;
            Advance();
        }
    }

    private void MoveAway(WorkThreads threads)
    {
        while (threads.Wait())
            while (MoveOneAway()) { }
    }

    private bool MoveOneAway()
    {
        LaneFrame frame;
        SpoolSlot slot;
        lock (_gate)
        {
            if (_schedule.NextToMoveAway() is not { } next) return false;
            SpoolSlot? place = _spool!.TryTake(next.Length);
            _schedule.SpoolIsFull = place is null;
            if (place is null)
            {
                if (_schedule.NextToPack() is not null) _packers.Wake();
                return false;
            }
            (frame, slot) = (next, place);
            Begin(frame);
        }
        IOException? failure = null;
        try
        {
            _spool.Write(slot, frame.Bytes.Span);
        }
        catch (IOException e)
        {
            failure = e;
        }
        FrameLane[] readers = [];
        bool moved;
        lock (_gate)
        {
            moved = failure is null && !frame.Lane.Failed;
            if (failure is not null) readers = [.. _schedule.Lanes.Where(l => l.Reading)];
            if (moved)
            {
                frame.Slot = slot;
                Drop(frame);
                Ends(frame);
            }
        }
        if (!moved)
        {
            _spool.Free(slot);
            // Only now: who waits for the lane's last thread finds its places free.
            lock (_gate) Ends(frame);
        }
        // The disk is the containers' too: who fills it lets go of all it took. Those that only wait to be drained go on.
        foreach (FrameLane reader in readers) reader.Fail(_spool.Failure(failure!));
        return true;
    }

    // ---- under the lock

    /// <summary>A thread takes a frame on that waited; one that waited in the spool gets a buffer to be loaded into.</summary>
    private void Begin(LaneFrame frame)
    {
        _schedule.Begins(frame);
        frame.Buffer ??= TakeBuffer();
        frame.Lane.InWork++;
    }

    private void Ends(LaneFrame frame)
    {
        if (frame.Lane.Failed) Drop(frame);
        else _schedule.Waits(frame);
        LeavesWork(frame.Lane);
        Advance();
    }

    private static void LeavesWork(FrameLane lane)
    {
        if (--lane.InWork == 0) lane.Idle.Set();
    }

    /// <summary>Takes the frame's buffer from it.</summary>
    private void Drop(LaneFrame frame)
    {
        if (frame.Buffer is not null) GiveBuffer(frame.Buffer);
        frame.Buffer = null;
    }

    /// <summary>Something changed: wakes whoever can go on.</summary>
    private void Advance()
    {
        if (_schedule.MayFill)
            foreach (FrameLane lane in _schedule.Lanes) lane.Room.Set();
        if (_schedule.Lanes is [{ Turn.Awaited: true } head, ..] && (_schedule.NextToDrain(head) is not null || head.Complete && head.Frames.Count == 0)) head.Turn.Set();
        if (_schedule.NextToPack() is not null) _packers.Wake();
        if (_schedule.NextToMoveAway() is not null) _mover!.Wake();
    }

    private byte[] TakeBuffer()
    {
        _schedule.TakeBuffer();
        return _buffers.TryPop(out byte[]? buffer) ? buffer : FromStock();
    }

    private void GiveBuffer(byte[] buffer)
    {
        _schedule.GiveBuffer();
        _buffers.Push(buffer);
    }

    /// <summary>Brings a frame's bytes back from the spool when they are there. False when the disk failed, and the frame's lane with it.</summary>
    private bool TryLoad(LaneFrame frame)
    {
        if (frame.Slot is not { } slot) return true;
        try
        {
            _spool!.Read(slot, frame.Buffer);
            return true;
        }
        catch (IOException e)
        {
            frame.Lane.Fail(_spool!.Failure(e));
            return false;
        }
        finally
        {
            frame.Slot = null;
            _spool!.Free(slot);
        }
    }

    private byte[] FromStock()
    {
        while (Stock.TryTake(out byte[]? buffer))
            if (buffer.Length == _bufferSize) return buffer;
        return GC.AllocateUninitializedArray<byte>(_bufferSize);
    }

    private static void GiveToStock(byte[] buffer)
    {
        if (Stock.Count < MostInStock) Stock.Add(buffer);
    }
}
