using Backup.Environments;
using Backup.Policies;

namespace Backup.Planning;

/// <summary>Which of the sources that exist are backed up, and why the others are not.</summary>
public static class VolumeSelector
{
    /// <summary>A volume with this label set to true is left out.</summary>
    public const string ExcludeLabel = "backup.exclude";

    // Also everything below them. None of it is anybody's data, and some of it never ends.
    private static readonly string[] SystemTrees =
    [
        "/proc", "/sys", "/dev", "/run", "/var/run", "/boot", "/bin", "/sbin", "/lib", "/lib64",
        "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/share", "/var/lib/docker",
    ];
    private static readonly string[] SystemPaths = ["/", "/etc", "/usr", "/var", "/var/lib", "/etc/localtime", "/etc/timezone", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];

    /// <summary>Sorted: volumes and bind mounts by name, ordinal.</summary>
    public static Selection Select(VolumePatterns patterns, Inventory inventory)
    {
        List<ContainerFacts> containers = [.. inventory.Containers.Where(c => c.HelperOfRun is null)];
        var selected = new SortedSet<SourceRef>();
        var skipped = new SortedDictionary<SourceRef, string>();
        void Judge(SourceRef source, string? reason)
        {
            if (reason is null) selected.Add(source);
            else skipped[source] = reason;
        }

        foreach (VolumeFacts volume in inventory.Volumes) Judge(SourceRef.Volume(volume.Name), WhyNot(volume, patterns, containers));
        foreach (SourceRef bind in Binds(containers)) Judge(bind, WhyNot(bind, patterns, containers));

        HashSet<string> there = [.. inventory.Volumes.Select(v => v.Name)];
        IEnumerable<SourceRef> missing = patterns.Include.Where(p => !Glob.HasWildcard(p)).Select(SourceRef.Parse)
            .Where(s => s.Kind == SourceKind.Volume && !there.Contains(s.Name) && Excluded(s, patterns) is null);

        // A path that is named outright is backed up also while no container mounts it, as when the stack is down just now.
        foreach (string pattern in patterns.Include.Where(p => !Glob.HasWildcard(p)))
        {
            SourceRef named = SourceRef.Parse(pattern);
            if (named.Kind == SourceKind.Bind && !skipped.ContainsKey(named)) Judge(named, Excluded(named, patterns));
        }
        return new Selection([.. selected], [.. skipped.Select(s => new SkippedSource(s.Key, s.Value))], [.. missing.Distinct().Order()]);
    }

    /// <summary>Sockets, pseudo file systems and the system itself: never taken by a wildcard.</summary>
    public static bool IsSystemPath(string path) =>
        SystemPaths.Contains(path) || path.EndsWith(".sock", StringComparison.Ordinal) ||
        SystemTrees.Any(tree => path == tree || path.StartsWith(tree + "/", StringComparison.Ordinal));

    private static IEnumerable<SourceRef> Binds(List<ContainerFacts> containers) =>
        containers.SelectMany(c => c.Mounts).Where(m => m.Kind == "bind").Select(m => SourceRef.Bind(m.Source)).Distinct();

    private static string? WhyNot(VolumeFacts volume, VolumePatterns patterns, List<ContainerFacts> containers)
    {
        SourceRef source = SourceRef.Volume(volume.Name);
        if (volume.Labels.TryGetValue(ExcludeLabel, out string? value) && value.Trim().ToLowerInvariant() is "true" or "1" or "yes")
            return $"its label {ExcludeLabel}={value} says so";
        if (!patterns.Include.Any(p => Glob.Matches(p, source))) return "no pattern of volumes.include matches it";
        if (Excluded(source, patterns) is { } excluded) return excluded;
        bool used = containers.Any(c => c.Mounts.Any(m => m.Kind == "volume" && m.Source == volume.Name));
        return volume.Anonymous && !used && !patterns.Include.Contains(volume.Name) ? "anonymous, and no container uses it" : null;
    }

    private static string? WhyNot(SourceRef bind, VolumePatterns patterns, List<ContainerFacts> containers)
    {
        List<string> matching = [.. patterns.Include.Where(p => Glob.Matches(p, bind))];
        bool system = IsSystemPath(bind.Name);
        if (matching.Count == 0)
        {
            string users = string.Join(", ", containers.Where(c => c.Mounts.Any(m => m.Kind == "bind" && SourceRef.Bind(m.Source) == bind)).Select(c => c.Name).Order(StringComparer.Ordinal));
            return system ? $"a socket or system path, mounted by {users}" : $"a bind mount of {users}; add \"{bind}\" to volumes.include to back it up";
        }
        if (system && matching.All(Glob.HasWildcard)) return "a socket or system path: a wildcard never selects one";
        return Excluded(bind, patterns);
    }

    private static string? Excluded(SourceRef source, VolumePatterns patterns) =>
        patterns.Exclude.FirstOrDefault(p => Glob.Matches(p, source)) is { } pattern ? $"volumes.exclude has \"{pattern}\"" : null;
}

/// <param name="Selected">Sorted.</param>
/// <param name="Skipped">Sorted.</param>
/// <param name="Missing">Volumes that are named without a wildcard and are not there. Sorted.</param>
public sealed record Selection(IReadOnlyList<SourceRef> Selected, IReadOnlyList<SkippedSource> Skipped, IReadOnlyList<SourceRef> Missing);
