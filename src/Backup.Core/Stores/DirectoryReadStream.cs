namespace Backup.Stores;

/// <summary>A range of a file; failures of the disk come out as the store's.</summary>
internal sealed class DirectoryReadStream(DirectoryObjectStore store, string path, FileStream file, long left) : ReadOnlyStream
{
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancel = default)
    {
        if (left == 0 || buffer.Length == 0) return 0;
        try
        {
            int count = await file.ReadAsync(buffer[..(int)Math.Min(buffer.Length, left)], cancel);
            left = count == 0 ? 0 : left - count;
            return count;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw store.Translate(path, e);
        }
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing) file.Dispose();
        base.Dispose(disposing);
    }
}
