using System.Buffers.Binary;
using System.Text;

namespace Backup.Environments;

/// <summary>What a command without a terminal wrote, from the engine's frames: stream number, three zeros, big-endian length, payload.</summary>
internal sealed record ExecOutput(string Output, string Error)
{
    /// <summary>Bytes kept of each stream; the rest is read and dropped.</summary>
    internal const int Limit = 64 * 1024;

    private const int HeaderSize = 8;

    /// <summary>Reads to the end of the stream. An end inside a frame is an error.</summary>
    internal static async Task<ExecOutput> ReadAsync(Stream frames, string environment, string doing, CancellationToken cancel)
    {
        using var output = new MemoryStream();
        using var error = new MemoryStream();
        byte[] buffer = new byte[16 * 1024];
        while (true)
        {
            int head = await frames.ReadAtLeastAsync(buffer.AsMemory(0, HeaderSize), HeaderSize, throwOnEndOfStream: false, cancel).ConfigureAwait(false);
            if (head == 0) break;
            if (head < HeaderSize) throw Cut();
            MemoryStream? sink = buffer[0] switch { 0 or 1 => output, 2 or 3 => error, _ => null };
            if (sink is null)
                throw new EnvironmentException(environment, $"cannot {doing}: the engine sent output in a form that is not known",
                    "a proxy in between may have changed it; connect to the engine directly");
            long left = BinaryPrimitives.ReadUInt32BigEndian(buffer.AsSpan(4));
            while (left > 0)
            {
                int read = await frames.ReadAsync(buffer.AsMemory(0, (int)Math.Min(left, buffer.Length)), cancel).ConfigureAwait(false);
                if (read == 0) throw Cut();
                sink.Write(buffer, 0, (int)Math.Min(read, Limit - sink.Length));
                left -= read;
            }
        }
        return new ExecOutput(Text(output), Text(error));

        EnvironmentException Cut() => new(environment, $"cannot {doing}: the engine cut the output short",
            "the engine may have stopped or restarted; see its log (journalctl -u docker) and try again");
    }

    private static string Text(MemoryStream bytes) => Encoding.UTF8.GetString(bytes.GetBuffer(), 0, (int)bytes.Length);
}
