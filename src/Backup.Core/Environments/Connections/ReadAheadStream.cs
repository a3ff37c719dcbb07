namespace Backup.Environments.Connections;

/// <summary>
/// Reads a connection in large pieces. An engine sends archives in chunks of 32 KiB, and the HTTP handler reads each chunk's few bytes of framing by
/// themselves: served from memory they cost nothing, as system calls they cost more than the data. Writes pass through.
/// </summary>
internal sealed class ReadAheadStream(Stream inner) : Stream
{
    private const int Size = 256 * 1024;

    /// <summary>Made by the first large read, so that a connection of small calls stays small.</summary>
    private byte[] _buffer = new byte[4 * 1024];
    private int _start, _end;

    public override bool CanRead => true;
    public override bool CanWrite => true;
    public override bool CanSeek => false;
    public override long Length => throw new NotSupportedException();
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (_start < _end) return new ValueTask<int>(Take(buffer.Span));
        // An empty read asks whether something arrives; it must not take anything.
        return buffer.Length is 0 or >= Size ? inner.ReadAsync(buffer, cancellationToken) : FillAsync(buffer, cancellationToken);
    }

    public override int Read(Span<byte> buffer)
    {
        if (_start < _end) return Take(buffer);
        return inner.Read(buffer);
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) => inner.WriteAsync(buffer, cancellationToken);

    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        inner.WriteAsync(buffer, offset, count, cancellationToken);

    public override void Write(ReadOnlySpan<byte> buffer) => inner.Write(buffer);
    public override void Write(byte[] buffer, int offset, int count) => inner.Write(buffer, offset, count);
    public override void Flush() => inner.Flush();
    public override Task FlushAsync(CancellationToken cancellationToken) => inner.FlushAsync(cancellationToken);
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
    public override void SetLength(long value) => throw new NotSupportedException();

    private async ValueTask<int> FillAsync(Memory<byte> buffer, CancellationToken cancel)
    {
        if (buffer.Length > _buffer.Length) _buffer = new byte[Size];
        (_start, _end) = (0, 0);
        _end = await inner.ReadAsync(_buffer, cancel).ConfigureAwait(false);
        return Take(buffer.Span);
    }

    private int Take(Span<byte> buffer)
    {
        int count = Math.Min(buffer.Length, _end - _start);
        _buffer.AsSpan(_start, count).CopyTo(buffer);
        _start += count;
        return count;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing) inner.Dispose();
        base.Dispose(disposing);
    }
}
