using Backup.Stores;

namespace Backup.Snapshots.Archive;

/// <summary>Cleans up behind programs that died, guided by their markers; of what has no marker only unfinished uploads of a snapshot's keys, see FORMAT.md.</summary>
internal sealed class ArchiveCollector(IObjectStore store, RunContext context)
{
    internal async Task<IReadOnlyList<string>> RunAsync(TimeSpan minimumAge, bool dryRun, CancellationToken cancel)
    {
        List<(ArchiveKeys Keys, ObjectInfo Info)> markers = [];
        var present = new HashSet<string>(StringComparer.Ordinal);
        await foreach (ObjectInfo info in store.ListAsync("", cancel).ConfigureAwait(false))
        {
            present.Add(info.Key);
            if (ArchiveKeys.Parse(info.Key, ArchiveKeys.MarkerExtension) is { } keys) markers.Add((keys, info));
        }
        List<string> done = [];
        foreach (var (keys, info) in markers.OrderBy(m => m.Info.Key, StringComparer.Ordinal))
            if (await OneAsync(keys, info, present, minimumAge, dryRun, cancel).ConfigureAwait(false) is { } what) done.Add(what);
        await foreach (UnfinishedUpload upload in store.ListUploadsAsync("", cancel).ConfigureAwait(false))
            if (await IsStrayAsync(upload, minimumAge, cancel).ConfigureAwait(false))
            {
                if (!dryRun) await store.AbortUploadsAsync(upload.Key, cancel).ConfigureAwait(false);
                done.Add($"unfinished upload of {upload.Key}");
            }
        return done;
    }

    /// <summary>
    /// Who died while it wrote its marker left an upload that no marker names. Where there is a marker, its snapshot may still be in the making,
    /// however long its upload has stood still.
    /// </summary>
    private async Task<bool> IsStrayAsync(UnfinishedUpload upload, TimeSpan minimumAge, CancellationToken cancel) =>
        context.Now - upload.Touched >= minimumAge && ArchiveKeys.Parse(upload.Key) is { } keys
        && await store.HeadAsync(keys.Marker, cancel).ConfigureAwait(false) is null;

    private async Task<string?> OneAsync(ArchiveKeys keys, ObjectInfo info, HashSet<string> present, TimeSpan minimumAge, bool dryRun, CancellationToken cancel)
    {
        byte[]? bytes = await store.GetAsync(info.Key, cancel).ConfigureAwait(false);
        if (bytes is null) return null; // finished meanwhile
        Marker? marker = ManifestJson.ReadMarker(bytes);
        if (context.Now - (marker?.WrittenAt ?? info.Modified) < minimumAge) return null;
        if (marker is null || !marker.Keys.All(keys.Owned.Contains))
        {
            string reason = marker is null ? "cannot be read" : "names keys that are not its own";
            context.Events.Report(new RunEvent.Warning($"The marker {info.Key} in {store.Location} {reason}; nothing was removed for it.",
                "Look at it by hand; delete it when nothing is being written beside it."));
            return null;
        }
        // Asked anew, not taken from the listing: the writer may have committed since.
        if (await store.HeadAsync(keys.Manifest, cancel).ConfigureAwait(false) is not null)
        {
            if (!dryRun) await store.DeleteAsync(info.Key, cancel).ConfigureAwait(false);
            return $"left-over marker of the finished snapshot {keys.Stem}";
        }
        int uploads = 0;
        int objects = marker.Keys.Count(present.Contains);
        if (!dryRun)
        {
            foreach (string key in marker.Keys) uploads += await store.AbortUploadsAsync(key, cancel).ConfigureAwait(false);
            // The manifest is in the list, so that one which appears at this very moment does not outlive its data.
            foreach (string key in marker.Keys.OrderBy(k => k != keys.Manifest)) await store.DeleteAsync(key, cancel).ConfigureAwait(false);
            await store.DeleteAsync(info.Key, cancel).ConfigureAwait(false);
        }
        string what = marker.Runs == "removing" ? "half-removed snapshot" : "unfinished snapshot";
        return $"{what} {keys.Stem}: {objects} object(s)" + (uploads > 0 ? $", {uploads} unfinished upload(s)" : "");
    }
}
