namespace Backup.Environments;

/// <summary>What a tar's first headers tell, read without the rest.</summary>
internal static class TarHead
{
    private const int Block = 512;
    private const int NameSize = 100;
    private const int ChecksumAt = 148;
    private const int ChecksumSize = 8;

    /// <summary>Headers that only describe the next one: PAX and GNU long names.</summary>
    private static bool IsExtension(char type) => type is 'x' or 'g' or 'L' or 'K';

    /// <summary>Type flag of the first real entry, and how many bytes were needed; null while <paramref name="head"/> is too short, zero at the tar's end.</summary>
    internal static char? FirstType(ReadOnlySpan<byte> head, out int needed)
    {
        needed = Block;
        for (int at = 0; head.Length >= needed;)
        {
            ReadOnlySpan<byte> header = head.Slice(at, Block);
            if (header.IndexOfAnyExcept((byte)0) < 0) return '\0';
            char type = (char)header[156];
            if (!IsExtension(type)) return type;
            at += Block + ContentBlocks(header) * Block;
            needed = at + Block;
        }
        return null;
    }

    /// <summary>True for an empty directory's tar: the entry of its root, then zeros. Null when the tar ends before that can be told.</summary>
    internal static async Task<bool?> HoldsOnlyRootAsync(Stream tar, CancellationToken cancel)
    {
        byte[] block = new byte[Block];
        bool root = false;
        while (await tar.ReadAtLeastAsync(block, Block, throwOnEndOfStream: false, cancel).ConfigureAwait(false) == Block)
        {
            if (block.AsSpan().IndexOfAnyExcept((byte)0) < 0) return root;
            char type = (char)block[156];
            if (!IsExtension(type))
            {
                if (root || type != '5') return false;
                root = true;
                continue;
            }
            for (int left = ContentBlocks(block); left > 0; left--)
                if (await tar.ReadAtLeastAsync(block, Block, throwOnEndOfStream: false, cancel).ConfigureAwait(false) < Block) return null;
        }
        return null;
    }

    /// <summary>
    /// From the beginning of a directory's tar: a whole tar of its root entry alone, under another name. Null when the tar does not begin with its root.
    /// </summary>
    /// <param name="head">At least as many bytes as <see cref="FirstType"/> needed.</param>
    /// <param name="name">ASCII, at most 99 characters.</param>
    internal static byte[]? RootAs(string name, ReadOnlySpan<byte> head)
    {
        if (FirstType(head, out int needed) != '5') return null;
        ReadOnlySpan<byte> old = head.Slice(needed - Block, NameSize);
        if (!old.StartsWith("./\0"u8) && !old.StartsWith(".\0"u8)) return null;
        byte[] tar = new byte[needed + 2 * Block];
        head[..needed].CopyTo(tar);
        Span<byte> header = tar.AsSpan(needed - Block, Block);
        header[..NameSize].Clear();
        System.Text.Encoding.ASCII.GetBytes(name + "/", header);
        Span<byte> checksum = header.Slice(ChecksumAt, ChecksumSize);
        checksum.Fill((byte)' ');
        int sum = 0;
        foreach (byte b in header) sum += b;
        for (int digit = 5; digit >= 0; digit--, sum /= 8) checksum[digit] = (byte)('0' + sum % 8);
        checksum[6] = 0;
        return tar;
    }

    private static int ContentBlocks(ReadOnlySpan<byte> header)
    {
        int size = 0;
        foreach (byte b in header.Slice(124, 12))
            if (b is >= (byte)'0' and <= (byte)'7') size = unchecked(size * 8 + (b - '0'));
        return Math.Max(0, size + Block - 1) / Block;
    }
}
