using System.Text;

namespace Backup.Environments;

/// <summary>What a command without a terminal wrote: the first part of its standard output, the last part of its standard error.</summary>
internal sealed record ExecOutput(string Output, string Error)
{
    /// <summary>Bytes kept of each stream; the rest is read and dropped.</summary>
    internal const int Limit = ExecFrames.Limit;

    /// <summary>Reads to the end of the stream. An end inside a frame is an error.</summary>
    internal static async Task<ExecOutput> ReadAsync(Stream frames, string environment, string doing, CancellationToken cancel)
    {
        using var output = new MemoryStream();
        var source = new ExecFrames(frames, environment, doing);
        byte[] buffer = new byte[16 * 1024];
        for (int read; (read = await source.ReadAsync(buffer, cancel).ConfigureAwait(false)) > 0;)
            output.Write(buffer, 0, (int)Math.Min(read, Limit - output.Length));
        return new ExecOutput(Encoding.UTF8.GetString(output.GetBuffer(), 0, (int)output.Length), source.Error);
    }
}
