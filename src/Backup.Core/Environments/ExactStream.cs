using Backup.Streams;

namespace Backup.Environments;

/// <summary>Takes exactly so many bytes: whoever writes more, or ends with fewer, made a mistake that must not pass for a whole input.</summary>
internal sealed class ExactStream(Stream inner, long length) : WriteOnlyStream(inner)
{
    private long _written;

    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancel = default)
    {
        if (buffer.Length > length - _written) throw new InvalidDataException($"more than the {length} bytes that were announced");
        await Inner.WriteAsync(buffer, cancel).ConfigureAwait(false);
        _written += buffer.Length;
    }

    /// <exception cref="InvalidDataException">Fewer bytes were written than announced.</exception>
    internal async Task CompleteAsync(CancellationToken cancel)
    {
        if (_written != length) throw new InvalidDataException($"{_written} bytes instead of the {length} that were announced");
        await Inner.FlushAsync(cancel).ConfigureAwait(false);
    }
}
