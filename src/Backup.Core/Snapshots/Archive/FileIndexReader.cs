using System.Buffers.Text;
using System.Globalization;
using System.Text;
using Backup.Streams;

namespace Backup.Snapshots.Archive;

/// <summary>Reads an index. Its bytes were proved against the manifest before; what still does not fit is a <see cref="FormatException"/>.</summary>
internal sealed class FileIndexReader
{
    private readonly List<FileEntry> _entries = [];
    private readonly List<(long, long)> _globals = [];
    private readonly List<FrameSpan> _frames = [];
    private readonly MemoryStream _partial = new();
    private readonly bool _keepEntries;
    private long _count;
    private long _tar, _packed, _raw;
    private bool _first = true, _ended;

    private FileIndexReader(bool keepEntries) => _keepEntries = keepEntries;

    /// <param name="packed">The index object's bytes.</param>
    /// <param name="keepEntries">False to learn only the frames, without holding the entries.</param>
    internal static FileIndex Read(ReadOnlySpan<byte> packed, bool keepEntries = true)
    {
        var reader = new FileIndexReader(keepEntries);
        using var zstd = new ZstdDecompressor();
        string? problem = zstd.All(packed, new byte[128 << 10], reader.Text);
        if (problem is not null) throw new FormatException("it does not decompress: " + problem);
        if (!reader._ended) throw new FormatException("it has no last line");
        return new FileIndex(reader._entries, reader._globals, reader._frames);
    }

    private void Text(ReadOnlyMemory<byte> piece)
    {
        ReadOnlySpan<byte> rest = piece.Span;
        while (rest.IndexOf((byte)'\n') is >= 0 and int end)
        {
            if (_partial.Length > 0)
            {
                _partial.Write(rest[..end]);
                Line(_partial.GetBuffer().AsSpan(0, (int)_partial.Length));
                _partial.SetLength(0);
            }
            else Line(rest[..end]);
            rest = rest[(end + 1)..];
        }
        _partial.Write(rest);
    }

    private void Line(ReadOnlySpan<byte> line)
    {
        if (_ended) throw new FormatException("lines follow the last line");
        if (_first)
        {
            if (!line.SequenceEqual(Encoding.ASCII.GetBytes(FileIndex.FirstLine))) throw new FormatException("it is of another version");
            _first = false;
            return;
        }
        ReadOnlySpan<byte> type = Field(ref line);
        if (type.SequenceEqual("end"u8))
        {
            if (Number(ref line) != _count || Number(ref line) != _frames.Count) throw new FormatException("lines are missing");
            _ended = true;
        }
        else if (type.SequenceEqual("z"u8)) Frame(line);
        else if (type.SequenceEqual("g"u8))
        {
            long start = _tar;
            _tar += Number(ref line) * TarParser.BlockSize;
            _globals.Add((start, _tar));
        }
        else Entry(type, line);
    }

    private void Frame(ReadOnlySpan<byte> line)
    {
        int packed = (int)Number(ref line), raw = (int)Number(ref line);
        ReadOnlySpan<byte> checksum = Field(ref line);
        if (packed <= 0 || raw <= 0 || checksum.Length != 16 || !Utf8Parser.TryParse(checksum, out ulong sum, out int used, 'x') || used != 16)
            throw new FormatException("a frame's line is wrong");
        _frames.Add(new FrameSpan(_packed, packed, _raw, raw, sum));
        _packed += packed;
        _raw += raw;
    }

    private void Entry(ReadOnlySpan<byte> type, ReadOnlySpan<byte> line)
    {
        int kind = type.Length == 1 ? "fdlhpcbo"u8.IndexOf(type[0]) : -1;
        if (kind < 0) throw new FormatException("a line of an unknown kind");
        long size = Number(ref line);
        int mode = 0;
        foreach (byte digit in Field(ref line)) mode = digit is >= (byte)'0' and <= (byte)'7' ? (mode << 3) | (digit - '0') : throw new FormatException("a mode is not octal");
        long uid = Number(ref line), gid = Number(ref line);
        if (!decimal.TryParse(Field(ref line), NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out decimal mtime))
            throw new FormatException("a time is not a number");
        long offset = _tar, data = _tar + Number(ref line) * TarParser.BlockSize;
        ReadOnlySpan<byte> digest = Field(ref line);
        ReadOnlySpan<byte> path = Field(ref line);
        if (size < 0 || data <= offset) throw new FormatException("an entry's extent is wrong");
        _tar = data + TarParser.Padded(size);
        _count++;
        if (!_keepEntries) return;
        var fileType = (FileType)kind;
        _entries.Add(new FileEntry(Name(path), fileType, size, mode, uid, gid, mtime,
            fileType is FileType.Symlink or FileType.HardLink ? Name(line) : null, offset, data,
            digest.SequenceEqual("-"u8) ? null : Encoding.ASCII.GetString(digest)));
    }

    private static string Name(ReadOnlySpan<byte> field)
    {
        if (!field.Contains((byte)'\\')) return Encoding.Latin1.GetString(field);
        var name = new StringBuilder(field.Length);
        for (int i = 0; i < field.Length; i++)
        {
            if (field[i] != '\\') { name.Append((char)field[i]); continue; }
            name.Append((++i < field.Length ? field[i] : 0) switch
            {
                (byte)'t' => '\t',
                (byte)'n' => '\n',
                (byte)'r' => '\r',
                (byte)'\\' => '\\',
                _ => throw new FormatException("a name has an unknown escape"),
            });
        }
        return name.ToString();
    }

    private static ReadOnlySpan<byte> Field(ref ReadOnlySpan<byte> line)
    {
        int tab = line.IndexOf((byte)'\t');
        ReadOnlySpan<byte> field = tab < 0 ? line : line[..tab];
        line = tab < 0 ? default : line[(tab + 1)..];
        return field;
    }

    private static long Number(ref ReadOnlySpan<byte> line)
    {
        ReadOnlySpan<byte> field = Field(ref line);
        if (!Utf8Parser.TryParse(field, out long number, out int used) || used != field.Length) throw new FormatException("a number is not one");
        return number;
    }
}
