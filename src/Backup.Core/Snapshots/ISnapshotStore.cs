using Backup.Streams;

namespace Backup.Snapshots;

/// <summary>A snapshot format over an object store. A snapshot exists exactly when its manifest does: written last, deleted first.</summary>
public interface ISnapshotStore : IAsyncDisposable
{
    /// <summary>The store's name in the policy.</summary>
    string Name { get; }

    /// <summary>Where it is, for messages.</summary>
    string Location { get; }

    /// <summary>All snapshots, of one environment and one source when these are given, newest first; and the manifests that cannot be read.</summary>
    Task<SnapshotList> ListAsync(string? environment, string? volume, CancellationToken cancel);

    /// <summary>Starts a snapshot. Leaves a marker in the store, so that <see cref="CollectAsync"/> finds what a killed run wrote.</summary>
    /// <param name="sizeHint">Expected bytes of tar, or null.</param>
    /// <param name="level">zstd compression level, 1 to 19.</param>
    /// <param name="spool">
    /// Given when containers are held during the read: what the store does not take fast enough waits there. Null = the read waits for the store.
    /// Snapshots that share a spool may be begun together; their tars are written one after the other.
    /// </param>
    Task<StagedSnapshot> BeginAsync(
        string id, string environment, string source, DateTimeOffset takenAt, long? sizeHint, int level, Spool? spool, CancellationToken cancel);

    /// <summary>Opens a snapshot for reading; its manifest and index are proved against their hashes first.</summary>
    Task<SnapshotReader> OpenAsync(Snapshot snapshot, CancellationToken cancel);

    /// <summary>Removes a snapshot: from the moment the manifest is gone it does not exist; the bytes follow, and a crash between leaves a marker.</summary>
    Task RemoveAsync(Snapshot snapshot, CancellationToken cancel);

    /// <summary>Proves that what the manifest promises is there; with <paramref name="readData"/> re-reads and re-hashes every byte.</summary>
    /// <returns>Problems in the user's words; empty = good.</returns>
    Task<IReadOnlyList<string>> VerifyAsync(Snapshot snapshot, bool readData, IProgress<long>? progress, CancellationToken cancel);

    /// <summary>
    /// Collects what unfinished work left: only keys that one of our markers names. Markers younger than <paramref name="minimumAge"/> are left
    /// alone, because another host may be writing. Returns what was (or, dry, would be) collected, in the user's words.
    /// </summary>
    Task<IReadOnlyList<string>> CollectAsync(TimeSpan minimumAge, bool dryRun, CancellationToken cancel);

    /// <summary>Writes, reads back and deletes a probe object, including one multi-part upload where the store has such a thing.</summary>
    Task ProbeAsync(CancellationToken cancel);
}

/// <param name="Damaged">Manifests that exist but cannot be trusted: key and reason.</param>
public sealed record SnapshotList(IReadOnlyList<Snapshot> Snapshots, IReadOnlyList<DamagedManifest> Damaged);

public sealed record DamagedManifest(string Store, string Key, string Problem);

/// <summary>A snapshot being made. Dispose without commit discards everything and never throws.</summary>
public abstract class StagedSnapshot : IAsyncDisposable
{
    /// <summary>
    /// Consumes the source's tar to its end and proves it complete. Returns as soon as the last source byte was taken over, while
    /// compression and upload may still be under way: the containers can come back now.
    /// </summary>
    /// <exception cref="IncompleteTarException">The stream ended without the tar's own end, or inside an entry.</exception>
    public abstract Task WriteTarAsync(Stream tar, IProgress<long>? progress, CancellationToken cancel);

    /// <summary>Finishes compression and upload, then writes the manifest. Only after it returns does the snapshot exist.</summary>
    public abstract Task<Snapshot> CommitAsync(SnapshotRecord record, CancellationToken cancel);

    /// <summary>
    /// The same snapshot, begun once more under another id and at once: its first words with the store are exchanged while its tar is written, so that no
    /// container is held for them. This one is to be disposed, when there is time for that.
    /// </summary>
    public abstract StagedSnapshot Again(string id);

    public abstract ValueTask DisposeAsync();
}

/// <summary>An open snapshot. Every byte it hands out was checked against the manifest's hashes, or the read throws.</summary>
public abstract class SnapshotReader : IAsyncDisposable
{
    public abstract Snapshot Snapshot { get; }
    public abstract SnapshotRecord Record { get; }

    /// <summary>Every entry in tar order, from the index alone.</summary>
    public abstract IReadOnlyList<FileEntry> Files { get; }

    /// <summary>The tar as the engine sent it, byte for byte. Reading to the end also proves its hash.</summary>
    public abstract Task<Stream> OpenTarAsync(CancellationToken cancel);

    /// <summary>
    /// A complete tar of the chosen entries only, headers verbatim, in tar order, reading only the frames they need.
    /// A chosen hard link whose target is not chosen brings its target along.
    /// </summary>
    public abstract Task<Stream> OpenTarAsync(IReadOnlyList<FileEntry> entries, CancellationToken cancel);

    public abstract ValueTask DisposeAsync();
}

/// <summary>The tar is not whole: a failed backup, whatever HTTP said.</summary>
public sealed class IncompleteTarException(string problem)
    : BackupException(problem, "The engine cut the stream or a file shrank while it was read. Quiesce the volume's users (\"quiesce\": \"pause\") or try again.");
