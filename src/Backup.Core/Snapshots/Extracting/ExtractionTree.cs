using Microsoft.Win32.SafeHandles;

namespace Backup.Snapshots.Extracting;

/// <summary>
/// The target directory, walked component by component from its open handle without ever following a link, so that whatever an archive
/// or another program puts there, nothing outside is reached.
/// </summary>
internal sealed class ExtractionTree(SafeFileHandle root, string shown) : IDisposable
{
    private SafeFileHandle? _parent;
    private string? _parentPath;

    internal SafeFileHandle Root => root;

    /// <summary>The open parent of an entry, made where it is missing, and the entry's last component.</summary>
    /// <exception cref="BackupException">The path leaves the target.</exception>
    internal (SafeFileHandle Parent, string Name) Resolve(string rawPath, string entry, bool make)
    {
        int slash = rawPath.LastIndexOf('/');
        string parent = slash < 0 ? "" : rawPath[..slash], name = rawPath[(slash + 1)..];
        if (rawPath.StartsWith('/')) throw Refused(entry, "its path is absolute");
        if (rawPath.Split('/').Contains("..")) throw Refused(entry, "its path has '..' in it");
        if (name is "" or ".") throw Refused(entry, "its path names no file");
        if (parent == "") return (root, name);
        if (_parentPath == parent) return (_parent!, name);

        SafeFileHandle at = root;
        try
        {
            foreach (string part in parent.Split('/', StringSplitOptions.RemoveEmptyEntries))
            {
                if (part == ".") continue;
                SafeFileHandle next = Step(at, part, entry, make);
                if (at != root) at.Dispose();
                at = next;
            }
        }
        catch
        {
            if (at != root) at.Dispose();
            throw;
        }
        if (at == root) return (root, name);
        _parent?.Dispose();
        (_parent, _parentPath) = (at, parent);
        return (at, name);
    }

    private SafeFileHandle Step(SafeFileHandle at, string part, string entry, bool make)
    {
        var (next, error) = Posix.OpenDirectory(at.Number(), part);
        if (error == Posix.ENOENT && make)
        {
            error = Posix.MakeDirectory(at.Number(), part, 0x1ED);
            if (error is 0 or Posix.EEXIST) (next, error) = Posix.OpenDirectory(at.Number(), part);
        }
        if (next is not null) return next;
        if (error is Posix.ENOTDIR or Posix.ELOOP) throw Refused(entry, $"'{FileEntry.Display(part)}' in its path is a link or a file, not a directory");
        throw Failed(entry, error);
    }

    internal static BackupException Refused(string entry, string reason) =>
        new($"'{entry}' was refused: {reason}.", "The archive may have been made to write outside of the target. Nothing outside was touched.");

    internal BackupException Failed(string entry, int error) => new($"'{entry}' could not be written to {shown}: {Posix.Message(error)}.",
        error switch
        {
            Posix.ENOSPC => "Make room on that disk or choose another directory.",
            Posix.EROFS => "The file system is mounted read-only; choose another directory.",
            Posix.ENAMETOOLONG => "This file system does not take names this long; choose another one.",
            Posix.ENOENT => "What the entry refers to is not there; a hard link needs its target to be restored too.",
            _ => "Check the directory's permissions, or run as root.",
        });

    public void Dispose()
    {
        _parent?.Dispose();
        root.Dispose();
    }
}
