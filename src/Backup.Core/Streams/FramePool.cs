using System.Threading.Channels;

namespace Backup.Streams;

/// <summary>At most <paramref name="most"/> frames of one size at a time; they are made when first needed.</summary>
internal sealed class FramePool(int size, int most)
{
    private readonly Channel<Frame> _free = Channel.CreateUnbounded<Frame>();
    private readonly List<Frame> _all = [];

    internal int FrameSize => size;

    /// <summary>For one renter at a time.</summary>
    internal async ValueTask<Frame> RentAsync(CancellationToken cancel)
    {
        if (_free.Reader.TryRead(out Frame? frame)) return frame;
        if (_all.Count == most) return await _free.Reader.ReadAsync(cancel).ConfigureAwait(false);
        frame = Frame.Rent(size);
        _all.Add(frame);
        return frame;
    }

    internal void Return(Frame frame) => _free.Writer.TryWrite(frame);

    /// <summary>Only when no stage holds a frame any more.</summary>
    internal void Close()
    {
        foreach (Frame frame in _all) frame.GiveBack();
        _all.Clear();
    }
}
