using Backup.Stores;

namespace Backup.Tests.Fakes;

/// <summary>A store whose writers take nothing until <see cref="Open"/> is called, as behind a line that hangs; everything else passes.</summary>
public sealed class StalledObjectStore(IObjectStore inner) : IObjectStore
{
    private readonly TaskCompletionSource _open = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _waiting, _mostAtOnce, _atOnce;

    public string Name => inner.Name;
    public string Location => inner.Location;

    /// <summary>How many writes met the closed gate: a stall that nobody met proves nothing.</summary>
    public int Stalled => Volatile.Read(ref _waiting);

    /// <summary>How many data objects were between their first byte and their commit at the same time, at most.</summary>
    public int MostAtOnce => Volatile.Read(ref _mostAtOnce);

    public void Open() => _open.TrySetResult();

    public async Task<ObjectWriter> CreateAsync(string key, long? sizeHint, CancellationToken cancel) => new Writer(this, key, await inner.CreateAsync(key, sizeHint, cancel));

    public Task<Stream?> OpenReadAsync(string key, long offset, long? length, CancellationToken cancel) => inner.OpenReadAsync(key, offset, length, cancel);
    public Task<ObjectInfo?> HeadAsync(string key, CancellationToken cancel) => inner.HeadAsync(key, cancel);
    public IAsyncEnumerable<ObjectInfo> ListAsync(string prefix, CancellationToken cancel) => inner.ListAsync(prefix, cancel);
    public Task DeleteAsync(string key, CancellationToken cancel) => inner.DeleteAsync(key, cancel);
    public Task<int> AbortUploadsAsync(string key, CancellationToken cancel) => inner.AbortUploadsAsync(key, cancel);
    public IAsyncEnumerable<UnfinishedUpload> ListUploadsAsync(string prefix, CancellationToken cancel) => inner.ListUploadsAsync(prefix, cancel);
    public ValueTask DisposeAsync() => inner.DisposeAsync();

    private sealed class Writer(StalledObjectStore store, string key, ObjectWriter inner) : ObjectWriter
    {
        private bool _begun;

        public override async ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel)
        {
            if (key.EndsWith(".tar.zst", StringComparison.Ordinal))
            {
                if (!_begun)
                {
                    _begun = true;
                    int now = Interlocked.Increment(ref store._atOnce);
                    if (now > store._mostAtOnce) store._mostAtOnce = now;
                }
                if (!store._open.Task.IsCompleted) Interlocked.Increment(ref store._waiting);
                await store._open.Task.WaitAsync(cancel);
            }
            await inner.WriteAsync(bytes, cancel);
        }

        public override async Task<ObjectReceipt> CommitAsync(CancellationToken cancel)
        {
            ObjectReceipt receipt = await inner.CommitAsync(cancel);
            Ends();
            return receipt;
        }

        public override ValueTask DisposeAsync()
        {
            Ends();
            return inner.DisposeAsync();
        }

        private void Ends()
        {
            if (_begun) Interlocked.Decrement(ref store._atOnce);
            _begun = false;
        }
    }
}
