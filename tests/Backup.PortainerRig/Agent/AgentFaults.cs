namespace Backup.PortainerRig.Agent;

/// <summary>What a test lets go wrong behind an agent, and what it wants to have seen.</summary>
public sealed class AgentFaults
{
    private int _cuts, _uploads, _downloads, _upgrades;

    /// <summary>The engine dies after so many bytes of each archive that is read; null = it lives.</summary>
    public long? EngineDiesAfter { get; set; }

    /// <summary>The engine refuses to list anything.</summary>
    public bool EngineRefusesLists { get; set; }

    /// <summary>Something before the agent drops the header that names a node.</summary>
    public bool LosesTarget { get; set; }

    /// <summary>How many answers the engine's death has cut.</summary>
    public int Deaths => Volatile.Read(ref _cuts);

    /// <summary>How many uploads ran into the limit.</summary>
    public int UploadsCut => Volatile.Read(ref _uploads);

    /// <summary>How many answers ran into the limit.</summary>
    public int DownloadsCut => Volatile.Read(ref _downloads);

    /// <summary>How many requests asked for another protocol, which an agent answers with silence.</summary>
    public int Upgrades => Volatile.Read(ref _upgrades);

    internal void UploadLimitReached() => Interlocked.Increment(ref _uploads);
    internal void DownloadLimitReached() => Interlocked.Increment(ref _downloads);
    internal void Upgraded() => Interlocked.Increment(ref _upgrades);

    internal Stream Plant(Stream body, string path) =>
        EngineDiesAfter is { } bytes && path.EndsWith("/archive", StringComparison.Ordinal) ? new DyingStream(body, bytes, () => Interlocked.Increment(ref _cuts)) : body;

    private sealed class DyingStream(Stream inner, long left, Action died) : Stream
    {
        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (left == 0)
            {
                died();
                throw new IOException("planted: the engine died");
            }
            int read = await inner.ReadAsync(buffer[..(int)Math.Min(left, buffer.Length)], cancellationToken);
            left -= read;
            return read;
        }

        public override bool CanRead => true;
        public override bool CanWrite => false;
        public override bool CanSeek => false;
        public override long Length => throw new NotSupportedException();
        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }
        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
        public override void Flush() { }
        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
        public override void SetLength(long value) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            if (disposing) inner.Dispose();
            base.Dispose(disposing);
        }
    }
}
