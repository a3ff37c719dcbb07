using Backup.Snapshots;

namespace Backup.Streams;

/// <summary>One entry's headers, all of them resolved (ustar, GNU, PAX). Reused by the parser from entry to entry: copy what is to be kept.</summary>
internal sealed class TarHeader
{
    /// <summary>As in the tar, each char one byte, nothing stripped.</summary>
    internal string Name = "";
    internal string? Link;
    internal FileType Type;
    /// <summary>Bytes of content that follow the headers.</summary>
    internal long Size;
    internal int Mode;
    internal long Uid;
    internal long Gid;
    internal decimal Mtime;
    internal long DeviceMajor;
    internal long DeviceMinor;
    /// <summary>The content is a GNU sparse map and chunks, not the file itself.</summary>
    internal bool Sparse;
    /// <summary>Where the first header block stands, prefix headers (PAX, GNU long names) included.</summary>
    internal long Offset;
    internal long DataOffset;
    /// <summary>Extended attributes by name, sorted by byte value; empty for most.</summary>
    internal readonly SortedDictionary<string, byte[]> Xattrs = new(StringComparer.Ordinal);

    /// <summary>Where the next entry begins.</summary>
    internal long EndOffset => DataOffset + TarParser.Padded(Size);

    /// <summary>Path as <see cref="FileEntry.RawPath"/> has it.</summary>
    internal string Path => Strip(Name);

    /// <summary>Target as <see cref="FileEntry.RawLink"/> has it.</summary>
    internal string? LinkPath => Type == FileType.HardLink ? Strip(Link ?? "") : Type == FileType.Symlink ? Link ?? "" : null;

    private static string Strip(string name)
    {
        int start = 0, end = name.Length;
        while (start + 1 < end && name[start] == '.' && name[start + 1] == '/')
        {
            start += 2;
            while (start < end && name[start] == '/') start++;
        }
        while (end > start + 1 && name[end - 1] == '/') end--;
        if (end - start == 1 && name[start] is '.') return "";
        return start == 0 && end == name.Length ? name : name[start..end];
    }
}
