using System.Security.Cryptography;
using Backup.Stores;

namespace Backup.Tests.Snapshots;

/// <summary>Objects in memory; counts what is read, fails at a chosen call, and lets tests look at and change the bytes.</summary>
internal sealed class CountingStore(TimeProvider? time = null) : IObjectStore
{
    public readonly SortedDictionary<string, byte[]> Objects = new(StringComparer.Ordinal);
    public readonly List<string> Log = [];
    public readonly List<string> Open = [];
    public long BytesRead;
    /// <summary>The number of the call that fails, and every later one: the program dies there. 0 = none.</summary>
    public int DieAt { get; set; }
    private int _calls;

    public string Name => "test";
    public string Location => "memory";

    private void Call(string what)
    {
        lock (Log)
        {
            _calls++;
            if (DieAt > 0 && _calls >= DieAt) throw new StoreException(Name, $"died at call {_calls}: {what}", "none");
            Log.Add(what);
        }
    }

    public Task<ObjectWriter> CreateAsync(string key, long? sizeHint, CancellationToken cancel)
    {
        Call("create " + ObjectKey.Check(key));
        lock (Log) Open.Add(key);
        return Task.FromResult<ObjectWriter>(new Writer(this, key));
    }

    public Task<Stream?> OpenReadAsync(string key, long offset, long? length, CancellationToken cancel)
    {
        Call("read " + key);
        lock (Log)
        {
            if (!Objects.TryGetValue(key, out byte[]? bytes)) return Task.FromResult<Stream?>(null);
            int start = (int)Math.Min(offset, bytes.Length);
            int count = (int)Math.Min(length ?? long.MaxValue, bytes.Length - start);
            return Task.FromResult<Stream?>(new Counted(this, new MemoryStream(bytes, start, count)));
        }
    }

    public Task<ObjectInfo?> HeadAsync(string key, CancellationToken cancel)
    {
        Call("head " + key);
        lock (Log) return Task.FromResult(Objects.TryGetValue(key, out byte[]? b) ? Info(key, b) : null);
    }

    public async IAsyncEnumerable<ObjectInfo> ListAsync(string prefix, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancel)
    {
        await Task.Yield();
        Call("list " + prefix);
        List<ObjectInfo> found;
        lock (Log) found = [.. Objects.Where(o => o.Key.StartsWith(prefix, StringComparison.Ordinal)).Select(o => Info(o.Key, o.Value))];
        foreach (ObjectInfo info in found) yield return info;
    }

    public Task DeleteAsync(string key, CancellationToken cancel)
    {
        Call("delete " + key);
        lock (Log) Objects.Remove(key);
        return Task.CompletedTask;
    }

    public Task<int> AbortUploadsAsync(string key, CancellationToken cancel)
    {
        Call("abort " + key);
        lock (Log) return Task.FromResult(Open.RemoveAll(k => k == key));
    }

    public async IAsyncEnumerable<UnfinishedUpload> ListUploadsAsync(string prefix, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancel)
    {
        await Task.Yield();
        Call("uploads " + prefix);
        List<string> found;
        lock (Log) found = [.. Open.Where(k => k.StartsWith(prefix, StringComparison.Ordinal))];
        foreach (string key in found) yield return new UnfinishedUpload(key, (time ?? TimeProvider.System).GetUtcNow());
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private ObjectInfo Info(string key, byte[] bytes) => new(key, bytes.Length, (time ?? TimeProvider.System).GetUtcNow());

    private sealed class Writer(CountingStore store, string key) : ObjectWriter
    {
        private readonly MemoryStream _bytes = new();

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel)
        {
            store.Call("write " + key);
            _bytes.Write(bytes.Span);
            return ValueTask.CompletedTask;
        }

        public override Task<ObjectReceipt> CommitAsync(CancellationToken cancel)
        {
            store.Call("commit " + key);
            byte[] all = _bytes.ToArray();
            lock (store.Log)
            {
                if (!store.Objects.TryAdd(key, all)) throw new InvalidOperationException($"{key} exists already");
                store.Open.Remove(key);
            }
            int half = all.Length / 2;
            return Task.FromResult(new ObjectReceipt(all.Length, Hash(all), all.Length < 2 ? [new ObjectPart(all.Length, Hash(all))]
                : [new ObjectPart(half, Hash(all.AsSpan(0, half))), new ObjectPart(all.Length - half, Hash(all.AsSpan(half)))]));
        }

        // A dead program aborts nothing: what it left open stays for CollectAsync.
        public override ValueTask DisposeAsync()
        {
            lock (store.Log) if (store.DieAt == 0) store.Open.Remove(key);
            return ValueTask.CompletedTask;
        }

        private static string Hash(ReadOnlySpan<byte> bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));
    }

    private sealed class Counted(CountingStore store, MemoryStream inner) : Stream
    {
        public override int Read(byte[] buffer, int offset, int count)
        {
            int read = inner.Read(buffer, offset, count);
            Interlocked.Add(ref store.BytesRead, read);
            return read;
        }

        public override bool CanRead => true;
        public override bool CanSeek => false;
        public override bool CanWrite => false;
        public override long Length => throw new NotSupportedException();
        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }
        public override void Flush() { }
        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
        public override void SetLength(long value) => throw new NotSupportedException();
        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
