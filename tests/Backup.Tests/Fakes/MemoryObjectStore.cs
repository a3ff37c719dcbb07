using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using Backup.Stores;

namespace Backup.Tests.Fakes;

/// <summary>
/// A strict store in memory: refuses bad keys, overwriting, writing after commit, and committing twice. What a writer has not committed nobody sees.
/// </summary>
public sealed class MemoryObjectStore(string name = "memory", TimeProvider? time = null) : IObjectStore
{
    private readonly ConcurrentDictionary<string, (byte[] Bytes, DateTimeOffset Modified)> _objects = new();
    private readonly ConcurrentDictionary<Writer, UnfinishedUpload> _unfinished = new();

    public string Name => name;
    public string Location => $"memory:{name}";

    public IReadOnlyCollection<string> Keys => [.. _objects.Keys.Order(StringComparer.Ordinal)];

    /// <summary>Keys of writers that were neither committed nor disposed.</summary>
    public IReadOnlyCollection<string> Unfinished => [.. _unfinished.Values.Select(u => u.Key)];

    /// <summary>For tampering tests: replaces committed bytes, or adds an object.</summary>
    public byte[] this[string key]
    {
        get => _objects[key].Bytes;
        set => _objects[ObjectKey.Check(key)] = (value, Now);
    }

    private DateTimeOffset Now => (time ?? TimeProvider.System).GetUtcNow();

    public Task<ObjectWriter> CreateAsync(string key, long? sizeHint, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        ObjectKey.Check(key);
        if (_objects.ContainsKey(key)) throw new InvalidOperationException($"'{key}' is committed already: keys are written once");
        var writer = new Writer(this, key);
        _unfinished[writer] = new UnfinishedUpload(key, Now);
        return Task.FromResult<ObjectWriter>(writer);
    }

    public Task<Stream?> OpenReadAsync(string key, long offset, long? length, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        if (length is { } n) ArgumentOutOfRangeException.ThrowIfNegative(n);
        if (!_objects.TryGetValue(ObjectKey.Check(key), out var found)) return Task.FromResult<Stream?>(null);
        int start = (int)Math.Min(offset, found.Bytes.Length);
        int count = (int)Math.Min(length ?? long.MaxValue, found.Bytes.Length - start);
        return Task.FromResult<Stream?>(new MemoryStream(found.Bytes, start, count, writable: false));
    }

    public Task<ObjectInfo?> HeadAsync(string key, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        return Task.FromResult(_objects.TryGetValue(ObjectKey.Check(key), out var found) ? new ObjectInfo(key, found.Bytes.Length, found.Modified) : null);
    }

    public async IAsyncEnumerable<ObjectInfo> ListAsync(string prefix, [EnumeratorCancellation] CancellationToken cancel)
    {
        ObjectKey.CheckPrefix(prefix);
        foreach (var (key, value) in _objects.Where(o => o.Key.StartsWith(prefix, StringComparison.Ordinal)).ToArray())
        {
            await Task.Yield();
            cancel.ThrowIfCancellationRequested();
            yield return new ObjectInfo(key, value.Bytes.Length, value.Modified);
        }
    }

    public Task DeleteAsync(string key, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        _objects.TryRemove(ObjectKey.Check(key), out _);
        return Task.CompletedTask;
    }

    public Task<int> AbortUploadsAsync(string key, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        ObjectKey.Check(key);
        return Task.FromResult(_unfinished.Where(u => u.Value.Key == key).Count(u => _unfinished.TryRemove(u)));
    }

    public async IAsyncEnumerable<UnfinishedUpload> ListUploadsAsync(string prefix, [EnumeratorCancellation] CancellationToken cancel)
    {
        ObjectKey.CheckPrefix(prefix);
        foreach (UnfinishedUpload upload in _unfinished.Values.Where(u => u.Key.StartsWith(prefix, StringComparison.Ordinal)).ToArray())
        {
            await Task.Yield();
            cancel.ThrowIfCancellationRequested();
            yield return upload;
        }
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private sealed class Writer(MemoryObjectStore store, string key) : ObjectWriter
    {
        private readonly MemoryStream _bytes = new();
        private bool _closed;

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel)
        {
            ObjectDisposedException.ThrowIf(_closed, this);
            cancel.ThrowIfCancellationRequested();
            _bytes.Write(bytes.Span);
            return ValueTask.CompletedTask;
        }

        public override Task<ObjectReceipt> CommitAsync(CancellationToken cancel)
        {
            ObjectDisposedException.ThrowIf(_closed, this);
            cancel.ThrowIfCancellationRequested();
            if (!store._unfinished.TryRemove(this, out _)) throw new InvalidOperationException($"the upload of '{key}' was aborted");
            _closed = true;
            byte[] whole = _bytes.ToArray();
            if (!store._objects.TryAdd(key, (whole, store.Now))) throw new InvalidOperationException($"'{key}' is committed already: keys are written once");
            string sha256 = Convert.ToHexStringLower(SHA256.HashData(whole));
            return Task.FromResult(new ObjectReceipt(whole.Length, sha256, [new ObjectPart(whole.Length, sha256)]));
        }

        public override ValueTask DisposeAsync()
        {
            _closed = true;
            store._unfinished.TryRemove(this, out _);
            return ValueTask.CompletedTask;
        }
    }
}
