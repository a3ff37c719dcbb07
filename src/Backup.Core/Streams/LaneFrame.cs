namespace Backup.Streams;

internal enum FrameStage
{
    /// <summary>Read from the source.</summary>
    Filled,
    /// <summary>Seen by the inspection, perhaps by the digest; not compressed yet.</summary>
    Inspected,
    Packed,
}

/// <summary>A frame of a <see cref="FrameLane"/>. Its bytes are in a buffer or, while it waits, in the spool. Changed under the press's lock.</summary>
internal sealed class LaneFrame(FrameLane lane, int number, byte[] buffer, int rawLength)
{
    internal FrameLane Lane => lane;
    internal int Number => number;
    internal readonly int RawLength = rawLength;

    internal FrameStage Stage;
    /// <summary>A thread is at it: nobody else may touch it.</summary>
    internal bool Busy;
    /// <summary>Null while its bytes are in the spool.</summary>
    internal byte[]? Buffer = buffer;
    internal SpoolSlot? Slot;
    /// <summary>Of the bytes as they are now, tar or compressed.</summary>
    internal int Length = rawLength;
    /// <summary>Of the compressed form.</summary>
    internal ulong Checksum;

    internal ReadOnlyMemory<byte> Bytes => Buffer.AsMemory(0, Length);

    /// <summary>What is drained first comes first.</summary>
    internal static readonly Comparer<LaneFrame> ByTurn = Comparer<LaneFrame>.Create((a, b) =>
        a.Lane.Order != b.Lane.Order ? a.Lane.Order.CompareTo(b.Lane.Order) : a.Number.CompareTo(b.Number));
}
