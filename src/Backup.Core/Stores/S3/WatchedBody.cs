namespace Backup.Stores.S3;

/// <summary>
/// A request's body that tells when it is read, so that a connection which takes no more of it is cut long before the deadline of the whole part:
/// containers may be held back for as long as the store keeps the source waiting.
/// </summary>
internal sealed class WatchedBody(byte[] buffer, int count, Action whenRead) : MemoryStream(buffer, 0, count, writable: false)
{
    public override int Read(byte[] buffer, int offset, int count)
    {
        whenRead();
        return base.Read(buffer, offset, count);
    }

    public override int Read(Span<byte> buffer)
    {
        whenRead();
        return base.Read(buffer);
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken)
    {
        whenRead();
        return base.ReadAsync(buffer, offset, count, cancellationToken);
    }

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        whenRead();
        return base.ReadAsync(buffer, cancellationToken);
    }
}
