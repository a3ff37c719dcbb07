using Backup.Snapshots;

namespace Backup.Cli.Commands;

/// <summary>The entries that a typed path means.</summary>
internal static class EntrySelection
{
    /// <summary>The entry at the path and everything below it, in tar order; everything when the path is null or the root.</summary>
    /// <exception cref="BackupException">Not found: nothing in the snapshot is at or below that path.</exception>
    public static IReadOnlyList<FileEntry> Below(SnapshotReader reader, string? typed)
    {
        string path = FileEntry.Raw(typed ?? "").Trim('/');
        while (path.StartsWith("./", StringComparison.Ordinal)) path = path[2..].TrimStart('/');
        if (path is "" or ".") return reader.Files;
        FileEntry[] found = [.. reader.Files.Where(f => f.RawPath == path || f.RawPath.StartsWith(path + "/", StringComparison.Ordinal))];
        if (found.Length > 0) return found;
        throw new BackupException(
            $"snapshot {reader.Snapshot.Id[..8]} holds nothing at '{typed}'",
            $"'backup files {reader.Snapshot.Id[..8]}' lists what it holds; paths are relative to the root of the volume.",
            FailureKind.NotFound);
    }
}
