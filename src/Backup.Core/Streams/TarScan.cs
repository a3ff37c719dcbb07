using System.Globalization;
using System.Text;
using Backup.Snapshots;

namespace Backup.Streams;

/// <summary>
/// Goes through a tar, hands out one <see cref="FileEntry"/> for each entry as soon as its content has passed, and proves the tar complete.
/// </summary>
internal sealed class TarScan(Action<FileEntry> entry, Action<long, long>? globalHeader = null) : TarParser
{
    private Crc32C _crc;
    private bool _hashed;

    /// <summary>Entries so far, directories included.</summary>
    internal long Entries { get; private set; }

    /// <summary>Entries so far that are not directories.</summary>
    internal long Files { get; private set; }

    protected override void EntryStarts(TarHeader header)
    {
        _crc = new Crc32C();
        _hashed = header.Size > 0;
    }

    protected override void Content(ReadOnlySpan<byte> bytes) => _crc.Append(bytes);

    protected override void EntryEnds(TarHeader header)
    {
        foreach (var (name, value) in header.Xattrs)
        {
            _crc.Append([0, .. Encoding.Latin1.GetBytes(name), (byte)'=']);
            _crc.Append(value);
            _hashed = true;
        }
        if (header.Type is FileType.CharDevice or FileType.BlockDevice)
        {
            _crc.Append(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{header.DeviceMajor}:{header.DeviceMinor}")));
            _hashed = true;
        }
        Entries++;
        if (header.Type != FileType.Directory) Files++;
        entry(new FileEntry(header.Path, header.Type, header.Size, header.Mode, header.Uid, header.Gid, header.Mtime,
            header.LinkPath, header.Offset, header.DataOffset, _hashed ? _crc.Value.ToString("x8") : null));
    }

    protected override void GlobalHeader(long offset, long end) => globalHeader?.Invoke(offset, end);
}
