namespace Backup.Environments;

/// <summary>
/// A stream from or to an engine: breaks surface as <see cref="EnvironmentException"/>, and so does a stall, that is one read or write that
/// moves no byte for the given time. Disposing disposes <paramref name="owned"/>.
/// </summary>
internal sealed class GuardedStream(Stream inner, DockerHttp engine, string doing, IDisposable? owned = null) : Stream
{
    private readonly CancellationTokenSource _stall = new(Timeout.InfiniteTimeSpan, engine.Time);
    private bool _disposed;

    public override bool CanRead => inner.CanRead;
    public override bool CanWrite => inner.CanWrite;
    public override bool CanSeek => false;
    public override long Length => throw new NotSupportedException();
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        using CancellationTokenRegistration linked = Begin(cancellationToken);
        try
        {
            int read = await inner.ReadAsync(buffer, _stall.Token).ConfigureAwait(false);
            End();
            return read;
        }
        catch (Exception e) when (e is IOException or HttpRequestException or OperationCanceledException)
        {
            throw Failed(e, cancellationToken);
        }
    }

    /// <summary>Fills the buffer by blocking reads; less only at the end. Only for a body whose request was a blocking one.</summary>
    internal int Fill(Span<byte> buffer, CancellationToken cancel)
    {
        using CancellationTokenRegistration linked = Begin(cancel);
        // A blocking read knows no token: it ends when its connection does.
        using CancellationTokenRegistration cut = _stall.Token.UnsafeRegister(static body => ((Stream)body!).Dispose(), inner);
        int fill = 0;
        try
        {
            for (int read = 1; read > 0 && fill < buffer.Length; fill += read)
            {
                _stall.CancelAfter(engine.Stall);
                read = inner.Read(buffer[fill..]);
            }
            End();
            _stall.Token.ThrowIfCancellationRequested();
            return fill;
        }
        catch (Exception e) when (e is IOException or HttpRequestException or OperationCanceledException or ObjectDisposedException)
        {
            throw Failed(e, cancel);
        }
    }

    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        using CancellationTokenRegistration linked = Begin(cancellationToken);
        try
        {
            await inner.WriteAsync(buffer, _stall.Token).ConfigureAwait(false);
            End();
        }
        catch (Exception e) when (e is IOException or HttpRequestException or OperationCanceledException)
        {
            throw Failed(e, cancellationToken);
        }
    }

    public override async Task FlushAsync(CancellationToken cancellationToken)
    {
        try
        {
            await inner.FlushAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or HttpRequestException)
        {
            throw Failed(e, cancellationToken);
        }
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count) => ReadAsync(buffer.AsMemory(offset, count)).AsTask().GetAwaiter().GetResult();

    public override void Write(byte[] buffer, int offset, int count) => WriteAsync(buffer.AsMemory(offset, count)).AsTask().GetAwaiter().GetResult();

    public override void Flush() => FlushAsync(CancellationToken.None).GetAwaiter().GetResult();
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
    public override void SetLength(long value) => throw new NotSupportedException();

    private CancellationTokenRegistration Begin(CancellationToken cancel)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        cancel.ThrowIfCancellationRequested();
        _stall.CancelAfter(engine.Stall);
        return cancel.UnsafeRegister(static state => ((CancellationTokenSource)state!).Cancel(), _stall);
    }

    private void End() => _stall.CancelAfter(Timeout.InfiniteTimeSpan);

    private Exception Failed(Exception e, CancellationToken cancel)
    {
        if (cancel.IsCancellationRequested) return new OperationCanceledException(e.Message, e, cancel);
        if (_stall.IsCancellationRequested)
            return new EnvironmentException(engine.Environment, $"cannot {doing}: {engine.Display} moved no byte for {engine.Stall.TotalSeconds:0} s",
                "look at the load and the disks of the engine's host, and at the engine's log", inner: e);
        return EngineFailure.Translate(engine.Environment, engine.Display, doing, e);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing && !_disposed)
        {
            _disposed = true;
            _stall.Dispose();
            owned?.Dispose();
        }
        base.Dispose(disposing);
    }
}
