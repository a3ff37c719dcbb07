using System.Security.Cryptography;

namespace Backup.Stores;

/// <summary>
/// Writes one temporary file and renames it into place. What is handed in is written and hashed in the same call, from the caller's own buffer:
/// the caller is a pipeline's last stage and has nothing else to do, and on a small host every copy and every switch of threads is paid by the engine.
/// </summary>
internal sealed class DirectoryObjectWriter(DirectoryObjectStore store, string temporary, string final, FileStream file) : ObjectWriter
{
    private const long WriteBackStep = 8 << 20;

    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private long _size;
    private long _writeBackFrom;
    private bool _closed;

    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel)
    {
        ObjectDisposedException.ThrowIf(_closed, this);
        cancel.ThrowIfCancellationRequested();
        await store.GuardAsync(final, () =>
        {
            file.Write(bytes.Span);
            return Task.CompletedTask;
        });
        _hash.AppendData(bytes.Span);
        _size += bytes.Length;
        if (_size - _writeBackFrom < WriteBackStep) return;
        DirectorySync.StartWriting(file.SafeFileHandle, _writeBackFrom, _size - _writeBackFrom);
        _writeBackFrom = _size;
    }

    public override async Task<ObjectReceipt> CommitAsync(CancellationToken cancel)
    {
        ObjectDisposedException.ThrowIf(_closed, this);
        cancel.ThrowIfCancellationRequested();
        // The fsync can take seconds, and some callers await from a thread that others need.
        await Task.Run(() => store.GuardAsync(final, () =>
        {
            file.Flush(flushToDisk: true);
            file.Dispose();
            File.Move(temporary, final, overwrite: true);
            DirectorySync.Flush(Path.GetDirectoryName(final)!);
            return Task.CompletedTask;
        }), CancellationToken.None);
        _closed = true;
        string sha256 = Convert.ToHexStringLower(_hash.GetHashAndReset());
        _hash.Dispose();
        return new ObjectReceipt(_size, sha256, [new ObjectPart(_size, sha256)]);
    }

    public override ValueTask DisposeAsync()
    {
        if (_closed) return ValueTask.CompletedTask;
        _closed = true;
        file.Dispose();
        _hash.Dispose();
        store.Discard(temporary);
        return ValueTask.CompletedTask;
    }
}
