using Backup.Snapshots;

namespace Backup.Running;

/// <summary>Chooses the entries of a snapshot that a user's paths name.</summary>
internal static class PathSelection
{
    /// <summary>
    /// Every path with all that is below it, and the folders above it, so that these keep their mode and owner too. A hard link is but a second
    /// name: the entry that carries the content comes along, with its folders. Tar order.
    /// </summary>
    /// <exception cref="BackupException">NotFound: a path that names nothing.</exception>
    internal static IReadOnlyList<FileEntry> Choose(IReadOnlyList<FileEntry> files, IReadOnlyList<string> paths)
    {
        var chosen = new HashSet<FileEntry>(ReferenceEqualityComparer.Instance);
        foreach (string typed in paths)
        {
            string raw = FileEntry.Raw(Normalise(typed));
            FileEntry[] below = [.. files.Where(f => IsAtOrBelow(f.RawPath, raw))];
            if (below.Length == 0)
                throw new BackupException($"There is no \"{typed}\" in the snapshot.", "`backup files SNAPSHOT` lists what is in it.", FailureKind.NotFound);
            chosen.UnionWith(below);
            chosen.UnionWith(files.Where(f => f.Type == FileType.Directory && f.RawPath.Length > 0 && raw.StartsWith(f.RawPath + "/", StringComparison.Ordinal)));
        }
        BringContentAlong(files, chosen);
        return [.. files.Where(chosen.Contains)];
    }

    private static void BringContentAlong(IReadOnlyList<FileEntry> files, HashSet<FileEntry> chosen)
    {
        var links = new Queue<FileEntry>(chosen.Where(f => f.Type == FileType.HardLink));
        if (links.Count == 0) return;
        var byPath = new Dictionary<string, FileEntry>(StringComparer.Ordinal);
        foreach (FileEntry file in files) byPath[file.RawPath] = file;
        while (links.TryDequeue(out FileEntry? link))
        {
            if (!byPath.TryGetValue(link.RawLink!, out FileEntry? target) || !chosen.Add(target)) continue;
            if (target.Type == FileType.HardLink) links.Enqueue(target);
            for (int at = target.RawPath.LastIndexOf('/'); at > 0; at = target.RawPath.LastIndexOf('/', at - 1))
                if (byPath.TryGetValue(target.RawPath[..at], out FileEntry? folder)) chosen.Add(folder);
        }
    }

    /// <summary>The entries at and below one path.</summary>
    internal static bool IsAtOrBelow(string rawPath, string rawFolder) =>
        rawFolder.Length == 0 || rawPath == rawFolder || rawPath.StartsWith(rawFolder + "/", StringComparison.Ordinal);

    internal static string Normalise(string typed)
    {
        string path = typed;
        while (path.StartsWith("./", StringComparison.Ordinal)) path = path[2..];
        path = path.Trim('/');
        return path == "." ? "" : path;
    }
}
