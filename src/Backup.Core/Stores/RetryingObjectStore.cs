using System.Runtime.CompilerServices;

namespace Backup.Stores;

/// <summary>
/// Tries transient failures of single calls again, with jittered delays and an end. Bytes are not its business: a writer re-sends from its own
/// buffers, a read stream resumes by itself, and a listing is retried until it has begun.
/// </summary>
public sealed class RetryingObjectStore : IObjectStore
{
    private readonly IObjectStore _inner;
    private readonly RunContext _context;
    private readonly RetrySchedule _schedule;

    public RetryingObjectStore(IObjectStore inner, RunContext context) : this(inner, context, RetrySchedule.Calls) { }

    internal RetryingObjectStore(IObjectStore inner, RunContext context, RetrySchedule schedule)
    {
        _inner = inner;
        _context = context;
        _schedule = schedule;
    }

    public string Name => _inner.Name;
    public string Location => _inner.Location;

    public Task<ObjectWriter> CreateAsync(string key, long? sizeHint, CancellationToken cancel) =>
        _schedule.RunAsync(_context, _ => _inner.CreateAsync(key, sizeHint, cancel), cancel);

    public Task<Stream?> OpenReadAsync(string key, long offset, long? length, CancellationToken cancel) =>
        _schedule.RunAsync(_context, _ => _inner.OpenReadAsync(key, offset, length, cancel), cancel);

    public Task<ObjectInfo?> HeadAsync(string key, CancellationToken cancel) =>
        _schedule.RunAsync(_context, _ => _inner.HeadAsync(key, cancel), cancel);

    public Task DeleteAsync(string key, CancellationToken cancel) =>
        _schedule.RunAsync(_context, _ => _inner.DeleteAsync(key, cancel), cancel);

    public Task<int> AbortUploadsAsync(string key, CancellationToken cancel) =>
        _schedule.RunAsync(_context, _ => _inner.AbortUploadsAsync(key, cancel), cancel);

    public IAsyncEnumerable<ObjectInfo> ListAsync(string prefix, CancellationToken cancel) => EachAsync(() => _inner.ListAsync(prefix, cancel), cancel);

    public IAsyncEnumerable<UnfinishedUpload> ListUploadsAsync(string prefix, CancellationToken cancel) =>
        EachAsync(() => _inner.ListUploadsAsync(prefix, cancel), cancel);

    public ValueTask DisposeAsync() => _inner.DisposeAsync();

    private async IAsyncEnumerable<T> EachAsync<T>(Func<IAsyncEnumerable<T>> list, [EnumeratorCancellation] CancellationToken cancel)
    {
        IAsyncEnumerator<T>? listing = await _schedule.RunAsync(_context, _ => StartAsync(list(), cancel), cancel);
        if (listing is null) yield break;
        await using (listing)
        {
            do yield return listing.Current;
            while (await listing.MoveNextAsync());
        }
    }

    /// <summary>A listing that stands on its first object; null when there is none.</summary>
    private static async Task<IAsyncEnumerator<T>?> StartAsync<T>(IAsyncEnumerable<T> list, CancellationToken cancel)
    {
        IAsyncEnumerator<T> listing = list.GetAsyncEnumerator(cancel);
        bool begun = false;
        try
        {
            begun = await listing.MoveNextAsync();
            return begun ? listing : null;
        }
        finally
        {
            if (!begun) await listing.DisposeAsync();
        }
    }
}
