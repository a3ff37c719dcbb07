using System.Globalization;
using Backup.Stores;

namespace Backup.Snapshots.Archive;

/// <summary>The keys of one snapshot, see FORMAT.md.</summary>
internal sealed record ArchiveKeys(string Stem)
{
    internal const string ManifestExtension = ".json", MarkerExtension = ".pending", DataExtension = ".tar.zst", IndexExtension = ".files.zst";

    internal string Manifest => Stem + ManifestExtension;
    internal string Data => Stem + DataExtension;
    internal string Index => Stem + IndexExtension;
    internal string Marker => Stem + MarkerExtension;

    /// <summary>All that a marker may name.</summary>
    internal IReadOnlyList<string> Owned => [Manifest, Data, Index];

    internal static ArchiveKeys Of(string environment, string source, DateTimeOffset takenAt, string id) =>
        new(ObjectKey.Check($"{Prefix(environment, source)}{takenAt.UtcDateTime.ToString("yyyyMMdd'T'HHmmss'Z'", CultureInfo.InvariantCulture)}-{id}"));

    internal static ArchiveKeys Of(Snapshot snapshot) => Of(snapshot.Environment, snapshot.Volume, snapshot.TakenAt, snapshot.Id);

    /// <summary>What to list: as narrow as the store's prefixes allow.</summary>
    internal static string Prefix(string? environment, string? source) =>
        environment is null ? "" : source is null ? ObjectKey.Escape(environment) + "/" : $"{ObjectKey.Escape(environment)}/{ObjectKey.Escape(source)}/";

    /// <summary>The snapshot's keys when <paramref name="key"/> has the shape of one of them with this extension, else null.</summary>
    internal static ArchiveKeys? Parse(string key, string extension)
    {
        if (!key.EndsWith(extension, StringComparison.Ordinal)) return null;
        string stem = key[..^extension.Length];
        int name = stem.LastIndexOf('/') + 1;
        ReadOnlySpan<char> last = stem.AsSpan(name);
        bool shaped = name > 0 && stem.AsSpan(0, name).Count('/') == 2 && last.Length == 49 && last[8] == 'T' && last[15] == 'Z' && last[16] == '-'
            && !last[17..].ContainsAnyExcept("0123456789abcdef");
        return shaped ? new ArchiveKeys(stem) : null;
    }

    /// <summary>The snapshot's keys when <paramref name="key"/> has the shape of any of them, else null.</summary>
    internal static ArchiveKeys? Parse(string key) =>
        Parse(key, ManifestExtension) ?? Parse(key, MarkerExtension) ?? Parse(key, DataExtension) ?? Parse(key, IndexExtension);

    /// <summary>True when the key lies under this source, whatever the environment.</summary>
    internal bool IsOf(string source) => Stem.Split('/') is [_, var volume, _] && volume == ObjectKey.Escape(source);
}
