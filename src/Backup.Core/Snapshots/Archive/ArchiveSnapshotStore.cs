using Backup.Stores;
using Backup.Streams;

namespace Backup.Snapshots.Archive;

/// <summary>The archive format over an object store, see FORMAT.md. Takes over the object store and disposes it.</summary>
public sealed class ArchiveSnapshotStore(IObjectStore store, RunContext context) : ISnapshotStore
{
    private const int ParallelReads = 16;

    public string Name => store.Name;
    public string Location => store.Location;

    public async Task<SnapshotList> ListAsync(string? environment, string? volume, CancellationToken cancel)
    {
        var sizes = new Dictionary<string, long>(StringComparer.Ordinal);
        List<ArchiveKeys> found = [];
        await foreach (ObjectInfo info in store.ListAsync(ArchiveKeys.Prefix(environment, volume), cancel).ConfigureAwait(false))
        {
            if (ArchiveKeys.Parse(info.Key, ArchiveKeys.ManifestExtension) is { } keys && (volume is null || keys.IsOf(volume))) found.Add(keys);
            sizes[info.Key] = info.Size;
        }

        var snapshots = new Snapshot?[found.Count];
        var damaged = new DamagedManifest?[found.Count];
        await Parallel.ForAsync(0, found.Count, new ParallelOptions { MaxDegreeOfParallelism = ParallelReads, CancellationToken = cancel }, async (i, token) =>
        {
            try
            {
                byte[]? bytes = await store.GetAsync(found[i].Manifest, token).ConfigureAwait(false);
                if (bytes is null) return; // removed since it was listed
                ManifestSummary summary = ManifestJson.ReadSummary(bytes, found[i], store.Name);
                string? missing = await MissingAsync(summary, sizes, token).ConfigureAwait(false);
                if (missing is null) snapshots[i] = summary.Snapshot;
                else damaged[i] = new DamagedManifest(store.Name, found[i].Manifest, missing);
            }
            catch (FormatException e)
            {
                damaged[i] = new DamagedManifest(store.Name, found[i].Manifest, e.Message);
            }
        }).ConfigureAwait(false);

        return new SnapshotList(
            [.. snapshots.OfType<Snapshot>().OrderByDescending(s => s.TakenAt).ThenBy(s => s.Environment, StringComparer.Ordinal)
                .ThenBy(s => s.Volume, StringComparer.Ordinal).ThenBy(s => s.Id, StringComparer.Ordinal)],
            [.. damaged.OfType<DamagedManifest>().OrderBy(d => d.Key, StringComparer.Ordinal)]);
    }

    /// <summary>A listing is no moment in time: what it did not show is looked for once more before it is called missing.</summary>
    private async Task<string?> MissingAsync(ManifestSummary summary, Dictionary<string, long> sizes, CancellationToken cancel)
    {
        foreach (var (key, size) in ((string, long)[])[(summary.DataKey, summary.DataSize), (summary.IndexKey, summary.IndexSize)])
        {
            if (sizes.TryGetValue(key, out long listed) && listed == size) continue;
            ObjectInfo? info = await store.HeadAsync(key, cancel).ConfigureAwait(false);
            if (info is null) return $"names {key}, which is missing";
            if (info.Size != size) return $"names {key}, which has {info.Size} bytes instead of {size}";
        }
        return null;
    }

    public async Task<StagedSnapshot> BeginAsync(
        string id, string environment, string source, DateTimeOffset takenAt, long? sizeHint, int level, Spool? spool, CancellationToken cancel)
    {
        Zstd.Require();
        spool?.Prepare();
        var draft = new ArchiveDraft(id, environment, source, takenAt, sizeHint, level, spool);
        if (ArchiveKeys.Parse(draft.Keys.Manifest, ArchiveKeys.ManifestExtension) is null) throw new ArgumentException($"not a snapshot id: '{id}'", nameof(id));
        ArgumentOutOfRangeException.ThrowIfLessThan(level, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(level, 19);
        ObjectWriter data = await draft.BeginAsync(store, context, cancel).ConfigureAwait(false);
        return new StagedArchive(store, context, draft, _ => Task.FromResult(data));
    }

    public async Task<SnapshotReader> OpenAsync(Snapshot snapshot, CancellationToken cancel)
    {
        var (manifest, size) = await ReadManifestAsync(snapshot, cancel).ConfigureAwait(false);
        FileIndex index = await ArchiveReader.ReadIndexAsync(store, manifest, keepEntries: true, cancel).ConfigureAwait(false);
        return new ArchiveReader(store, manifest, index, manifest.Snapshot(store.Name, size));
    }

    private async Task<(Manifest Manifest, long Size)> ReadManifestAsync(Snapshot snapshot, CancellationToken cancel)
    {
        ArchiveKeys keys = ArchiveKeys.Of(snapshot);
        byte[] bytes = await store.GetAsync(keys.Manifest, cancel).ConfigureAwait(false)
            ?? throw new BackupException($"There is no snapshot {snapshot.Id} of {snapshot.Environment}/{snapshot.Volume} in {Location}.",
                "List what there is with 'backup snapshots'.", FailureKind.NotFound);
        try
        {
            Manifest manifest = ManifestJson.Read(bytes, keys);
            if (manifest.Tar.Sha256 != snapshot.Sha256) throw new FormatException("is not the one that was listed: it was replaced meanwhile");
            return (manifest, bytes.Length);
        }
        catch (FormatException e)
        {
            throw new BackupException($"The manifest {keys.Manifest} {e.Message}.", "Restore another snapshot of this volume, or put the manifest back from another copy of the store.", inner: e);
        }
    }

    public async Task RemoveAsync(Snapshot snapshot, CancellationToken cancel)
    {
        ArchiveKeys keys = ArchiveKeys.Of(snapshot);
        if (await store.HeadAsync(keys.Marker, cancel).ConfigureAwait(false) is null) await Marker.WriteAsync(store, keys, "removing", context.Now, cancel).ConfigureAwait(false);
        foreach (string key in (string[])[keys.Manifest, keys.Data, keys.Index, keys.Marker])
            await store.DeleteAsync(key, cancel).ConfigureAwait(false);
    }

    public async Task<IReadOnlyList<string>> VerifyAsync(Snapshot snapshot, bool readData, IProgress<long>? progress, CancellationToken cancel)
    {
        try
        {
            var (manifest, _) = await ReadManifestAsync(snapshot, cancel).ConfigureAwait(false);
            return await new ArchiveVerifier(store, manifest).RunAsync(readData, progress, cancel).ConfigureAwait(false);
        }
        catch (BackupException e) when (e is not StoreException)
        {
            return [e.Problem];
        }
    }

    public Task<IReadOnlyList<string>> CollectAsync(TimeSpan minimumAge, bool dryRun, CancellationToken cancel) =>
        new ArchiveCollector(store, context).RunAsync(minimumAge, dryRun, cancel);

    public Task ProbeAsync(CancellationToken cancel) => ArchiveProbe.RunAsync(store, context, cancel);

    public ValueTask DisposeAsync() => store.DisposeAsync();
}
