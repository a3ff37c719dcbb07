namespace Backup.Streams;

/// <summary>
/// Which frame is where, how many buffers are free, and what is to be done next. It decides and keeps count, and does nothing itself. Not for use by
/// two threads at once.
/// </summary>
/// <param name="buffers">How many frames can be in memory.</param>
/// <param name="elastic">There is a spool: where a reader finds no buffer, frames are moved there.</param>
/// <param name="spareCores">How many the engine, the reader, the inspection and the spool do not need.</param>
internal sealed class FrameSchedule(int buffers, bool elastic, int spareCores)
{
    /// <summary>These go to the store in a moment: moving them away would only bring them back.</summary>
    private const int NearTheStore = 2;

    private readonly List<FrameLane> _lanes = [];
    private readonly Queue<LaneFrame> _unseen = new();
    private readonly SortedSet<LaneFrame> _raw = new(LaneFrame.ByTurn), _packed = new(LaneFrame.ByTurn), _rawAway = new(LaneFrame.ByTurn);
    private int _away, _packing;
    private int _orders;

    /// <summary>The last frame that was to be moved there found no room.</summary>
    internal bool SpoolIsFull { get; set; }

    internal int Free { get; private set; } = buffers;
    internal IReadOnlyList<FrameLane> Lanes => _lanes;
    private FrameLane? Reader => _lanes.Find(l => l.Reading);

    /// <summary>The lane that is drained, and its next frame.</summary>
    private FrameLane? Head => _lanes.Count > 0 ? _lanes[0] : null;
    private LaneFrame? Front => Head is { Frames.Count: > 0 } head ? head.Frames.Peek() : null;

    /// <summary>
    /// A reader may have a buffer. As long as any frames are in the spool, one stays for the next in turn: all others may be held by frames that wait
    /// for that one.
    /// </summary>
    internal bool MayFill => Free > (_away > 0 ? 1 : 0);

    internal void TakeBuffer() => Free--;

    internal void GiveBuffer() => Free++;

    internal void Enter(FrameLane lane)
    {
        lane.Order = _orders++;
        lane.Reading = true;
        _lanes.Add(lane);
    }

    internal void Leave(FrameLane lane) => _lanes.Remove(lane);

    internal void Filled(LaneFrame frame)
    {
        frame.Lane.Frames.Enqueue(frame);
        frame.Lane.Unseen++;
        _unseen.Enqueue(frame);
    }

    /// <summary>A frame waits for its next stage: in memory or, when it has no buffer, in the spool.</summary>
    internal void Waits(LaneFrame frame)
    {
        frame.Busy = false;
        if (frame.Buffer is null) _away++;
        Waiting(frame)?.Add(frame);
    }

    /// <summary>A stage begins with a frame that waited, or the frame is given up.</summary>
    internal void Begins(LaneFrame frame)
    {
        frame.Busy = true;
        if (frame.Buffer is null) _away--;
        Waiting(frame)?.Remove(frame);
    }

    /// <summary>In the order of reading; what belongs to a lane that failed is passed over.</summary>
    internal LaneFrame? NextToInspect()
    {
        while (_unseen.TryDequeue(out LaneFrame? frame))
            if (!frame.Lane.Failed) return frame;
        return null;
    }

    /// <summary>
    /// How many cores may work at what can wait; null = all. While a source is read for which containers are held, those that the engine and the reading
    /// leave; a slow source leaves one in any case, and when the spool is full the reader waits for this work.
    /// </summary>
    private int? Spare => elastic && !SpoolIsFull && Reader is { } reader ? Math.Max(spareCores, reader.IsSlow ? 1 : 0) : null;

    /// <summary>The digest may see this frame right after the inspection, which costs least: its bytes are in the processor's cache.</summary>
    internal bool DigestsBeside(LaneFrame frame) => Spare != 0 && IsNextToDigest(frame);

    /// <summary>The digest has to see this frame before it is compressed.</summary>
    internal static bool IsNextToDigest(LaneFrame frame) => frame.Number == frame.Lane.Digested && !frame.Lane.Digesting;

    /// <summary>
    /// First what the store waits for, then what is in memory. What is in the spool comes last, and while anything is read only when buffers abound: each
    /// frame that is loaded then pushes another one out. Beside a slow source that is worth it for the digest, which all frames behind it wait for.
    /// </summary>
    internal LaneFrame? NextToPack()
    {
        if (_packing >= Spare) return null;
        if (Front is { Stage: FrameStage.Inspected, Busy: false } front && (front.Buffer is not null || Free > 0) && MayPack(front)) return front;
        if (_raw.FirstOrDefault(MayPack) is { } raw) return raw;
        if (_rawAway.Min is not { } away || !MayPack(away)) return null;
        return Free > (Reader is null || Reader.IsSlow && IsNextToDigest(away) ? 1 : 2) ? away : null;
    }

    private static bool MayPack(LaneFrame frame) =>
        (frame.Number < frame.Lane.Digested || IsNextToDigest(frame)) && frame.Lane.Packing < frame.Lane.MostPacking;

    internal void BeginsPacking(FrameLane lane)
    {
        lane.Packing++;
        _packing++;
    }

    internal void EndsPacking(FrameLane lane)
    {
        lane.Packing--;
        _packing--;
    }

    /// <summary>When a reader has no buffer: the frame that is needed last. Compressed ones first, for they wait for the store; raw ones for a free core.</summary>
    internal LaneFrame? NextToMoveAway()
    {
        if (!elastic || MayFill || Reader is null) return null;
        return _packed.Max is { } packed && !IsNearTheStore(packed) ? packed : _raw.Max is { } raw && !IsNearTheStore(raw) ? raw : null;
    }

    /// <summary>The lane's next frame, when it is the lane's turn and the frame is ready.</summary>
    internal LaneFrame? NextToDrain(FrameLane lane) =>
        IsTurnOf(lane) && Front is { Stage: FrameStage.Packed, Busy: false } front && (front.Buffer is not null || Free > 0) ? front : null;

    internal bool IsTurnOf(FrameLane lane) => Head == lane;

    private bool IsNearTheStore(LaneFrame frame) => IsTurnOf(frame.Lane) && frame.Number - frame.Lane.Frames.Peek().Number < NearTheStore;

    private SortedSet<LaneFrame>? Waiting(LaneFrame frame) => frame.Stage switch
    {
        FrameStage.Inspected => frame.Buffer is null ? _rawAway : _raw,
        FrameStage.Packed when frame.Buffer is not null => _packed,
        _ => null,
    };
}
