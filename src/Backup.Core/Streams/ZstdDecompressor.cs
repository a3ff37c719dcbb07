namespace Backup.Streams;

/// <summary>One decompression context. Not for use by two threads at once.</summary>
internal sealed unsafe class ZstdDecompressor : IDisposable
{
    private nint _context;

    internal ZstdDecompressor()
    {
        Zstd.Require();
        _context = Zstd.ZSTD_createDCtx();
        if (_context == 0) throw new InsufficientMemoryException("libzstd could not allocate a context");
    }

    /// <summary>Decompresses one whole frame and checks its checksum.</summary>
    /// <returns>The content's size, or null with <paramref name="problem"/> set when the bytes are not a good frame.</returns>
    internal int? Frame(ReadOnlySpan<byte> frame, Span<byte> target, out string? problem)
    {
        fixed (byte* source = frame, into = target)
        {
            nuint size = Zstd.ZSTD_decompressDCtx(_context, into, (nuint)target.Length, source, (nuint)frame.Length);
            problem = Zstd.Failed(size) ? Zstd.ErrorName(size) : null;
            return problem is null ? (int)size : null;
        }
    }

    /// <summary>Decompresses any number of frames in a row, handing out pieces of at most <paramref name="buffer"/>'s size.</summary>
    /// <returns>Null, or what is wrong with the bytes.</returns>
    internal string? All(ReadOnlySpan<byte> frames, byte[] buffer, Action<ReadOnlyMemory<byte>> output)
    {
        fixed (byte* source = frames, target = buffer)
        {
            var input = new Zstd.InBuffer { Source = source, Size = (nuint)frames.Length };
            nuint left = 1;
            while (input.Position < input.Size || left != 0)
            {
                var room = new Zstd.OutBuffer { Target = target, Size = (nuint)buffer.Length };
                nuint before = input.Position;
                left = Zstd.ZSTD_decompressStream(_context, &room, &input);
                if (Zstd.Failed(left)) return Zstd.ErrorName(left);
                if (room.Position > 0) output(buffer.AsMemory(0, (int)room.Position));
                else if (left != 0 && input.Position == before) return "the frame is cut short";
            }
            return null;
        }
    }

    public void Dispose()
    {
        if (_context == 0) return;
        Zstd.ZSTD_freeDCtx(_context);
        _context = 0;
    }
}
