using Backup.Snapshots.Extracting;

namespace Backup.Snapshots;

/// <param name="Files">Entries written that are not directories.</param>
/// <param name="Bytes">Of content.</param>
/// <param name="Notes">What could not be kept, in the user's words; empty when all was.</param>
public sealed record Extraction(long Files, long Directories, long Bytes, IReadOnlyList<string> Notes);

/// <summary>Extracts a tar into a directory of this host, keeping modes, owners (as root), times, links, devices, attributes and names as bytes.</summary>
public static class TarExtractor
{
    /// <summary>
    /// Extracts a complete tar. Entries that try to leave the directory end it with a refusal that names them. With <paramref name="overwrite"/> the
    /// directory may have content: what the tar names is replaced, what it does not name stays.
    /// </summary>
    /// <exception cref="BackupException">The directory is not empty, an entry was refused, or something could not be written.</exception>
    public static async Task<Extraction> ExtractAsync(Stream tar, string directory, bool overwrite, CancellationToken cancel)
    {
        bool empty;
        try
        {
            Directory.CreateDirectory(directory);
            empty = !Directory.EnumerateFileSystemEntries(directory).Any();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new BackupException($"The directory {directory} cannot be used: {e.Message}", "Choose another directory, or run as root.", inner: e);
        }
        if (!empty && !overwrite)
            throw new BackupException($"The directory {directory} is not empty.", "Choose an empty or new directory, or give --overwrite to replace files in it.", FailureKind.Usage);
        var (root, error) = Posix.OpenRoot(directory);
        if (root is null) throw new BackupException($"The directory {directory} cannot be opened: {Posix.Message(error)}.", "Choose another directory, or run as root.");

        using var tree = new ExtractionTree(root, directory);
        var unpacker = new TarUnpacker(tree, applyRoot: empty);
        try
        {
            var buffer = new byte[256 << 10];
            int read;
            while ((read = await tar.ReadAsync(buffer, cancel).ConfigureAwait(false)) > 0) Push(unpacker, buffer.AsSpan(0, read), directory);
            unpacker.Complete();
            unpacker.Finish();
        }
        finally
        {
            unpacker.Abandon();
        }
        return new Extraction(unpacker.Files, unpacker.Directories, unpacker.Bytes, unpacker.Notes);
    }

    /// <summary>Only errors of writing are caught here: an <see cref="IOException"/> of the tar's own source is not the directory's fault.</summary>
    private static void Push(TarUnpacker unpacker, ReadOnlySpan<byte> bytes, string directory)
    {
        try
        {
            unpacker.Push(bytes);
        }
        catch (IOException e)
        {
            throw new BackupException($"Writing to {directory} failed: {e.Message}", "Make room on that disk or choose another directory.", inner: e);
        }
    }
}
