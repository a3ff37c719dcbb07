namespace Backup.Environments.Pieces;

/// <summary>How much one upload may carry, by what the last ones took.</summary>
/// <param name="limit">After which the way cuts an upload.</param>
internal sealed class UploadPace(TimeSpan limit)
{
    /// <summary>No more of the limit is ever planned for: a link may become half as fast at any moment.</summary>
    private const double SafeShare = 0.5;

    private const double EasyShare = 0.25;
    private const int First = 1 << 20, Least = 64 << 10, Growth = 4;

    /// <summary>A piece is held in memory, so that it can be sent again.</summary>
    internal const int Most = 16 << 20;

    private readonly Queue<double> _rates = new();

    /// <summary>Bytes of the next piece.</summary>
    internal int Budget { get; private set; } = First;

    /// <summary>Bytes a second, the worst of the last pieces; null = not known yet.</summary>
    internal double? Rate => _rates.Count > 0 ? _rates.Min() : null;

    internal bool WasCut(TimeSpan took) => took >= limit * 0.8;

    internal bool Fits(long bytes) => Rate is { } rate && bytes / rate <= limit.TotalSeconds * SafeShare;

    /// <summary>There is so much time to spare that it need not be cut into pieces.</summary>
    internal bool FitsEasily(long bytes) => Rate is { } rate && bytes / rate <= limit.TotalSeconds * EasyShare;

    internal void Sent(long bytes, TimeSpan took)
    {
        // Of a small piece the time tells how far the engine is, not what the link carries.
        if (bytes < Budget / 2) return;
        _rates.Enqueue(bytes / Math.Max(took.TotalSeconds, 0.001));
        if (_rates.Count > 3) _rates.Dequeue();
        Budget = (int)Math.Clamp(Rate!.Value * limit.TotalSeconds * SafeShare, Least, Math.Min(Most, (long)Budget * Growth));
    }

    /// <summary>A piece was cut: the link is slower than it was.</summary>
    internal void Slowed(long bytes, TimeSpan took)
    {
        _rates.Clear();
        _rates.Enqueue(bytes / took.TotalSeconds / 2);
        Budget = Math.Max(Least, Budget / Growth);
    }
}
