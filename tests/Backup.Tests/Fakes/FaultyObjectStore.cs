using System.Runtime.CompilerServices;
using Backup.Stores;

namespace Backup.Tests.Fakes;

/// <summary>The process dies at this very point: nothing may catch it, and after it nothing of the dead process runs any more.</summary>
public sealed class ProcessDeath(string point) : Exception($"the process dies at {point}");

public enum FaultWhen
{
    /// <summary>The call does not happen.</summary>
    Before,
    /// <summary>The call happens, and its answer is lost.</summary>
    After,
}

/// <param name="Failure">What the caller sees; <see cref="ProcessDeath"/> also makes the store refuse every later call.</param>
public sealed record Fault(FaultWhen When, Exception Failure)
{
    public static Fault Fail(string what, FaultWhen when = FaultWhen.Before, bool transient = false) =>
        new(when, new StoreException("faulty", what, "This fault was planted by a test.") { Transient = transient });

    public static Fault Die(string point, FaultWhen when = FaultWhen.Before) => new(when, new ProcessDeath(point));
}

/// <summary>
/// Plants faults on any call, writers' and read streams' included. Operations: create, write, commit, discard, open, read, head, list, delete, abort,
/// uploads.
/// Every call is counted, so that a sweep can enumerate fault points: run once without a fault and read <see cref="Calls"/>, then once per number.
/// </summary>
/// <param name="faults">Asked once per call with its operation and key; null = no fault.</param>
public sealed class FaultyObjectStore(IObjectStore inner, Func<string, string, Fault?> faults) : IObjectStore
{
    private readonly Lock _lock = new();
    private readonly List<string> _calls = [];
    private int _hits;
    private ProcessDeath? _dead;

    /// <summary>Plants one fault on the call with this number, counted from 1.</summary>
    public static FaultyObjectStore OnCall(IObjectStore inner, int number, Func<string, Fault> fault)
    {
        int count = 0;
        return new FaultyObjectStore(inner, (op, key) => Interlocked.Increment(ref count) == number ? fault($"{op} {key}") : null);
    }

    public string Name => inner.Name;
    public string Location => inner.Location;

    /// <summary>Every call so far as <c>operation key</c>, in order.</summary>
    public IReadOnlyList<string> Calls
    {
        get { lock (_lock) return [.. _calls]; }
    }

    /// <summary>Waited for before every call; null = none waits.</summary>
    public Func<Task>? Gate { get; init; }

    /// <summary>How many faults were hit.</summary>
    public int Hits => Volatile.Read(ref _hits);

    public bool Dead => Volatile.Read(ref _dead) is not null;

    /// <summary>A fault that was armed and never hit proves nothing.</summary>
    public void ShouldHaveBeenHit()
    {
        if (Hits == 0) throw new InvalidOperationException($"the planted fault was never hit; the calls were: {string.Join(", ", Calls)}");
    }

    public Task<ObjectWriter> CreateAsync(string key, long? sizeHint, CancellationToken cancel) =>
        Call<ObjectWriter>("create", key, async () => new Writer(this, key, await inner.CreateAsync(key, sizeHint, cancel)));

    public Task<Stream?> OpenReadAsync(string key, long offset, long? length, CancellationToken cancel) =>
        Call<Stream?>("open", key, async () => await inner.OpenReadAsync(key, offset, length, cancel) is { } stream ? new Reader(this, key, stream) : null);

    public Task<ObjectInfo?> HeadAsync(string key, CancellationToken cancel) => Call("head", key, () => inner.HeadAsync(key, cancel));

    public Task DeleteAsync(string key, CancellationToken cancel) => Call<object?>("delete", key, async () => { await inner.DeleteAsync(key, cancel); return null; });

    public Task<int> AbortUploadsAsync(string key, CancellationToken cancel) => Call("abort", key, () => inner.AbortUploadsAsync(key, cancel));

    public IAsyncEnumerable<ObjectInfo> ListAsync(string prefix, CancellationToken cancel) => EachAsync("list", prefix, inner.ListAsync(prefix, cancel), cancel);

    public IAsyncEnumerable<UnfinishedUpload> ListUploadsAsync(string prefix, CancellationToken cancel) =>
        EachAsync("uploads", prefix, inner.ListUploadsAsync(prefix, cancel), cancel);

    private async IAsyncEnumerable<T> EachAsync<T>(string op, string prefix, IAsyncEnumerable<T> list, [EnumeratorCancellation] CancellationToken cancel)
    {
        foreach (T found in await Call(op, prefix, async () =>
        {
            var all = new List<T>();
            await foreach (T o in list.WithCancellation(cancel)) all.Add(o);
            return all;
        })) yield return found;
    }

    public ValueTask DisposeAsync() => inner.DisposeAsync();

    private async Task<T> Call<T>(string op, string key, Func<Task<T>> call)
    {
        if (Gate is not null) await Gate();
        Fault? fault;
        lock (_lock)
        {
            if (_dead is not null) throw _dead;
            _calls.Add($"{op} {key}");
            fault = faults(op, key);
        }
        if (fault is { When: FaultWhen.Before }) throw Hit(fault);
        T result = await call();
        if (fault is not null) throw Hit(fault);
        return result;
    }

    private Exception Hit(Fault fault)
    {
        Interlocked.Increment(ref _hits);
        if (fault.Failure is ProcessDeath death) Volatile.Write(ref _dead, death);
        return fault.Failure;
    }

    private sealed class Writer(FaultyObjectStore store, string key, ObjectWriter inner) : ObjectWriter
    {
        public override ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel) =>
            new(store.Call<object?>("write", key, async () => { await inner.WriteAsync(bytes, cancel); return null; }));

        public override Task<ObjectReceipt> CommitAsync(CancellationToken cancel) => store.Call("commit", key, () => inner.CommitAsync(cancel));

        /// <summary>Never throws, as the contract says, but a dead process discards nothing: what it staged stays behind.</summary>
        public override async ValueTask DisposeAsync()
        {
            if (store.Dead) return;
            try
            {
                await store.Call<object?>("discard", key, async () => { await inner.DisposeAsync(); return null; });
            }
            catch (Exception e) when (e is ProcessDeath or StoreException)
            {
                // the fault was counted; what was staged stays behind, as after a real death or a failed clean-up
            }
        }
    }

    private sealed class Reader(FaultyObjectStore store, string key, Stream inner) : Stream
    {
        public override bool CanRead => true;
        public override bool CanSeek => false;
        public override bool CanWrite => false;
        public override long Length => throw new NotSupportedException();
        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancel = default) =>
            new(store.Call("read", key, () => inner.ReadAsync(buffer, cancel).AsTask()));

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancel) => ReadAsync(buffer.AsMemory(offset, count), cancel).AsTask();
        public override int Read(byte[] buffer, int offset, int count) => ReadAsync(buffer.AsMemory(offset, count)).AsTask().GetAwaiter().GetResult();
        public override void Flush() { }
        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
        public override void SetLength(long value) => throw new NotSupportedException();
        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            if (disposing) inner.Dispose();
            base.Dispose(disposing);
        }
    }
}
