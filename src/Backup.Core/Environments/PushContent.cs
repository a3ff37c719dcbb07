using System.Net;
using System.Net.Http.Headers;

namespace Backup.Environments;

/// <summary>
/// A tar that is pushed into a request. If the writer throws, so does this, and the handler cuts the connection: the engine never sees a
/// clean end of a tar that is not whole.
/// </summary>
internal sealed class PushContent : HttpContent
{
    private readonly Func<Stream, CancellationToken, Task> _write;
    private readonly Func<Stream, Stream> _guard;

    /// <param name="guard">Wraps the request's stream; what it throws itself must be an <see cref="EnvironmentException"/>.</param>
    internal PushContent(Func<Stream, CancellationToken, Task> write, Func<Stream, Stream> guard)
    {
        _write = write;
        _guard = guard;
        Headers.ContentType = new MediaTypeHeaderValue("application/x-tar");
    }

    /// <summary>What the writer threw.</summary>
    internal Exception? Failure { get; private set; }

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => SerializeToStreamAsync(stream, context, CancellationToken.None);

    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        try
        {
            // Not disposed: that would be an orderly end.
            await _write(_guard(stream), cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            Failure = e;
            throw;
        }
    }

    protected override bool TryComputeLength(out long length)
    {
        length = 0;
        return false;
    }
}
