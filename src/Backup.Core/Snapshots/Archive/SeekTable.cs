using System.Buffers.Binary;

namespace Backup.Snapshots.Archive;

/// <summary>The seek table of zstd's seekable format, a skippable frame at the end of the data object. See FORMAT.md.</summary>
internal sealed class SeekTable
{
    private const uint SkippableMagic = 0x184D2A5E, SeekableMagic = 0x8F92EAB1;
    private const byte WithChecksums = 0x80;
    private const int Head = 8, Entry = 12, Footer = 9;
    private readonly List<(int Packed, int Raw, uint Checksum)> _frames = [];

    internal static long Size(int frames) => Head + (long)Entry * frames + Footer;

    /// <param name="frame">The whole frame; its checksum is its last four bytes.</param>
    internal void Add(ReadOnlySpan<byte> frame, int raw) => _frames.Add((frame.Length, raw, BinaryPrimitives.ReadUInt32LittleEndian(frame[^4..])));

    internal byte[] ToBytes()
    {
        var bytes = new byte[Size(_frames.Count)];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, SkippableMagic);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(4), (uint)(bytes.Length - Head));
        int at = Head;
        foreach (var (packed, raw, checksum) in _frames)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(at), (uint)packed);
            BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(at + 4), (uint)raw);
            BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(at + 8), checksum);
            at += Entry;
        }
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(at), (uint)_frames.Count);
        bytes[at + 4] = WithChecksums;
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(at + 5), SeekableMagic);
        return bytes;
    }
}
