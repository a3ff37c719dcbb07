using System.Globalization;
using Backup.Streams;

namespace Backup.Snapshots;

/// <param name="Total">How many differences there are.</param>
/// <param name="Messages">The first of them by path, in the user's words.</param>
public sealed record TarDifferences(int Total, IReadOnlyList<string> Messages)
{
    public bool None => Total == 0;
}

/// <summary>Compares what a volume holds after a restore with what it should hold.</summary>
public static class TarComparison
{
    /// <param name="expected">The snapshot's entries, or those of them that were restored.</param>
    /// <param name="readBack">A complete tar of the volume as it is now; it is read to its end but not disposed.</param>
    /// <param name="partial">Only some paths were restored: other content is fine, and the times of directories say nothing.</param>
    /// <param name="most">How many messages at most.</param>
    /// <exception cref="IncompleteTarException">The read-back was cut.</exception>
    public static async Task<TarDifferences> CompareAsync(IReadOnlyList<FileEntry> expected, Stream readBack, CancellationToken cancel, bool partial = false, int most = 20)
    {
        List<FileEntry> found = [];
        var scan = new TarScan(found.Add);
        var buffer = new byte[256 << 10];
        int read;
        while ((read = await readBack.ReadAsync(buffer, cancel).ConfigureAwait(false)) > 0) scan.Push(buffer.AsSpan(0, read));
        scan.Complete();
        return Compare(expected, found, partial, most);
    }

    internal static TarDifferences Compare(IReadOnlyList<FileEntry> expected, IReadOnlyList<FileEntry> found, bool partial, int most)
    {
        var want = new Contents(expected);
        var have = new Contents(found);
        var messages = new SortedSet<(string Path, string Message)>(Comparer<(string Path, string Message)>.Create((a, b) =>
            string.CompareOrdinal(a.Path, b.Path) is not 0 and int order ? order : string.CompareOrdinal(a.Message, b.Message)));
        foreach (var (path, entry) in want.ByPath)
        {
            if (!have.ByPath.TryGetValue(path, out FileEntry? other)) Say(path, "is missing");
            else foreach (string difference in Differences(path, want.Content(entry), have.Content(other), partial)) Say(path, difference);
        }
        if (!partial)
            foreach (string path in have.ByPath.Keys)
                if (!want.ByPath.ContainsKey(path)) Say(path, "is there and should not be");
        foreach (var (path, message) in want.LinkDifferences(have)) Say(path, message);

        return new TarDifferences(messages.Count, [.. messages.Take(most).Select(m => m.Message)]);

        void Say(string path, string what) => messages.Add((path, $"'{(path == "" ? "./" : FileEntry.Display(path))}' {what}"));
    }

    private static IEnumerable<string> Differences(string path, FileEntry want, FileEntry have, bool partial)
    {
        if (want.Type != have.Type)
        {
            yield return $"is a {Word(have.Type)} instead of a {Word(want.Type)}";
            yield break;
        }
        if (want.Type == FileType.Symlink && want.RawLink != have.RawLink) yield return $"points to '{have.Link}' instead of '{want.Link}'";
        if (want.Size != have.Size) yield return string.Create(CultureInfo.InvariantCulture, $"has {have.Size} bytes instead of {want.Size}");
        else if (want.Digest != have.Digest) yield return want.Type is FileType.File ? "has other content or attributes" : "has another device number or other attributes";
        // A symlink's mode means nothing and cannot be set.
        if (want.Type != FileType.Symlink && want.Mode != have.Mode)
            yield return $"has mode {Convert.ToString(have.Mode, 8)} instead of {Convert.ToString(want.Mode, 8)}";
        if (want.Uid != have.Uid || want.Gid != have.Gid) yield return string.Create(CultureInfo.InvariantCulture, $"belongs to {have.Uid}:{have.Gid} instead of {want.Uid}:{want.Gid}");
        // The root's time changes when the engine mounts or empties the volume; a parent's when only some paths were restored.
        bool timeless = want.Type == FileType.Directory && (path == "" || partial);
        if (!timeless && decimal.Floor(want.Mtime) != decimal.Floor(have.Mtime)) yield return $"has another modification time ({Time(have.Mtime)} instead of {Time(want.Mtime)})";
    }

    private static string Time(decimal seconds) =>
        seconds is >= -62_135_596_800 and <= 253_402_300_799
            ? DateTimeOffset.FromUnixTimeSeconds((long)decimal.Floor(seconds)).ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture)
            : seconds.ToString(CultureInfo.InvariantCulture);

    private static string Word(FileType type) => type switch
    {
        FileType.File or FileType.HardLink => "file",
        FileType.Directory => "directory",
        FileType.Symlink => "symlink",
        FileType.Fifo => "fifo",
        FileType.CharDevice => "character device",
        FileType.BlockDevice => "block device",
        _ => "thing of an unknown kind",
    };

    /// <summary>Entries by path; of several with one path the last counts, as it does when a tar is extracted.</summary>
    private sealed class Contents
    {
        internal readonly Dictionary<string, FileEntry> ByPath = new(StringComparer.Ordinal);

        internal Contents(IReadOnlyList<FileEntry> entries)
        {
            foreach (FileEntry entry in entries) ByPath[entry.RawPath] = entry;
        }

        /// <summary>The entry that carries a hard link's content, else the entry itself.</summary>
        internal FileEntry Content(FileEntry entry)
        {
            for (int steps = 0; entry.Type == FileType.HardLink && steps < 100 && ByPath.TryGetValue(entry.RawLink!, out FileEntry? target); steps++) entry = target;
            return entry;
        }

        /// <summary>Which of several names comes first, and so carries the content, is chance: only who shares with whom is compared.</summary>
        internal IEnumerable<(string Path, string Message)> LinkDifferences(Contents other)
        {
            ILookup<string, string> groups = Groups(), others = other.Groups();
            var leaderThere = others.SelectMany(g => g.Select(path => (path, g.Key))).ToDictionary(p => p.path, p => p.Key, StringComparer.Ordinal);
            foreach (var group in groups)
            {
                string[] present = [.. group.Where(other.ByPath.ContainsKey).Order(StringComparer.Ordinal)];
                for (int i = 1; i < present.Length; i++)
                    if (!leaderThere.TryGetValue(present[i], out string? leader) || leaderThere.GetValueOrDefault(present[0]) != leader)
                        yield return (present[i], $"is no longer a hard link to '{FileEntry.Display(present[0])}'");
            }
            var leaderHere = groups.SelectMany(g => g.Select(path => (path, g.Key))).ToDictionary(p => p.path, p => p.Key, StringComparer.Ordinal);
            foreach (var group in others)
            {
                string[] present = [.. group.Where(ByPath.ContainsKey).Order(StringComparer.Ordinal)];
                for (int i = 1; i < present.Length; i++)
                    if (!leaderHere.TryGetValue(present[i], out string? leader) || leaderHere.GetValueOrDefault(present[0]) != leader)
                        yield return (present[i], $"is a hard link to '{FileEntry.Display(present[0])}' and should not be");
            }
        }

        /// <summary>Paths that share content, by the path that carries it; only groups of two and more.</summary>
        private ILookup<string, string> Groups() =>
            ByPath.Values.Where(e => e.Type == FileType.HardLink)
                .SelectMany(e => { string leader = Content(e).RawPath; return ((string Leader, string Path)[])[(leader, e.RawPath), (leader, leader)]; })
                .Distinct().ToLookup(p => p.Leader, p => p.Path, StringComparer.Ordinal);
    }
}
