using System.Net;

namespace Backup.PortainerRig.Agent;

/// <summary>A request's body on its way through. What breaks it cuts the request: the next one never sees a clean end.</summary>
/// <param name="length">Null = chunked.</param>
internal sealed class PassedBody(Stream body, long? length, CancellationToken cancel) : HttpContent
{
    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context) => await body.CopyToAsync(stream, cancel);

    protected override bool TryComputeLength(out long computed)
    {
        computed = length ?? 0;
        return length is not null;
    }
}
