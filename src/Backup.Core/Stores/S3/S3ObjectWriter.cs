using System.Runtime.ExceptionServices;
using System.Security.Cryptography;

namespace Backup.Stores.S3;

/// <summary>
/// Cuts a stream of unknown length into equal parts and uploads two of them while the next is filled; what fits into one part goes as a single PUT.
/// Each part is sent again from its own buffer until it arrives. Memory: one part buffer, and two more while the store's budget has them.
/// </summary>
internal sealed class S3ObjectWriter : ObjectWriter
{
    private const int FirstBuffer = 64 << 10;
    private const int InFlight = 2;
    private static readonly TimeSpan CleanUp = TimeSpan.FromSeconds(30);

    private readonly Bucket _bucket;
    private readonly S3Upload _upload;
    private readonly PartBuffers.Share _buffers;
    private readonly IncrementalHash _whole = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private readonly CancellationTokenSource _stop = new();
    private readonly List<Task<S3Part>> _parts = [];
    private readonly List<Task> _inFlight = [];
    private Task _hashed = Task.CompletedTask;
    private byte[]? _buffer;
    private int _filled;
    private long _size;
    private Exception? _failure;
    private bool _closed;

    internal S3ObjectWriter(Bucket bucket, string fullKey, long? sizeHint)
    {
        _bucket = bucket;
        _upload = new S3Upload(bucket, fullKey);
        _buffers = bucket.Buffers.Open(S3PartSize.Choose(bucket.Policy.PartSize, sizeHint));
    }

    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel)
    {
        ObjectDisposedException.ThrowIf(_closed, this);
        while (bytes.Length > 0)
        {
            cancel.ThrowIfCancellationRequested();
            Rethrow();
            if (_buffer is null) _buffer = new byte[Math.Min(FirstBuffer, _buffers.Size)];
            else if (_filled == _buffer.Length) await MakeRoomAsync(cancel);
            int count = Math.Min(bytes.Length, _buffer.Length - _filled);
            bytes.Span[..count].CopyTo(_buffer.AsSpan(_filled));
            _filled += count;
            _size += count;
            bytes = bytes[count..];
        }
    }

    public override async Task<ObjectReceipt> CommitAsync(CancellationToken cancel)
    {
        ObjectDisposedException.ThrowIf(_closed, this);
        cancel.ThrowIfCancellationRequested();
        Rethrow();
        S3Part[] parts = _upload.Started ? await FinishPartsAsync(cancel) : [await PutAsync(cancel)];
        await _hashed;
        _closed = true;
        string sha256 = Convert.ToHexStringLower(_whole.GetHashAndReset());
        Release();
        return new ObjectReceipt(_size, sha256, [.. parts.Select(p => new ObjectPart(p.Size, p.Sha256))]);
    }

    public override async ValueTask DisposeAsync()
    {
        if (_closed) return;
        _closed = true;
        await _stop.CancelAsync();
        await Task.WhenAll(_inFlight).ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
        Release();
        if (!_upload.Started) return;
        using var deadline = new CancellationTokenSource(CleanUp, _bucket.Context.Time);
        try
        {
            await _upload.AbortAsync(deadline.Token);
        }
        catch (Exception e) when (e is StoreException or OperationCanceledException)
        {
            _bucket.Context.Events.Report(new RunEvent.Step($"{e.Message}; the unfinished upload stays until 'backup prune' aborts it"));
        }
    }

    /// <summary>The buffer is full: a small one is exchanged for a whole part's; a part is sent off.</summary>
    private async Task MakeRoomAsync(CancellationToken cancel)
    {
        byte[] full = _buffer!;
        if (full.Length < _buffers.Size)
        {
            _buffer = await RentAsync(cancel);
            full.CopyTo(_buffer, 0);
            return;
        }
        await StartPartAsync(cancel);
        _buffer = await RentAsync(cancel);
    }

    private async Task<byte[]> RentAsync(CancellationToken cancel)
    {
        // the first buffer is always granted: where one is refused, a part in flight holds one and will give it back
        while (true)
        {
            if (_buffers.TryRent() is { } buffer) return buffer;
            await OnePartAsync(cancel);
        }
    }

    private async Task OnePartAsync(CancellationToken cancel)
    {
        if (_inFlight.Count > 0) await Task.WhenAny(_inFlight).WaitAsync(cancel);
        _inFlight.RemoveAll(t => t.IsCompleted);
        Rethrow();
    }

    private async Task StartPartAsync(CancellationToken cancel)
    {
        if (_parts.Count == _bucket.Tuning.MaxParts)
        {
            throw _bucket.Failure(_upload.Action, $"the object needs more than {_bucket.Tuning.MaxParts:N0} parts of {_buffers.Size >> 20} MiB",
                $"Set \"partSize\" of the store to {(_buffers.Size >> 20) * 4} MiB or more.", transient: false);
        }
        while (_inFlight.Count(t => !t.IsCompleted) >= InFlight) await OnePartAsync(cancel);
        await _upload.StartAsync(cancel);
        (byte[] part, int count, int number) = (_buffer!, _filled, _parts.Count + 1);
        _buffer = null;
        _filled = 0;
        Task hashed = _hashed = HashAsync(_hashed, part, count);
        Task<S3Part> sent = Task.Run(() => _upload.SendPartAsync(number, part, count, _stop.Token));
        _parts.Add(sent);
        _inFlight.Add(SettleAsync(sent, hashed, part));
    }

    private async Task HashAsync(Task before, byte[] part, int count)
    {
        await before.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        _whole.AppendData(part, 0, count);
    }

    /// <summary>Gives the buffer back when nobody reads it any more. Never fails itself: a failure is kept for the next call, and stops the other parts.</summary>
    private async Task SettleAsync(Task<S3Part> sent, Task hashed, byte[] part)
    {
        try
        {
            await sent;
        }
        catch (Exception e)
        {
            Interlocked.CompareExchange(ref _failure, e, null);
            await _stop.CancelAsync();
        }
        await hashed;
        _buffers.Return(part);
    }

    private async Task<S3Part> PutAsync(CancellationToken cancel)
    {
        byte[] body = _buffer ?? [];
        _whole.AppendData(body, 0, _filled);
        return await _upload.PutAsync(body, _filled, cancel);
    }

    private async Task<S3Part[]> FinishPartsAsync(CancellationToken cancel)
    {
        if (_filled > 0) await StartPartAsync(cancel);
        await Task.WhenAll(_inFlight).WaitAsync(cancel);
        Rethrow();
        S3Part[] parts = await Task.WhenAll(_parts);
        await _upload.CompleteAsync(parts, cancel);
        return parts;
    }

    private void Release()
    {
        if (_buffer is not null) _buffers.Return(_buffer);
        _buffer = null;
        _whole.Dispose();
        _stop.Dispose();
    }

    private void Rethrow()
    {
        if (Volatile.Read(ref _failure) is { } failure) ExceptionDispatchInfo.Throw(failure);
    }
}
