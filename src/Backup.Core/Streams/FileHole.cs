using System.Runtime.InteropServices;

namespace Backup.Streams;

/// <summary>Gives a range of a file back to the disk without moving the rest of it.</summary>
internal static partial class FileHole
{
    private const int KeepSize = 1, PunchHole = 2;

    /// <summary>False where the file system cannot do it: the range then keeps its space and its bytes.</summary>
    internal static bool Punch(SafeHandle file, long offset, long length) => Allocate(file, KeepSize | PunchHole, offset, length) == 0;

    [LibraryImport("libc", EntryPoint = "fallocate")]
    private static partial int Allocate(SafeHandle file, int mode, long offset, long length);
}
