using System.Security.Cryptography;
using Backup.Stores;
using Backup.Streams;

namespace Backup.Snapshots.Archive;

/// <summary>An open archive: manifest and index are proved, frames are proved as they are read.</summary>
internal sealed class ArchiveReader(IObjectStore store, Manifest manifest, FileIndex index, Snapshot snapshot) : SnapshotReader
{
    private const string Cure = "Restore another snapshot of this volume, or put the object back from another copy of the store.";

    public override Snapshot Snapshot => snapshot;
    public override SnapshotRecord Record { get; } = manifest.Record();
    public override IReadOnlyList<FileEntry> Files => index.Entries;
    internal FileIndex Index => index;
    internal Manifest Manifest => manifest;

    /// <summary>Reads and proves the index that the manifest names.</summary>
    internal static async Task<FileIndex> ReadIndexAsync(IObjectStore store, Manifest manifest, bool keepEntries, CancellationToken cancel)
    {
        StoredObject promised = manifest.Index();
        byte[] bytes = await store.GetAsync(promised.Key, cancel).ConfigureAwait(false)
            ?? throw new BackupException($"The index {promised.Key} is missing from {store.Location}.", Cure);
        if (bytes.Length != promised.Size || Convert.ToHexStringLower(SHA256.HashData(bytes)) != promised.Sha256)
            throw new BackupException($"The index {promised.Key} is damaged: it does not have the size and hash that the manifest recorded.", Cure);
        FileIndex index;
        try
        {
            index = FileIndexReader.Read(bytes, keepEntries);
        }
        catch (FormatException e)
        {
            throw new BackupException($"The index {promised.Key} cannot be read: {e.Message}.", Cure, inner: e);
        }
        int most = ZstdCompressor.Bound(manifest.Compression.FrameBytes);
        if (index.Frames.Count != manifest.Compression.Frames || index.TarBytes != manifest.Tar.Bytes
            || index.PackedBytes + SeekTable.Size(index.Frames.Count) != manifest.Data().Size
            || index.Frames.Any(f => f.RawLength > manifest.Compression.FrameBytes || f.PackedLength > most))
            throw new BackupException($"The index {promised.Key} does not fit its manifest.", Cure);
        return index;
    }

    public override Task<Stream> OpenTarAsync(CancellationToken cancel) =>
        Task.FromResult<Stream>(new FrameReadStream(index.Frames, manifest.Compression.FrameBytes, OpenPackedAsync, manifest.Tar.Sha256, manifest.Data().Key));

    public override Task<Stream> OpenTarAsync(IReadOnlyList<FileEntry> entries, CancellationToken cancel)
    {
        List<(long Start, long End)> ranges = Ranges(entries);
        List<FrameSpan> frames = [];
        int at = 0;
        foreach (FrameSpan frame in index.Frames)
        {
            while (at < ranges.Count && ranges[at].End <= frame.RawOffset) at++;
            if (at == ranges.Count) break;
            if (ranges[at].Start < frame.RawOffset + frame.RawLength) frames.Add(frame);
        }
        var source = new FrameReadStream(frames, manifest.Compression.FrameBytes, OpenPackedAsync, null, manifest.Data().Key);
        return Task.FromResult<Stream>(new TarRangesStream(source, frames, ranges));
    }

    /// <summary>Extents in the tar: the entries, the targets that hard links among them need, and the global headers before them; ascending, joined where they touch.</summary>
    private List<(long Start, long End)> Ranges(IReadOnlyList<FileEntry> entries)
    {
        var chosen = new SortedDictionary<long, long>();
        Dictionary<string, FileEntry>? targets = null;
        foreach (FileEntry entry in entries) Choose(entry);
        if (chosen.Count == 0) return [];
        long last = chosen.Keys.Last();
        foreach (var (start, end) in index.Globals)
            if (start < last) chosen[start] = end;

        List<(long Start, long End)> ranges = [];
        foreach (var (start, end) in chosen)
        {
            if (ranges.Count > 0 && ranges[^1].End == start) ranges[^1] = (ranges[^1].Start, end);
            else ranges.Add((start, end));
        }
        return ranges;

        void Choose(FileEntry entry)
        {
            // A link to a link to … is walked, never looped: each step goes to an entry that was not chosen yet.
            while (chosen.TryAdd(entry.Offset, entry.DataOffset + TarParser.Padded(entry.Size)) && entry.Type == FileType.HardLink)
            {
                if (targets is null)
                {
                    targets = new Dictionary<string, FileEntry>(StringComparer.Ordinal);
                    foreach (FileEntry e in index.Entries)
                        if (e.Type != FileType.Directory) targets.TryAdd(e.RawPath, e);
                }
                if (!targets.TryGetValue(entry.RawLink!, out FileEntry? target)) return;
                entry = target;
            }
        }
    }

    private async Task<Stream> OpenPackedAsync(long offset, long length, CancellationToken cancel) =>
        await store.OpenReadAsync(manifest.Data().Key, offset, length, cancel).ConfigureAwait(false)
        ?? throw new BackupException($"The data object {manifest.Data().Key} is missing from {store.Location}.", Cure);

    public override ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
