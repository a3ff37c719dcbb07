namespace Backup.Streams;

/// <summary>What one compressing thread keeps: its context, and a buffer for what comes out, which it exchanges for the one that it emptied.</summary>
internal sealed class Packer(byte[] target) : IDisposable
{
    private ZstdCompressor? _zstd;
    private int _level;

    /// <summary>The buffer that is its own now.</summary>
    internal byte[] Target { get; private set; } = target;

    /// <param name="frame">In memory, and nobody else's.</param>
    internal void Pack(LaneFrame frame)
    {
        if (_level != frame.Lane.Level)
        {
            _zstd?.Dispose();
            _zstd = new ZstdCompressor(_level = frame.Lane.Level);
        }
        int length = _zstd!.Frame(frame.Bytes.Span, Target);
        frame.Checksum = XxHash64.Of(Target.AsSpan(0, length));
        (frame.Buffer, Target) = (Target, frame.Buffer!);
        frame.Length = length;
        frame.Stage = FrameStage.Packed;
    }

    public void Dispose() => _zstd?.Dispose();
}
