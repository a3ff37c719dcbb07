using System.Buffers.Text;
using System.Globalization;
using Backup.Streams;

namespace Backup.Snapshots.Archive;

/// <summary>Writes the index's lines while the scan goes on; only compressed bytes are held, until <see cref="Take"/> fetches them.</summary>
internal sealed class FileIndexWriter : IDisposable
{
    private const string Types = "fdlhpcbo";
    private readonly byte[] _text = new byte[64 << 10];
    private readonly byte[] _out = new byte[64 << 10];
    private readonly ZstdCompressor _zstd = new(6);
    private readonly Action<ReadOnlyMemory<byte>>? _copy;
    private readonly Lock _lock = new();
    private MemoryStream _packed = new();
    private int _fill;

    /// <param name="copy">Sees the uncompressed text too; to compare it with another index.</param>
    internal FileIndexWriter(Action<ReadOnlyMemory<byte>>? copy = null)
    {
        _copy = copy;
        Line(FileIndex.FirstLine);
    }

    internal long Entries { get; private set; }

    internal void Add(FileEntry e)
    {
        Room(256);
        Entries++;
        _text[_fill++] = (byte)Types[(int)e.Type];
        Field(e.Size);
        _text[_fill++] = (byte)'\t';
        _fill += System.Text.Encoding.ASCII.GetBytes(Convert.ToString(e.Mode, 8), _text.AsSpan(_fill));
        Field(e.Uid);
        Field(e.Gid);
        _text[_fill++] = (byte)'\t';
        if (e.Mtime == decimal.Truncate(e.Mtime)) { _fill--; Field((long)e.Mtime); }
        else _fill += System.Text.Encoding.ASCII.GetBytes(e.Mtime.ToString(CultureInfo.InvariantCulture), _text.AsSpan(_fill));
        Field((e.DataOffset - e.Offset) / TarParser.BlockSize);
        _text[_fill++] = (byte)'\t';
        _fill += System.Text.Encoding.ASCII.GetBytes(e.Digest ?? "-", _text.AsSpan(_fill));
        Name(e.RawPath);
        if (e.RawLink is not null) Name(e.RawLink);
        _text[_fill++] = (byte)'\n';
    }

    internal void AddGlobalHeader(long start, long end) => Line($"g\t{(end - start) / TarParser.BlockSize}");

    internal void AddFrame(FrameSpan frame) => Line($"z\t{frame.PackedLength}\t{frame.RawLength}\t{frame.Checksum:x16}");

    /// <summary>Closes the index; nothing can be added after it.</summary>
    internal void End(int frames)
    {
        Line($"end\t{Entries}\t{frames}");
        Flush(end: true);
    }

    /// <summary>The compressed bytes made so far and not yet taken, when there are at least <paramref name="least"/>; for one other thread.</summary>
    internal ReadOnlyMemory<byte> Take(int least)
    {
        lock (_lock)
        {
            if (_packed.Length < Math.Max(1, least)) return default;
            MemoryStream full = _packed;
            _packed = new MemoryStream();
            return full.GetBuffer().AsMemory(0, (int)full.Length);
        }
    }

    private void Field(long number)
    {
        _text[_fill++] = (byte)'\t';
        Utf8Formatter.TryFormat(number, _text.AsSpan(_fill), out int written);
        _fill += written;
    }

    private void Name(string raw)
    {
        Room(1);
        _text[_fill++] = (byte)'\t';
        foreach (char c in raw)
        {
            Room(3);
            byte escaped = c switch { '\t' => (byte)'t', '\n' => (byte)'n', '\r' => (byte)'r', '\\' => (byte)'\\', _ => 0 };
            if (escaped == 0) { _text[_fill++] = (byte)c; continue; }
            _text[_fill++] = (byte)'\\';
            _text[_fill++] = escaped;
        }
        Room(2);
    }

    private void Line(string text)
    {
        Room(text.Length + 1);
        _fill += System.Text.Encoding.ASCII.GetBytes(text, _text.AsSpan(_fill));
        _text[_fill++] = (byte)'\n';
    }

    private void Room(int bytes)
    {
        if (_text.Length - _fill < bytes) Flush(end: false);
    }

    private void Flush(bool end)
    {
        _copy?.Invoke(_text.AsMemory(0, _fill));
        lock (_lock) _zstd.Push(_text.AsSpan(0, _fill), end, _out, piece => _packed.Write(piece.Span));
        _fill = 0;
    }

    public void Dispose() => _zstd.Dispose();
}
