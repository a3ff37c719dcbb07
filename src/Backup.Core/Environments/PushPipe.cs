using System.IO.Pipelines;

namespace Backup.Environments;

/// <summary>Turns a writer that pushes into something that can be read. What the writer throws comes out of the read.</summary>
internal sealed class PushPipe : IAsyncDisposable
{
    private const int Ahead = 1 << 20;

    private readonly Pipe _pipe = new(new PipeOptions(pauseWriterThreshold: Ahead, resumeWriterThreshold: Ahead / 2, useSynchronizationContext: false));
    private readonly CancellationTokenSource _stop;
    private readonly Task _writing;

    internal PushPipe(Func<Stream, CancellationToken, Task> write, CancellationToken cancel)
    {
        _stop = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        _writing = WriteAsync(write);
    }

    internal PipeReader Reader => _pipe.Reader;

    private async Task WriteAsync(Func<Stream, CancellationToken, Task> write)
    {
        Exception? failure = null;
        try
        {
            await using Stream stream = _pipe.Writer.AsStream(leaveOpen: true);
            await write(stream, _stop.Token).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            // Surfaces at the reading end, from where it cuts the request.
            failure = e;
        }
        await _pipe.Writer.CompleteAsync(failure).ConfigureAwait(false);
    }

    /// <summary>Ends the writer, if it still writes, and waits for it.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _pipe.Reader.CompleteAsync().ConfigureAwait(false);
        await _writing.ConfigureAwait(false);
        _stop.Dispose();
    }
}
