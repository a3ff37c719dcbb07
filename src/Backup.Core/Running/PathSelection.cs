using Backup.Snapshots;

namespace Backup.Running;

/// <summary>Chooses the entries of a snapshot that a user's paths name.</summary>
internal static class PathSelection
{
    /// <summary>Every path with all that is below it, and the folders above it, so that these keep their mode and owner too. Tar order.</summary>
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
        return [.. files.Where(chosen.Contains)];
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
