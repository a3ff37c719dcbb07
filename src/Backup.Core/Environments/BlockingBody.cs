using Backup.Streams;

namespace Backup.Environments;

/// <summary>
/// The body of an answer, read by a thread of its own whose blocking reads fill whole buffers. An engine sends an archive in pieces of 32 KiB: awaited one by
/// one, each costs several switches between threads, and on a small host it is the engine, at work on the next piece, that is robbed of the processor.
/// </summary>
internal sealed class BlockingBody : ReadOnlyStream
{
    private readonly object _turn = new();
    private readonly TaskCompletionSource<GuardedStream> _opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private GuardedStream? _body;
    private Request? _asked;
    private bool _closed;

    private BlockingBody()
    {
    }

    private sealed record Request(Memory<byte> Buffer, CancellationToken Cancel)
    {
        internal readonly TaskCompletionSource<int> Filled = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    /// <param name="open">Called on that thread; sends the request and waits for the answer's head.</param>
    internal static async Task<Stream> OpenAsync(Func<GuardedStream> open)
    {
        var body = new BlockingBody();
        new Thread(() => body.Run(open), 256 << 10) { IsBackground = true, Name = "backup read" }.Start();
        body._body = await body._opened.Task.ConfigureAwait(false);
        return body;
    }

    /// <summary>Fills the buffer; less only at the end.</summary>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancel = default)
    {
        var request = new Request(buffer, cancel);
        lock (_turn)
        {
            ObjectDisposedException.ThrowIf(_closed, this);
            _asked = request;
            Monitor.Pulse(_turn);
        }
        return await request.Filled.Task.ConfigureAwait(false);
    }

    private void Run(Func<GuardedStream> open)
    {
        GuardedStream body;
        try
        {
            body = open();
        }
        catch (Exception e)
        {
            _opened.SetException(e);
            return;
        }
        _opened.SetResult(body);
        while (Next() is { } request)
        {
            try
            {
                request.Filled.SetResult(body.Fill(request.Buffer.Span, request.Cancel));
            }
            catch (Exception e)
            {
                request.Filled.SetException(e);
            }
        }
    }

    private Request? Next()
    {
        lock (_turn)
        {
            while (_asked is null && !_closed) Monitor.Wait(_turn);
            Request? request = _asked;
            _asked = null;
            return request;
        }
    }

    public override async ValueTask DisposeAsync()
    {
        lock (_turn)
        {
            if (_closed) return;
            _closed = true;
            Monitor.Pulse(_turn);
        }
        await _body!.DisposeAsync().ConfigureAwait(false);
    }
}
