namespace Backup.Tests.Fakes;

/// <summary>Reads a prefix of some bytes in small pieces and then ends, cleanly or with an error.</summary>
public sealed class FaultyStream(byte[] bytes, long good, Exception? error) : Stream
{
    private const int Piece = 8 * 1024;
    private int _at;

    /// <summary>Nothing comes before this is done.</summary>
    public Task Until { get; init; } = Task.CompletedTask;

    public override bool CanRead => true;
    public override bool CanSeek => false;
    public override bool CanWrite => false;
    public override long Length => throw new NotSupportedException();
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        await Task.Yield();
        await Until.WaitAsync(cancellationToken);
        cancellationToken.ThrowIfCancellationRequested();
        int left = (int)(Math.Min(good, bytes.Length) - _at);
        if (left <= 0) return error is null ? 0 : throw error;
        int count = Math.Min(Math.Min(left, Piece), buffer.Length);
        bytes.AsMemory(_at, count).CopyTo(buffer);
        _at += count;
        return count;
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count) => ReadAsync(buffer.AsMemory(offset, count)).AsTask().GetAwaiter().GetResult();
    public override void Flush() { }
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
    public override void SetLength(long value) => throw new NotSupportedException();
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}
