using System.Buffers.Text;
using System.Globalization;
using System.Text;
using Backup.Snapshots;

namespace Backup.Streams;

/// <summary>
/// Reads a tar as it is pushed through: ustar, GNU (long names, base-256 numbers, old sparse) and PAX. It never changes a byte and keeps names as
/// the bytes they are. What cannot be the work of a whole, undamaged stream is an <see cref="IncompleteTarException"/>.
/// </summary>
internal abstract class TarParser
{
    internal const int BlockSize = 512;
    /// <summary>No sane PAX header or long name is larger; more is taken for damage instead of eating the memory.</summary>
    private const int MaxMeta = 8 << 20;

    private enum State { Header, Meta, SparseMap, Content, Padding, FirstZero, End }

    private readonly byte[] _block = new byte[BlockSize];
    private readonly TarHeader _header = new();
    private readonly Dictionary<string, byte[]> _pax = [];
    private readonly Dictionary<string, byte[]> _globals = [];
    private readonly MemoryStream _meta = new();
    private State _state;
    private int _blockFill;
    private long _left;
    private int _padding;
    private byte _metaType;
    private long _first = -1;
    private string? _longName, _longLink;

    /// <summary>Bytes pushed so far.</summary>
    internal long Position { get; private set; }

    protected abstract void EntryStarts(TarHeader header);
    protected abstract void Content(ReadOnlySpan<byte> bytes);
    protected abstract void EntryEnds(TarHeader header);
    /// <summary>A PAX global header lies at these offsets; it belongs to all entries that follow.</summary>
    protected virtual void GlobalHeader(long offset, long end) { }

    internal static long Padded(long size) => (size + BlockSize - 1) & ~(long)(BlockSize - 1);

    internal void Push(ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            int used = _state switch
            {
                State.Content => TakeContent(bytes),
                State.Meta => TakeMeta(bytes),
                State.Padding => TakePadding(bytes),
                State.End => TakeZeros(bytes),
                _ => TakeBlock(bytes),
            };
            Position += used;
            bytes = bytes[used..];
        }
    }

    /// <summary>Call at the stream's end. Throws unless every entry was whole and the tar's own end was there.</summary>
    internal void Complete()
    {
        if (_state == State.End) return;
        throw new IncompleteTarException(_state switch
        {
            State.Content or State.Padding => $"The tar ends inside '{Display(_header.Path)}' at byte {Position}.",
            State.Meta or State.SparseMap => $"The tar ends inside a header at byte {Position}.",
            _ when _blockFill > 0 => $"The tar ends inside a header at byte {Position}.",
            _ when _first >= 0 => $"The tar ends between an extended header and its entry at byte {Position}.",
            _ => Position == 0 ? "The tar is empty: not even an end mark came." : $"The tar has no end mark: it stops after byte {Position}.",
        });
    }

    private int TakeBlock(ReadOnlySpan<byte> bytes)
    {
        int used = Math.Min(BlockSize - _blockFill, bytes.Length);
        if (used == BlockSize)
        {
            OneBlock(bytes[..BlockSize], Position);
            return used;
        }
        bytes[..used].CopyTo(_block.AsSpan(_blockFill));
        _blockFill += used;
        if (_blockFill == BlockSize)
        {
            long start = Position + used - BlockSize;
            _blockFill = 0;
            OneBlock(_block, start);
        }
        return used;
    }

    private void OneBlock(ReadOnlySpan<byte> block, long start)
    {
        if (_state == State.SparseMap)
        {
            _header.DataOffset = start + BlockSize;
            if (block[504] == 0) BeginContent();
            return;
        }
        if (!block.ContainsAnyExcept((byte)0))
        {
            if (_first >= 0) throw Damaged(start, "an extended header is followed by the end mark");
            _state = _state == State.FirstZero ? State.End : State.FirstZero;
            return;
        }
        if (_state == State.FirstZero) throw Damaged(start, "after a single zero block the tar goes on");
        ParseHeader(block, start);
    }

    private void ParseHeader(ReadOnlySpan<byte> block, long start)
    {
        CheckSum(block, start);
        byte type = block[156];
        long size = Number(block.Slice(124, 12), start, "size");
        if (size < 0) throw Damaged(start, "a negative size");
        if (type is (byte)'x' or (byte)'X' or (byte)'g' or (byte)'L' or (byte)'K')
        {
            if (size > MaxMeta) throw Damaged(start, $"an extended header of {size} bytes");
            if (type == 'g' ? _first >= 0 : false) throw Damaged(start, "a global header between an extended header and its entry");
            if (_first < 0) _first = start;
            _metaType = type;
            _meta.SetLength(0);
            _left = size;
            _padding = (int)(Padded(size) - size);
            _state = State.Meta;
            if (size == 0) MetaDone();
            return;
        }

        TarHeader h = _header;
        bool posix = block.Slice(257, 6).SequenceEqual("ustar\0"u8);
        bool gnu = block.Slice(257, 6).SequenceEqual("ustar "u8);
        h.Name = Text(block[..100]);
        if (posix && block[345] != 0) h.Name = Text(block.Slice(345, 155)) + "/" + h.Name;
        h.Link = Text(block.Slice(157, 100));
        h.Mode = (int)(Number(block.Slice(100, 8), start, "mode") & 0xFFF);
        h.Uid = Number(block.Slice(108, 8), start, "uid");
        h.Gid = Number(block.Slice(116, 8), start, "gid");
        h.Mtime = Number(block.Slice(136, 12), start, "mtime");
        h.DeviceMajor = posix || gnu ? Number(block.Slice(329, 8), start, "device") : 0;
        h.DeviceMinor = posix || gnu ? Number(block.Slice(337, 8), start, "device") : 0;
        h.Size = size;
        h.Sparse = type == 'S';
        h.Xattrs.Clear();
        h.Offset = _first >= 0 ? _first : start;
        h.DataOffset = start + BlockSize;
        if (_longName is not null) h.Name = _longName;
        if (_longLink is not null) h.Link = _longLink;
        foreach (var (key, value) in _globals) Apply(key, value, start);
        foreach (var (key, value) in _pax) Apply(key, value, start);
        h.Type = TypeOf(type, h);
        // Like the engine's own reader: such entries have no content, whatever their size field says.
        if (h.Type is FileType.HardLink or FileType.Symlink or FileType.Directory or FileType.Fifo or FileType.CharDevice or FileType.BlockDevice) h.Size = 0;
        _first = -1;
        _longName = _longLink = null;
        _pax.Clear();

        if (type == 'S' && block[482] != 0) _state = State.SparseMap;
        else BeginContent();
    }

    private void BeginContent()
    {
        EntryStarts(_header);
        _left = _header.Size;
        _padding = (int)(Padded(_left) - _left);
        if (_left > 0) _state = State.Content;
        else EndContent();
    }

    private void EndContent()
    {
        EntryEnds(_header);
        _state = _padding > 0 ? State.Padding : State.Header;
    }

    private int TakeContent(ReadOnlySpan<byte> bytes)
    {
        int used = (int)Math.Min(_left, bytes.Length);
        Content(bytes[..used]);
        _left -= used;
        if (_left == 0) EndContent();
        return used;
    }

    private int TakePadding(ReadOnlySpan<byte> bytes)
    {
        int used = Math.Min(_padding, bytes.Length);
        _padding -= used;
        if (_padding == 0) _state = State.Header;
        return used;
    }

    private int TakeMeta(ReadOnlySpan<byte> bytes)
    {
        int used = (int)Math.Min(_left, bytes.Length);
        _meta.Write(bytes[..used]);
        _left -= used;
        if (_left == 0) MetaDone();
        return used;
    }

    private int TakeZeros(ReadOnlySpan<byte> bytes)
    {
        int other = bytes.IndexOfAnyExcept((byte)0);
        if (other >= 0) throw Damaged(Position + other, "bytes follow the tar's end mark");
        return bytes.Length;
    }

    private void MetaDone()
    {
        ReadOnlySpan<byte> body = _meta.GetBuffer().AsSpan(0, (int)_meta.Length);
        switch (_metaType)
        {
            case (byte)'L': _longName = Text(body); break;
            case (byte)'K': _longLink = Text(body); break;
            case (byte)'g':
                ReadPax(body, _globals);
                // Its length stands in the header that was just read, so its end is the header block plus the padded body.
                GlobalHeader(_first, _first + BlockSize + Padded(body.Length));
                _first = -1;
                break;
            default: ReadPax(body, _pax); break;
        }
        _state = _padding > 0 ? State.Padding : State.Header;
    }

    private void ReadPax(ReadOnlySpan<byte> body, Dictionary<string, byte[]> into)
    {
        while (body.Length > 0)
        {
            int space = body.IndexOf((byte)' ');
            if (space <= 0 || !Utf8Parser.TryParse(body[..space], out int length, out int used) || used != space
                || length <= space + 1 || length > body.Length || body[length - 1] != '\n')
                throw Damaged(Position, "a PAX header that cannot be read");
            ReadOnlySpan<byte> record = body[(space + 1)..(length - 1)];
            int equals = record.IndexOf((byte)'=');
            if (equals <= 0) throw Damaged(Position, "a PAX header that cannot be read");
            into[Encoding.Latin1.GetString(record[..equals])] = record[(equals + 1)..].ToArray();
            body = body[length..];
        }
    }

    private void Apply(string key, byte[] value, long start)
    {
        const string xattr = "SCHILY.xattr.";
        if (key.StartsWith(xattr, StringComparison.Ordinal)) { _header.Xattrs[key[xattr.Length..]] = value; return; }
        if (key.StartsWith("GNU.sparse.", StringComparison.Ordinal)) _header.Sparse = true;
        if (value.Length == 0) return;
        switch (key)
        {
            case "path" or "GNU.sparse.name": _header.Name = Text(value); break;
            case "linkpath": _header.Link = Text(value); break;
            case "size": _header.Size = (long)Decimal(value, start, key, 0); break;
            case "uid": _header.Uid = (long)Decimal(value, start, key, 0); break;
            case "gid": _header.Gid = (long)Decimal(value, start, key, 0); break;
            case "mtime": _header.Mtime = Decimal(value, start, key, long.MinValue); break;
        }
    }

    private static decimal Decimal(byte[] value, long start, string what, long least)
    {
        if (decimal.TryParse(value, NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out decimal number)
            && number >= least && number <= long.MaxValue) return number;
        throw Damaged(start, $"a PAX {what} that is not a number");
    }

    private static FileType TypeOf(byte type, TarHeader h) => type switch
    {
        (byte)'0' or 0 or (byte)'7' => h.Sparse ? FileType.Other : h.Name.EndsWith('/') && type == 0 ? FileType.Directory : FileType.File,
        (byte)'1' => FileType.HardLink,
        (byte)'2' => FileType.Symlink,
        (byte)'3' => FileType.CharDevice,
        (byte)'4' => FileType.BlockDevice,
        (byte)'5' => FileType.Directory,
        (byte)'6' => FileType.Fifo,
        _ => FileType.Other,
    };

    private static string Text(ReadOnlySpan<byte> field)
    {
        int end = field.IndexOf((byte)0);
        return Encoding.Latin1.GetString(end < 0 ? field : field[..end]);
    }

    private static void CheckSum(ReadOnlySpan<byte> block, long start)
    {
        int unsigned = 8 * ' ', signed = 8 * ' ';
        for (int i = 0; i < BlockSize; i++)
        {
            if (i == 148) i = 156;
            unsigned += block[i];
            signed += (sbyte)block[i];
        }
        long stored = Number(block.Slice(148, 8), start, "checksum");
        if (stored != unsigned && stored != signed) throw Damaged(start, "a header whose checksum is wrong");
    }

    private static long Number(ReadOnlySpan<byte> field, long start, string what)
    {
        if ((field[0] & 0x80) != 0)
        {
            // GNU base-256: big-endian two's complement, the top bit of the first byte is the mark.
            long value = (field[0] & 0x40) != 0 ? -1 : 0;
            for (int i = 0; i < field.Length; i++)
            {
                long b = i == 0 ? (value < 0 ? field[0] : field[0] & 0x7F) : field[i];
                if (i > 0 && field.Length - i >= 8 && (value < 0 ? value != -1 : value != 0)) throw Damaged(start, $"a {what} that is too large");
                value = (value << 8) | (uint)b;
            }
            return value;
        }
        ReadOnlySpan<byte> digits = field.Trim(" \0"u8);
        long octal = 0;
        foreach (byte b in digits)
        {
            if (b is 0 or (byte)' ') break;
            if (b is < (byte)'0' or > (byte)'7') throw Damaged(start, $"a {what} that is not a number");
            octal = (octal << 3) | (uint)(b - '0');
        }
        return octal;
    }

    private static string Display(string raw) => EntryNames.Display(raw);

    private static IncompleteTarException Damaged(long position, string what) =>
        new($"The tar is damaged at byte {position}: {what}.");
}
