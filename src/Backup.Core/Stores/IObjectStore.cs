namespace Backup.Stores;

/// <summary>
/// Bytes under a key, visible only once committed. Keys are relative paths of segments separated by <c>/</c>, see <see cref="ObjectKey"/>.
/// Expected failures are <see cref="StoreException"/>; absence is null or empty; cancellation passes untouched. Safe for concurrent use.
/// </summary>
public interface IObjectStore : IAsyncDisposable
{
    /// <summary>The name the policy gives it.</summary>
    string Name { get; }

    /// <summary>Where it is, for messages, such as <c>/var/backups</c> or <c>s3://bucket/prefix</c>. Never a secret.</summary>
    string Location { get; }

    /// <summary>Starts a new object of unknown length. Nothing is visible under the key until <see cref="ObjectWriter.CommitAsync"/>.</summary>
    /// <param name="sizeHint">Expected size in bytes, or null. Chooses the part size; being wrong is allowed.</param>
    Task<ObjectWriter> CreateAsync(string key, long? sizeHint, CancellationToken cancel);

    /// <summary>Opens an object at an offset; null when there is no such object. Reading survives short interruptions by resuming.</summary>
    /// <param name="length">How many bytes; null = to the end. A range that passes the end is cut short by the object's end.</param>
    Task<Stream?> OpenReadAsync(string key, long offset, long? length, CancellationToken cancel);

    /// <summary>Null when there is no such object.</summary>
    Task<ObjectInfo?> HeadAsync(string key, CancellationToken cancel);

    /// <summary>Every committed object whose key starts with <paramref name="prefix"/>, which is empty or ends in <c>/</c>. Any order.</summary>
    IAsyncEnumerable<ObjectInfo> ListAsync(string prefix, CancellationToken cancel);

    /// <summary>Removes an object; one that is not there is fine.</summary>
    Task DeleteAsync(string key, CancellationToken cancel);

    /// <summary>
    /// Discards what unfinished writers left under exactly this key (multipart uploads, temporary files). Returns how many. A store that cannot
    /// list them returns 0.
    /// </summary>
    Task<int> AbortUploadsAsync(string key, CancellationToken cancel);

    /// <summary>
    /// What writers left unfinished, or are still at, under keys that start with <paramref name="prefix"/> (empty, or ending in <c>/</c>). Any order;
    /// a key may come twice. A store that cannot list them, or does not allow it, lists none.
    /// </summary>
    IAsyncEnumerable<UnfinishedUpload> ListUploadsAsync(string prefix, CancellationToken cancel);
}

/// <param name="Touched">When its last bytes came; where the store does not tell, when it began.</param>
public sealed record UnfinishedUpload(string Key, DateTimeOffset Touched);

public sealed record ObjectInfo(string Key, long Size, DateTimeOffset Modified);

/// <summary>Staged bytes of one object. Dispose without commit discards everything and never throws.</summary>
public abstract class ObjectWriter : IAsyncDisposable
{
    /// <summary>Appends. Returns when the bytes were taken over (the caller may reuse the buffer), which is back-pressure, not durability.</summary>
    public abstract ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel);

    /// <summary>Makes the bytes durable and visible under the key, once; anything less throws and leaves the key as it was.</summary>
    public abstract Task<ObjectReceipt> CommitAsync(CancellationToken cancel);

    public abstract ValueTask DisposeAsync();
}

/// <param name="Size">Bytes.</param>
/// <param name="Sha256">Of the whole object, lower-case hex, computed from the bytes as they were handed in.</param>
/// <param name="Parts">As uploaded, in order; a store without parts reports one.</param>
public sealed record ObjectReceipt(long Size, string Sha256, IReadOnlyList<ObjectPart> Parts);

/// <param name="Sha256">Lower-case hex.</param>
public sealed record ObjectPart(long Size, string Sha256);

/// <summary>A failure on the store's side.</summary>
public class StoreException(string store, string problem, string hint, FailureKind kind = FailureKind.Failed, Exception? inner = null)
    : BackupException(problem, hint, kind, inner)
{
    public string Store { get; } = store;

    /// <summary>Trying the same call again may help (timeout, 5xx, cut connection). Credentials and absence are not transient.</summary>
    public bool Transient { get; init; }
}
