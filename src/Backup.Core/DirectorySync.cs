using System.Runtime.InteropServices;

namespace Backup;

/// <summary>The two calls of the C library that .NET has no name for: syncing a directory and starting write-back early.</summary>
internal static partial class DirectorySync
{
    private const int ReadOnlyCloseOnExec = 0x80000;
    private const int InvalidArgument = 22;
    private const uint StartWriteBack = 2;

    /// <summary>Makes renames, creations and removals inside a directory survive a power cut.</summary>
    /// <exception cref="IOException">The directory cannot be opened or synced; the HResult is the error number.</exception>
    internal static void Flush(string directory)
    {
        int handle = Open(directory, ReadOnlyCloseOnExec);
        if (handle < 0) throw Failure(directory);
        try
        {
            // some network and FUSE file systems cannot sync a directory and say EINVAL; nothing more can be done there
            if (Sync(handle) != 0 && Marshal.GetLastPInvokeError() != InvalidArgument) throw Failure(directory);
        }
        finally
        {
            _ = Close(handle);
        }
    }

    /// <summary>Asks the kernel to begin writing a range to disk, so that the final sync has little left to do. A hint: failure means nothing.</summary>
    internal static void StartWriting(SafeHandle file, long offset, long length)
    {
        if (OperatingSystem.IsLinux()) _ = SyncFileRange(file, offset, length, StartWriteBack);
    }

    private static IOException Failure(string path)
    {
        int error = Marshal.GetLastPInvokeError();
        return new IOException($"{Marshal.GetPInvokeErrorMessage(error)} : '{path}'", error);
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int Sync(int handle);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int handle);

    [LibraryImport("libc", EntryPoint = "sync_file_range")]
    private static partial int SyncFileRange(SafeHandle file, long offset, long length, uint flags);
}
