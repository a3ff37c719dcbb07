using System.Security.Cryptography;

namespace Backup.Stores;

/// <summary>
/// Writes one temporary file and renames it into place. The caller fills one block while another task writes and hashes the blocks before it,
/// so compression, hashing and the disk overlap; at most <see cref="Blocks"/> blocks are held.
/// </summary>
internal sealed class DirectoryObjectWriter : ObjectWriter
{
    private const int Blocks = 3;
    private const int FirstBlock = 64 << 10; // most objects are small
    private const int BlockSize = 512 << 10;
    private const long WriteBackStep = 8 << 20;

    private readonly DirectoryObjectStore _store;
    private readonly string _temporary;
    private readonly string _final;
    private readonly FileStream _file;
    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private readonly Queue<byte[]> _free = new();
    private readonly Queue<(byte[] Block, Task Written)> _busy = new();
    private byte[]? _block;
    private int _filled;
    private int _allocated;
    private long _size;
    private long _written;
    private long _writeBackFrom;
    private Task _last = Task.CompletedTask;
    private bool _closed;

    internal DirectoryObjectWriter(DirectoryObjectStore store, string temporary, string final, FileStream file)
    {
        _store = store;
        _temporary = temporary;
        _final = final;
        _file = file;
    }

    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel)
    {
        ObjectDisposedException.ThrowIf(_closed, this);
        while (bytes.Length > 0)
        {
            cancel.ThrowIfCancellationRequested();
            _block ??= await FreeBlockAsync(cancel);
            int count = Math.Min(bytes.Length, _block.Length - _filled);
            bytes.Span[..count].CopyTo(_block.AsSpan(_filled));
            _filled += count;
            _size += count;
            bytes = bytes[count..];
            if (_filled == _block.Length) Send();
        }
    }

    public override async Task<ObjectReceipt> CommitAsync(CancellationToken cancel)
    {
        ObjectDisposedException.ThrowIf(_closed, this);
        cancel.ThrowIfCancellationRequested();
        if (_filled > 0) Send();
        await Task.Run(async () => await _store.GuardAsync(_final, async () =>
        {
            await _last;
            _file.Flush(flushToDisk: true);
            _file.Dispose();
            File.Move(_temporary, _final, overwrite: true);
            DirectorySync.Flush(Path.GetDirectoryName(_final)!);
        }), CancellationToken.None);
        _closed = true;
        string sha256 = Convert.ToHexStringLower(_hash.GetHashAndReset());
        _hash.Dispose();
        return new ObjectReceipt(_size, sha256, [new ObjectPart(_size, sha256)]);
    }

    public override async ValueTask DisposeAsync()
    {
        if (_closed) return;
        _closed = true;
        await _last.ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
        _file.Dispose();
        _hash.Dispose();
        _store.Discard(_temporary);
    }

    private void Send()
    {
        byte[] block = _block!;
        int count = _filled;
        Task before = _last;
        _last = Task.Run(async () =>
        {
            await before;
            await _store.GuardAsync(_final, () => WriteBlockAsync(block, count));
        });
        _busy.Enqueue((block, _last));
        _block = null;
        _filled = 0;
    }

    private async Task WriteBlockAsync(byte[] block, int count)
    {
        Task hashed = Task.Run(() => _hash.AppendData(block, 0, count));
        try
        {
            _file.Write(block, 0, count);
        }
        finally
        {
            await hashed;
        }
        _written += count;
        if (_written - _writeBackFrom < WriteBackStep) return;
        DirectorySync.StartWriting(_file.SafeFileHandle, _writeBackFrom, _written - _writeBackFrom);
        _writeBackFrom = _written;
    }

    private async Task<byte[]> FreeBlockAsync(CancellationToken cancel)
    {
        while (_busy.TryPeek(out var oldest) && (oldest.Written.IsCompleted || _allocated == Blocks && _free.Count == 0))
        {
            await oldest.Written.WaitAsync(cancel);
            byte[] done = _busy.Dequeue().Block;
            if (done.Length == BlockSize) _free.Enqueue(done);
            else _allocated--;
        }
        if (_free.TryDequeue(out byte[]? block)) return block;
        _allocated++;
        return GC.AllocateUninitializedArray<byte>(_size == 0 ? FirstBlock : BlockSize);
    }
}
