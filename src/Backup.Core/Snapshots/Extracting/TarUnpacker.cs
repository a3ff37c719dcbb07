using System.Globalization;
using Backup.Streams;
using Microsoft.Win32.SafeHandles;

namespace Backup.Snapshots.Extracting;

/// <summary>Writes the entries of a tar into a tree as they pass.</summary>
/// <param name="applyRoot">Give the target itself the mode, owner and time of the tar's root.</param>
internal sealed class TarUnpacker(ExtractionTree tree, bool applyRoot) : TarParser
{
    private readonly bool _root = Posix.EffectiveUser() == 0;
    private readonly Dictionary<string, (long Count, string First)> _lost = [];
    private readonly List<(string Path, int Mode, long Uid, long Gid, decimal Mtime)> _directories = [];
    private SafeFileHandle? _file;
    private long _written;

    internal long Files { get; private set; }
    internal long Directories { get; private set; }
    internal long Bytes { get; private set; }

    /// <summary>What could not be kept, in the user's words.</summary>
    internal IReadOnlyList<string> Notes =>
        [.. _lost.Select(l => l.Value.Count == 1 ? $"{l.Key}: '{l.Value.First}'" : $"{l.Key}: '{l.Value.First}' and {(l.Value.Count - 1).ToString(CultureInfo.InvariantCulture)} more")];

    protected override void EntryStarts(TarHeader h)
    {
        string path = h.Path, shown = FileEntry.Display(path);
        if (h.Type == FileType.Directory) { MakeDirectory(h, path, shown); return; }
        if (h.Type == FileType.Other) throw ExtractionTree.Refused(shown, "it is of a kind that is not supported (sparse, multi-volume or unknown)");
        Files++;
        string? target = h.LinkPath;
        if (h.Type == FileType.HardLink && target == path) return; // a link to itself is already there
        int from = -1;
        string fromName = "";
        SafeFileHandle? held = null;
        if (h.Type == FileType.HardLink)
        {
            // Resolving the link's own path may close the handle that the tree caches, so this one is kept apart.
            var (targetParent, name) = tree.Resolve(target!, shown, make: false);
            (held, int error) = Posix.OpenDirectory(targetParent.Number(), ".");
            if (held is null) throw tree.Failed(shown, error);
            (from, fromName) = (held.Number(), name);
        }
        using (held)
        {
            var (parent, name) = tree.Resolve(path, shown, make: true);
            int dir = parent.Number();
            int removed = Posix.Unlink(dir, name);
            if (removed is Posix.EISDIR or Posix.EPERM) throw ExtractionTree.Refused(shown, "a directory stands in its place");
            if (removed is not (0 or Posix.ENOENT)) throw tree.Failed(shown, removed);
            int error = 0;
            switch (h.Type)
            {
                case FileType.File:
                    (_file, error) = Posix.CreateFile(dir, name);
                    _written = 0;
                    break;
                case FileType.HardLink: error = Posix.Link(from, fromName, dir, name); break;
                case FileType.Symlink: error = Posix.Symlink(target!, dir, name); break;
                case FileType.Fifo: error = Posix.Fifo(dir, name); break;
                default:
                    if (!_root) { Lost("Devices need root; left out", shown); return; }
                    error = Posix.Device(dir, name, h.Type == FileType.BlockDevice, h.DeviceMajor, h.DeviceMinor);
                    if (error == Posix.EPERM) { Lost("Devices are not allowed here; left out", shown); return; }
                    break;
            }
            if (error != 0) throw tree.Failed(shown, error);
            if (h.Type is FileType.File or FileType.HardLink) return; // a file gets its attributes when its content is there, a link shares them
            Own(dir, name, h.Uid, h.Gid, shown);
            if (h.Type != FileType.Symlink) Check(Posix.Chmod(dir, name, h.Mode), shown);
            Check(Posix.SetTime(dir, name, h.Mtime), shown);
        }
    }

    protected override void Content(ReadOnlySpan<byte> bytes)
    {
        if (_file is null) return;
        RandomAccess.Write(_file, bytes, _written);
        _written += bytes.Length;
        Bytes += bytes.Length;
    }

    protected override void EntryEnds(TarHeader h)
    {
        if (_file is null) return;
        string shown = FileEntry.Display(h.Path);
        var (parent, name) = tree.Resolve(h.Path, shown, make: false);
        // The order matters: a change of owner clears setuid and capabilities.
        Own(parent.Number(), name, h.Uid, h.Gid, shown);
        Check(Posix.Chmod(_file, h.Mode), shown);
        foreach (var (key, value) in h.Xattrs)
            if (Posix.SetXattr(_file, key, value) != 0) Lost($"The attribute {FileEntry.Display(key)} could not be set" + (_root ? "" : " (needs root)"), shown);
        Check(Posix.SetTime(parent.Number(), name, h.Mtime), shown);
        _file.Dispose();
        _file = null;
    }

    private void MakeDirectory(TarHeader h, string path, string shown)
    {
        Directories++;
        if (path != "")
        {
            var (parent, name) = tree.Resolve(path, shown, make: true);
            int error = Posix.MakeDirectory(parent.Number(), name, 0x1C0);
            if (error == Posix.EEXIST)
            {
                var (there, notDirectory) = Posix.OpenDirectory(parent.Number(), name);
                there?.Dispose();
                if (notDirectory is Posix.ENOTDIR or Posix.ELOOP)
                {
                    Check(Posix.Unlink(parent.Number(), name), shown);
                    error = Posix.MakeDirectory(parent.Number(), name, 0x1C0);
                }
                else error = notDirectory;
            }
            Check(error, shown);
        }
        else if (!applyRoot) return;
        // Their attributes come last: a read-only directory could not be filled, and filling it changes its time.
        _directories.Add((path, h.Mode, h.Uid, h.Gid, h.Mtime));
    }

    /// <summary>Gives the directories their attributes, the deepest first.</summary>
    internal void Finish()
    {
        for (int i = _directories.Count - 1; i >= 0; i--)
        {
            var (path, mode, uid, gid, mtime) = _directories[i];
            string shown = FileEntry.Display(path);
            var (parent, name) = path == "" ? (tree.Root, ".") : tree.Resolve(path, shown, make: false);
            Own(parent.Number(), name, uid, gid, shown);
            var (directory, error) = Posix.OpenDirectory(parent.Number(), name);
            if (directory is null) throw tree.Failed(shown, error);
            using (directory) Check(Posix.Chmod(directory, mode), shown);
            Check(Posix.SetTime(parent.Number(), name, mtime), shown);
        }
    }

    /// <summary>Closes what an interrupted entry left open.</summary>
    internal void Abandon() => _file?.Dispose();

    private void Own(int dir, string name, long uid, long gid, string shown)
    {
        if (!_root && uid == Posix.EffectiveUser() && gid == Posix.EffectiveGroup()) return;
        if (!_root || Posix.Chown(dir, name, uid, gid) != 0) Lost("Owners could not be kept" + (_root ? "" : " (needs root)"), shown);
    }

    private void Check(int error, string shown)
    {
        if (error != 0) throw tree.Failed(shown, error);
    }

    private void Lost(string what, string entry) => _lost[what] = _lost.TryGetValue(what, out var known) ? (known.Count + 1, known.First) : (1, entry);
}
