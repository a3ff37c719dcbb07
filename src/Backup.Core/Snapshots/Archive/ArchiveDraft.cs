using Backup.Stores;
using Backup.Streams;

namespace Backup.Snapshots.Archive;

/// <summary>An archive that is to be made, and its first words with the store.</summary>
/// <param name="SizeHint">Expected bytes of tar, or null.</param>
/// <param name="Spool">Null = the taking of the tar waits for the store.</param>
internal sealed record ArchiveDraft(string Id, string Environment, string Source, DateTimeOffset TakenAt, long? SizeHint, int Level, Spool? Spool)
{
    private static readonly TimeSpan CleanUp = TimeSpan.FromSeconds(30);

    internal ArchiveKeys Keys => ArchiveKeys.Of(Environment, Source, TakenAt, Id);

    /// <summary>The marker that names what is to come, and then the data object.</summary>
    internal async Task<ObjectWriter> BeginAsync(IObjectStore store, RunContext context, CancellationToken cancel)
    {
        ArchiveKeys keys = Keys;
        try
        {
            await Marker.WriteAsync(store, keys, "making", context.Now, cancel).ConfigureAwait(false);
            return await store.CreateAsync(keys.Data, SizeHint, cancel).ConfigureAwait(false);
        }
        catch
        {
            await TryDiscardAsync(store, context, keys).ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>An upload may have begun although its answer was lost; only when that is gone may the marker go.</summary>
    private static async Task TryDiscardAsync(IObjectStore store, RunContext context, ArchiveKeys keys)
    {
        using var deadline = new CancellationTokenSource(CleanUp, context.Time);
        try
        {
            await store.AbortUploadsAsync(keys.Data, deadline.Token).ConfigureAwait(false);
            await store.DeleteAsync(keys.Marker, deadline.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is BackupException or OperationCanceledException)
        {
            context.Events.Report(new RunEvent.Warning($"{keys.Marker} could not be removed: {e.Message}", "The next 'backup prune' collects it."));
        }
    }
}
