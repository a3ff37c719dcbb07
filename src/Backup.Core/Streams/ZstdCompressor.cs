namespace Backup.Streams;

/// <summary>One compression context: whole frames, or one frame pushed piece by piece. Not for use by two threads at once.</summary>
internal sealed unsafe class ZstdCompressor : IDisposable
{
    private nint _context;

    /// <param name="level">1 to 19.</param>
    internal ZstdCompressor(int level)
    {
        Zstd.Require();
        _context = Zstd.ZSTD_createCCtx();
        if (_context == 0) throw new InsufficientMemoryException("libzstd could not allocate a context");
        Zstd.Check(Zstd.ZSTD_CCtx_setParameter(_context, Zstd.CompressionLevel, level));
        Zstd.Check(Zstd.ZSTD_CCtx_setParameter(_context, Zstd.ChecksumFlag, 1));
    }

    /// <summary>Capacity that any frame of <paramref name="size"/> bytes of content fits in.</summary>
    internal static int Bound(int size)
    {
        Zstd.Require();
        return checked((int)Zstd.ZSTD_compressBound((nuint)size));
    }

    /// <summary>Makes one frame with its content size in the header and its checksum (XXH64, low 32 bits) as the last four bytes.</summary>
    internal int Frame(ReadOnlySpan<byte> content, Span<byte> target)
    {
        fixed (byte* source = content, into = target)
            return (int)Zstd.Check(Zstd.ZSTD_compress2(_context, into, (nuint)target.Length, source, (nuint)content.Length));
    }

    /// <summary>Adds to the open frame; what is ready goes to <paramref name="output"/>. With <paramref name="end"/> the frame is closed.</summary>
    internal void Push(ReadOnlySpan<byte> content, bool end, byte[] buffer, Action<ReadOnlyMemory<byte>> output)
    {
        fixed (byte* source = content, target = buffer)
        {
            var input = new Zstd.InBuffer { Source = source, Size = (nuint)content.Length };
            while (true)
            {
                var room = new Zstd.OutBuffer { Target = target, Size = (nuint)buffer.Length };
                nuint left = Zstd.Check(Zstd.ZSTD_compressStream2(_context, &room, &input, end ? Zstd.End : Zstd.Continue));
                if (room.Position > 0) output(buffer.AsMemory(0, (int)room.Position));
                if (end ? left == 0 : input.Position == input.Size) return;
            }
        }
    }

    public void Dispose()
    {
        if (_context == 0) return;
        Zstd.ZSTD_freeCCtx(_context);
        _context = 0;
    }
}
