using System.Security.Cryptography;
using Backup.Stores;
using Backup.Streams;

namespace Backup.Snapshots.Archive;

/// <summary>Proves that what a manifest promises is there.</summary>
internal sealed class ArchiveVerifier(IObjectStore store, Manifest manifest)
{
    private readonly List<string> _problems = [];

    internal async Task<IReadOnlyList<string>> RunAsync(bool readData, IProgress<long>? progress, CancellationToken cancel)
    {
        StoredObject data = manifest.Data();
        if (data.Parts.Sum(p => p.Size) != data.Size) _problems.Add($"The parts of {data.Key} do not add up to its size.");
        ObjectInfo? info = await store.HeadAsync(data.Key, cancel).ConfigureAwait(false);
        if (info is null) _problems.Add($"The data object {data.Key} is missing.");
        else if (info.Size != data.Size) _problems.Add($"The data object {data.Key} has {info.Size} bytes instead of {data.Size}.");
        FileIndex? index = null;
        try
        {
            index = await ArchiveReader.ReadIndexAsync(store, manifest, keepEntries: false, cancel).ConfigureAwait(false);
        }
        catch (BackupException e) when (e is not StoreException)
        {
            _problems.Add(e.Problem);
        }
        if (readData && info is not null && index is not null) await ReadAllAsync(data, index, progress, cancel).ConfigureAwait(false);
        return _problems;
    }

    private async Task ReadAllAsync(StoredObject data, FileIndex index, IProgress<long>? progress, CancellationToken cancel)
    {
        Stream? stored = await store.OpenReadAsync(data.Key, 0, null, cancel).ConfigureAwait(false);
        if (stored is null) { _problems.Add($"The data object {data.Key} is missing."); return; }
        // A single part is the whole: its hash needs no second pass over the bytes.
        bool onePart = data.Parts.Count == 1;
        await using var hashed = new PartHashStream(stored, onePart ? [] : data.Parts.Select(p => p.Size));
        var seekTable = new SeekTable();
        try
        {
            await ReadTarAsync(data, index, hashed, seekTable, progress, cancel).ConfigureAwait(false);
        }
        catch (BackupException e) when (e is not StoreException)
        {
            _problems.Add(e.Problem);
            return;
        }
        var tail = new byte[SeekTable.Size(index.Frames.Count) + 1];
        int read = await hashed.ReadAtLeastAsync(tail, tail.Length, throwOnEndOfStream: false, cancel).ConfigureAwait(false);
        if (!tail.AsSpan(0, read).SequenceEqual(seekTable.ToBytes())) _problems.Add($"The seek table at the end of {data.Key} is damaged.");
        var (whole, parts) = hashed.Hashes();
        if (whole != data.Sha256) _problems.Add($"The data object {data.Key} does not have the recorded hash.");
        for (int i = 0; i < data.Parts.Count; i++)
            if (onePart ? data.Parts[0].Sha256 != whole : i >= parts.Count || parts[i] != data.Parts[i].Sha256) _problems.Add($"Part {i + 1} of {data.Key} does not have the recorded hash.");
    }

    private async Task ReadTarAsync(StoredObject data, FileIndex index, Stream packed, SeekTable seekTable, IProgress<long>? progress, CancellationToken cancel)
    {
        using var expected = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        using var found = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        using var rescan = new FileIndexWriter(text => found.AppendData(text.Span));
        var scan = new TarScan(rescan.Add, rescan.AddGlobalHeader);
        await using (var tar = new FrameReadStream(index.Frames, manifest.Compression.FrameBytes, (_, _, _) => Task.FromResult<Stream>(new BorrowedStream(packed)),
            manifest.Tar.Sha256, data.Key, seekTable.Add))
        {
            long total = 0;
            while (await tar.ReadPieceAsync(cancel).ConfigureAwait(false) is { Length: > 0 } piece)
            {
                scan.Push(piece.Span);
                rescan.Take(1);
                progress?.Report(total += piece.Length);
            }
        }
        scan.Complete();
        if (scan.Entries != manifest.Tar.Entries || scan.Files != manifest.Tar.Files) _problems.Add($"{data.Key} does not hold as many entries as the manifest says.");
        foreach (FrameSpan frame in index.Frames) rescan.AddFrame(frame);
        rescan.End(index.Frames.Count);
        byte[] bytes = await store.GetAsync(manifest.Index().Key, cancel).ConfigureAwait(false) ?? [];
        using var zstd = new ZstdDecompressor();
        string? problem = zstd.All(bytes, new byte[128 << 10], text => expected.AppendData(text.Span));
        if (problem is not null || !expected.GetCurrentHash().AsSpan().SequenceEqual(found.GetCurrentHash()))
            _problems.Add($"The index {manifest.Index().Key} does not describe what is in {data.Key}.");
    }
}
