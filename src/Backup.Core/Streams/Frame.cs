using System.Collections.Concurrent;

namespace Backup.Streams;

/// <summary>One frame on its way through a pipeline: a piece of tar and its compressed form. Buffers are kept for the next one.</summary>
internal sealed class Frame
{
    private static readonly ConcurrentBag<Frame> Idle = [];
    private const int MostIdle = 8;

    internal readonly byte[] Raw;
    internal readonly byte[] Packed;
    internal int RawLength;
    internal int PackedLength;
    /// <summary>Of the compressed form.</summary>
    internal ulong Checksum;
    internal int Number;
    /// <summary>Completes, or fails, when the stage that transforms the frame is through with it.</summary>
    internal TaskCompletionSource Done = null!;
    private int _users;

    private Frame(int size)
    {
        Raw = GC.AllocateUninitializedArray<byte>(size);
        Packed = GC.AllocateUninitializedArray<byte>(ZstdCompressor.Bound(size));
    }

    internal static Frame Rent(int size)
    {
        while (Idle.TryTake(out Frame? frame))
            if (frame.Raw.Length == size) return frame;
        return new Frame(size);
    }

    internal void GiveBack()
    {
        if (Idle.Count < MostIdle) Idle.Add(this);
    }

    /// <param name="users">How many stages call <see cref="Leave"/> before the frame is free again.</param>
    internal void Start(int number, int users)
    {
        Number = number;
        _users = users;
        Done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    /// <summary>True for the last of its users.</summary>
    internal bool Leave() => Interlocked.Decrement(ref _users) == 0;

    /// <summary>How many threads compress or decompress: all cores, within the memory that the level's contexts take.</summary>
    internal static int Workers(int level) => Math.Min(Environment.ProcessorCount, level <= 6 ? 6 : level <= 12 ? 3 : 2);
}
