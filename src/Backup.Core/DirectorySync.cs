using System.Runtime.InteropServices;

namespace Backup;

/// <summary>
/// fsync of a directory: a new or renamed file is there after a crash only when its directory was synced too. .NET cannot open a directory.
/// </summary>
internal static partial class DirectorySync
{
    private const int ReadOnlyDirectory = 0x10000 | 0x80000; // O_RDONLY | O_DIRECTORY | O_CLOEXEC on Linux

    /// <exception cref="IOException">The directory cannot be opened or synced.</exception>
    internal static void Flush(string directory)
    {
        int descriptor = Open(directory, ReadOnlyDirectory);
        if (descriptor < 0) throw Failure(directory);
        try
        {
            if (FSync(descriptor) != 0) throw Failure(directory);
        }
        finally
        {
            _ = Close(descriptor);
        }
    }

    private static IOException Failure(string directory) => new($"cannot sync the directory {directory}: {Marshal.GetLastPInvokeErrorMessage()}");

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int FSync(int descriptor);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);
}
