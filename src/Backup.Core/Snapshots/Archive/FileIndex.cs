using Backup.Streams;

namespace Backup.Snapshots.Archive;

/// <summary>What the index object holds, see FORMAT.md.</summary>
/// <param name="Globals">Extents (start, end) of PAX global headers in the tar.</param>
internal sealed record FileIndex(IReadOnlyList<FileEntry> Entries, IReadOnlyList<(long Start, long End)> Globals, IReadOnlyList<FrameSpan> Frames)
{
    internal const string FirstLine = "backup-index 1";

    /// <summary>Bytes that all frames take in the data object.</summary>
    internal long PackedBytes => Frames.Count == 0 ? 0 : Frames[^1].PackedOffset + Frames[^1].PackedLength;

    internal long TarBytes => Frames.Count == 0 ? 0 : Frames[^1].RawOffset + Frames[^1].RawLength;
}
