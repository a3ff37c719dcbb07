using System.Buffers;
using System.Globalization;

namespace Backup.Running;

/// <summary>
/// Sources on a disk of this host are read once before anybody is held: the read that containers wait for then comes from memory. The disk
/// is asked no more often for it, and what does not fit into memory is left to the read itself.
/// </summary>
internal static class WarmUp
{
    private const int BufferSize = 256 << 10;

    /// <summary>Bytes: half of what the host's memory has to give, so that nothing else is driven out. 0 where the host does not tell.</summary>
    internal static long Room()
    {
        try
        {
            const string field = "MemAvailable:";
            string? line = File.ReadLines("/proc/meminfo").FirstOrDefault(l => l.StartsWith(field, StringComparison.Ordinal));
            return line is not null && long.TryParse(line.AsSpan(field.Length).TrimEnd("kB").Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out long kibibytes)
                ? kibibytes * 1024 / 2 : 0;
        }
        catch (IOException)
        {
            return 0;
        }
    }

    /// <summary>Reads a stream to its end, or until it gave that many bytes.</summary>
    /// <returns>Bytes.</returns>
    internal static async Task<long> ReadAsync(Stream source, long most, CancellationToken cancel)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(BufferSize);
        try
        {
            long total = 0;
            while (total < most && await source.ReadAsync(buffer, cancel) is > 0 and int read) total += read;
            return total;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
