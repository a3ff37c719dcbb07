namespace Backup.Environments;

/// <summary>Takes exactly so many bytes: whoever writes more, or ends with fewer, made a mistake that must not pass for a whole input.</summary>
internal sealed class ExactStream(Stream inner, long length) : Stream
{
    private long _written;

    public override bool CanRead => false;
    public override bool CanWrite => true;
    public override bool CanSeek => false;
    public override long Length => throw new NotSupportedException();
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (buffer.Length > length - _written) throw new InvalidDataException($"more than the {length} bytes that were announced");
        await inner.WriteAsync(buffer, cancellationToken).ConfigureAwait(false);
        _written += buffer.Length;
    }

    /// <exception cref="InvalidDataException">Fewer bytes were written than announced.</exception>
    internal async Task CompleteAsync(CancellationToken cancel)
    {
        if (_written != length) throw new InvalidDataException($"{_written} bytes instead of the {length} that were announced");
        await inner.FlushAsync(cancel).ConfigureAwait(false);
    }

    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override void Write(byte[] buffer, int offset, int count) => WriteAsync(buffer.AsMemory(offset, count)).AsTask().GetAwaiter().GetResult();

    public override Task FlushAsync(CancellationToken cancellationToken) => inner.FlushAsync(cancellationToken);
    public override void Flush() => inner.Flush();
    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
    public override void SetLength(long value) => throw new NotSupportedException();
}
