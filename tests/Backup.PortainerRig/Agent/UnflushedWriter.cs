using System.IO.Pipelines;
using Microsoft.AspNetCore.Http;

namespace Backup.PortainerRig.Agent;

/// <summary>
/// Passes an answer on as a Go server does that never flushes: nothing leaves, not even the status line, before a buffer is full or the
/// answer ends. Whoever follows events or a log through an agent waits for a long time (agent 1.8).
/// </summary>
internal sealed class UnflushedWriter(HttpResponse response)
{
    private const int BufferSize = 4096;

    private int _held;
    private bool _sent;

    internal async Task CopyAsync(Stream from, CancellationToken cancel)
    {
        byte[] piece = new byte[32 * 1024];
        while (true)
        {
            int read = await from.ReadAsync(piece, cancel);
            if (read == 0) return;
            await WriteAsync(piece.AsMemory(0, read), cancel);
        }
    }

    internal async Task WriteAsync(ReadOnlyMemory<byte> piece, CancellationToken cancel)
    {
        PipeWriter to = response.BodyWriter;
        while (!piece.IsEmpty)
        {
            Memory<byte> room = to.GetMemory();
            int count = Math.Min(room.Length, piece.Length);
            piece.Span[..count].CopyTo(room.Span);
            to.Advance(count);
            piece = piece[count..];
            _held += count;
        }
        if (_held < BufferSize) return;
        await to.FlushAsync(cancel);
        (_held, _sent) = (0, true);
    }

    /// <summary>An answer that fits the buffer gets a length, any other is chunked.</summary>
    internal async Task EndAsync(CancellationToken cancel)
    {
        if (!_sent && !response.HasStarted && response.StatusCode is not (204 or 304) && !HttpMethods.IsHead(response.HttpContext.Request.Method))
            response.ContentLength = _held;
        await response.BodyWriter.FlushAsync(cancel);
    }
}
