using Backup.Streams;

namespace Backup.Environments;

/// <summary>Passes writes on and keeps a copy of the first bytes.</summary>
internal sealed class HeadStream(Stream inner, int limit) : WriteOnlyStream(inner)
{
    private readonly MemoryStream _head = new();

    /// <summary>At most the first <c>limit</c> bytes that were written.</summary>
    internal ReadOnlySpan<byte> Head => _head.GetBuffer().AsSpan(0, (int)_head.Length);

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancel = default)
    {
        if (_head.Length < limit) _head.Write(buffer.Span[..(int)Math.Min(buffer.Length, limit - _head.Length)]);
        return Inner.WriteAsync(buffer, cancel);
    }
}
