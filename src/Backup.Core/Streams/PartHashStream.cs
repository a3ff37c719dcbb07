using System.Security.Cryptography;

namespace Backup.Streams;

/// <summary>Hashes what is read from a stream: as a whole, and by parts of given sizes.</summary>
internal sealed class PartHashStream(Stream inner, IEnumerable<long> partSizes) : ReadOnlyStream
{
    private readonly IncrementalHash _whole = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private readonly IncrementalHash _part = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private readonly Queue<long> _sizes = new(partSizes);
    private readonly List<string> _parts = [];
    private long _inPart;

    internal (string Whole, IReadOnlyList<string> Parts) Hashes() => (Convert.ToHexStringLower(_whole.GetCurrentHash()), _parts);

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancel = default)
    {
        int read = await inner.ReadAsync(buffer, cancel).ConfigureAwait(false);
        ReadOnlySpan<byte> bytes = buffer.Span[..read];
        _whole.AppendData(bytes);
        while (bytes.Length > 0 && _sizes.TryPeek(out long size))
        {
            int count = (int)Math.Min(bytes.Length, size - _inPart);
            _part.AppendData(bytes[..count]);
            bytes = bytes[count..];
            if ((_inPart += count) < size) continue;
            _parts.Add(Convert.ToHexStringLower(_part.GetHashAndReset()));
            _sizes.Dequeue();
            _inPart = 0;
        }
        return read;
    }

    public override async ValueTask DisposeAsync()
    {
        _whole.Dispose();
        _part.Dispose();
        await inner.DisposeAsync().ConfigureAwait(false);
    }
}
