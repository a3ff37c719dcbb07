using Backup.Stores;

namespace Backup.Snapshots.Archive;

/// <summary>Writes an object larger than any store's least part size, so that a multi-part upload is tried too, reads it back and deletes it.</summary>
internal static class ArchiveProbe
{
    private const string Prefix = "backup-probe/";
    private const int Size = (8 << 20) + 1;

    /// <summary>No probe takes that long: what is older was left by a check that was killed.</summary>
    private static readonly TimeSpan Abandoned = TimeSpan.FromHours(1);

    internal static async Task RunAsync(IObjectStore store, RunContext context, CancellationToken cancel)
    {
        await RemoveAbandonedAsync(store, context.Now - Abandoned, cancel).ConfigureAwait(false);
        string key = Prefix + context.NewId();
        var bytes = new byte[Size];
        context.Random(bytes);
        try
        {
            await store.PutAsync(key, bytes, cancel).ConfigureAwait(false);
            Stream? stream = await store.OpenReadAsync(key, 0, null, cancel).ConfigureAwait(false)
                ?? throw new StoreException(store.Name, $"{store.Location} took an object but does not have it.", "Check the store: a lifecycle rule, a cache, a wrong endpoint?");
            var back = new byte[Size + 1];
            int read;
            await using (stream.ConfigureAwait(false))
                read = await stream.ReadAtLeastAsync(back, back.Length, throwOnEndOfStream: false, cancel).ConfigureAwait(false);
            if (!back.AsSpan(0, read).SequenceEqual(bytes))
                throw new StoreException(store.Name, $"{store.Location} gave back other bytes than it took.", "Check the store and what lies between: a proxy that rewrites or compresses?");
            if (!await ListsAsync(store, key, cancel).ConfigureAwait(false))
                throw new StoreException(store.Name, $"{store.Location} has an object that it does not list.", "Allow listing the prefix (s3:ListBucket).");
        }
        catch (Exception)
        {
            await DeleteAfterFailureAsync(store, context, key).ConfigureAwait(false);
            throw;
        }
        await store.DeleteAsync(key, cancel).ConfigureAwait(false);
        if (await store.HeadAsync(key, cancel).ConfigureAwait(false) is not null)
            throw new StoreException(store.Name, $"{store.Location} does not delete: {key} is still there.", "Allow deleting (s3:DeleteObject), and check for retention locks.");
    }

    private static async Task RemoveAbandonedAsync(IObjectStore store, DateTimeOffset before, CancellationToken cancel)
    {
        await foreach (ObjectInfo info in store.ListAsync(Prefix, cancel).ConfigureAwait(false))
            if (IsProbe(info.Key) && info.Modified < before) await store.DeleteAsync(info.Key, cancel).ConfigureAwait(false);
        await foreach (UnfinishedUpload upload in store.ListUploadsAsync(Prefix, cancel).ConfigureAwait(false))
            if (IsProbe(upload.Key) && upload.Touched < before) await store.AbortUploadsAsync(upload.Key, cancel).ConfigureAwait(false);
    }

    private static bool IsProbe(string key) => key.Length == Prefix.Length + 32 && !key.AsSpan(Prefix.Length).ContainsAnyExcept("0123456789abcdef");

    private static async Task<bool> ListsAsync(IObjectStore store, string key, CancellationToken cancel)
    {
        await foreach (ObjectInfo info in store.ListAsync(Prefix, cancel).ConfigureAwait(false))
            if (info.Key == key && info.Size == Size) return true;
        return false;
    }

    private static async Task DeleteAfterFailureAsync(IObjectStore store, RunContext context, string key)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(15), context.Time);
        try
        {
            await store.DeleteAsync(key, deadline.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is BackupException or OperationCanceledException)
        {
            context.Events.Report(new RunEvent.Warning($"The probe object {key} may be left in {store.Location}: {e.Message}", "Delete it by hand."));
        }
    }
}
