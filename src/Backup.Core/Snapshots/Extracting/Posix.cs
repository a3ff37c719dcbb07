using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Backup.Snapshots.Extracting;

/// <summary>The system calls that work relative to an open directory and never follow a link in the last component. Paths are bytes in Latin-1 clothes.</summary>
internal static unsafe partial class Posix
{
    internal const int ENOENT = 2, EEXIST = 17, ENOTDIR = 20, EISDIR = 21, ENOSPC = 28, ELOOP = 40, EPERM = 1, EROFS = 30, ENAMETOOLONG = 36, EOPNOTSUPP = 95;
    internal const int CurrentDirectory = -100;
    private const int ReadOnly = 0, WriteOnly = 1, Create = 0x40, Exclusive = 0x80, CloseOnExec = 0x80000;
    private const int NoFollowAt = 0x100;

    // These two differ between processors.
    private static bool Arm => RuntimeInformation.ProcessArchitecture is Architecture.Arm64 or Architecture.Arm;
    private static int Directory => Arm ? 0x4000 : 0x10000;
    private static int NoFollow => Arm ? 0x8000 : 0x20000;

    [StructLayout(LayoutKind.Sequential)]
    private struct TimeSpec { public long Seconds; public long Nanoseconds; }

    [LibraryImport("libc", EntryPoint = "openat", SetLastError = true)] private static partial int OpenAt(int dir, byte* path, int flags, uint mode);
    [LibraryImport("libc", EntryPoint = "mkdirat", SetLastError = true)] private static partial int MkdirAt(int dir, byte* path, uint mode);
    [LibraryImport("libc", EntryPoint = "unlinkat", SetLastError = true)] private static partial int UnlinkAt(int dir, byte* path, int flags);
    [LibraryImport("libc", EntryPoint = "symlinkat", SetLastError = true)] private static partial int SymlinkAt(byte* target, int dir, byte* path);
    [LibraryImport("libc", EntryPoint = "linkat", SetLastError = true)] private static partial int LinkAt(int fromDir, byte* from, int dir, byte* path, int flags);
    [LibraryImport("libc", EntryPoint = "mknodat", SetLastError = true)] private static partial int MknodAt(int dir, byte* path, uint mode, ulong device);
    [LibraryImport("libc", EntryPoint = "mkfifoat", SetLastError = true)] private static partial int MkfifoAt(int dir, byte* path, uint mode);
    [LibraryImport("libc", EntryPoint = "fchownat", SetLastError = true)] private static partial int ChownAt(int dir, byte* path, uint uid, uint gid, int flags);
    [LibraryImport("libc", EntryPoint = "fchmodat", SetLastError = true)] private static partial int ChmodAt(int dir, byte* path, uint mode, int flags);
    [LibraryImport("libc", EntryPoint = "fchmod", SetLastError = true)] private static partial int Fchmod(int file, uint mode);
    [LibraryImport("libc", EntryPoint = "utimensat", SetLastError = true)] private static partial int UtimeAt(int dir, byte* path, TimeSpec* times, int flags);
    [LibraryImport("libc", EntryPoint = "fsetxattr", SetLastError = true)] private static partial int Fsetxattr(int file, byte* name, byte* value, nuint size, int flags);
    [LibraryImport("libc", EntryPoint = "geteuid")] internal static partial uint EffectiveUser();
    [LibraryImport("libc", EntryPoint = "getegid")] internal static partial uint EffectiveGroup();

    internal static string Message(int error) => Marshal.GetPInvokeErrorMessage(error);

    /// <summary>An open directory, or the error number. A link as last component is an error, never followed.</summary>
    internal static (SafeFileHandle? Handle, int Error) OpenDirectory(int dir, string name) => Open(dir, name, ReadOnly | Directory | NoFollow | CloseOnExec, 0);

    /// <summary>The directory that a user named: the one path whose links are followed.</summary>
    internal static (SafeFileHandle? Handle, int Error) OpenRoot(string path) =>
        Open(CurrentDirectory, Encoding.Latin1.GetString(Encoding.UTF8.GetBytes(path)), ReadOnly | Directory | CloseOnExec, 0);

    /// <summary>A new file for writing; one that is there is an error.</summary>
    internal static (SafeFileHandle? Handle, int Error) CreateFile(int dir, string name) => Open(dir, name, WriteOnly | Create | Exclusive | NoFollow | CloseOnExec, 0x180);

    private static (SafeFileHandle?, int) Open(int dir, string name, int flags, uint mode)
    {
        fixed (byte* path = Bytes(name))
        {
            int file = OpenAt(dir, path, flags, mode);
            return file < 0 ? (null, Marshal.GetLastPInvokeError()) : (new SafeFileHandle(file, ownsHandle: true), 0);
        }
    }

    internal static int MakeDirectory(int dir, string name, int mode) { fixed (byte* path = Bytes(name)) return Error(MkdirAt(dir, path, (uint)mode)); }
    internal static int Unlink(int dir, string name) { fixed (byte* path = Bytes(name)) return Error(UnlinkAt(dir, path, 0)); }

    internal static int Symlink(string target, int dir, string name)
    {
        fixed (byte* to = Bytes(target), path = Bytes(name)) return Error(SymlinkAt(to, dir, path));
    }

    internal static int Link(int fromDir, string from, int dir, string name)
    {
        fixed (byte* source = Bytes(from), path = Bytes(name)) return Error(LinkAt(fromDir, source, dir, path, 0));
    }

    internal static int Fifo(int dir, string name) { fixed (byte* path = Bytes(name)) return Error(MkfifoAt(dir, path, 0x180)); }

    internal static int Device(int dir, string name, bool block, long major, long minor)
    {
        ulong device = (((ulong)major & 0xFFFFF000) << 32) | (((ulong)major & 0xFFF) << 8) | (((ulong)minor & 0xFFFFFF00) << 12) | ((ulong)minor & 0xFF);
        fixed (byte* path = Bytes(name)) return Error(MknodAt(dir, path, (block ? 0x6000u : 0x2000u) | 0x180, device));
    }

    internal static int Chown(int dir, string name, long uid, long gid) { fixed (byte* path = Bytes(name)) return Error(ChownAt(dir, path, (uint)uid, (uint)gid, NoFollowAt)); }

    /// <summary>Follows a link as last component: only for what was just made and is no link.</summary>
    internal static int Chmod(int dir, string name, int mode) { fixed (byte* path = Bytes(name)) return Error(ChmodAt(dir, path, (uint)mode, 0)); }

    internal static int Chmod(SafeFileHandle file, int mode) => Error(Fchmod((int)file.DangerousGetHandle(), (uint)mode));

    internal static int SetTime(int dir, string name, decimal mtime)
    {
        decimal seconds = decimal.Floor(mtime);
        var times = stackalloc TimeSpec[2];
        times[0] = times[1] = new TimeSpec { Seconds = (long)seconds, Nanoseconds = (long)((mtime - seconds) * 1_000_000_000) };
        fixed (byte* path = Bytes(name)) return Error(UtimeAt(dir, path, times, NoFollowAt));
    }

    internal static int SetXattr(SafeFileHandle file, string name, byte[] value)
    {
        fixed (byte* key = Bytes(name), content = value) return Error(Fsetxattr((int)file.DangerousGetHandle(), key, content, (nuint)value.Length, 0));
    }

    internal static int Number(this SafeFileHandle handle) => (int)handle.DangerousGetHandle();

    private static int Error(int result) => result < 0 ? Marshal.GetLastPInvokeError() : 0;

    private static byte[] Bytes(string raw)
    {
        var bytes = new byte[raw.Length + 1];
        Encoding.Latin1.GetBytes(raw, bytes);
        return bytes;
    }
}
