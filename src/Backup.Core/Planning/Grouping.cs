using Backup.Environments;
using Backup.Policies;

namespace Backup.Planning;

/// <summary>What one source asks for, before it is known who shares its containers.</summary>
/// <param name="Step">Its own facts; who is held is still open.</param>
/// <param name="Writers">What it wants done to each running container that writes to it, also where that is nothing.</param>
/// <param name="Projects">The compose projects it belongs to: the one its label names, and those of the containers that write to it.</param>
/// <param name="AtRest">The consistency, and why, when no running container writes to it; else null.</param>
internal sealed record VolumeAsk(VolumeStep Step, IReadOnlyList<QuiesceStep> Writers, IReadOnlyList<string> Projects, (string Consistency, string Note)? AtRest)
{
    /// <summary>Somebody is held while it is read.</summary>
    internal bool Holds => Writers.Any(w => w.DoesSomething);
}

/// <param name="Volumes">Sorted.</param>
internal sealed record AskedGroup(string Name, string Why, IReadOnlyList<VolumeAsk> Volumes);

/// <summary>
/// Which sources are one point in time. Groups that the policy names come first; of the rest those of one compose project, and those that share a container that is held for both. A source that
/// belongs to several projects makes them one: whoever writes to both sides would otherwise be seen at two moments.
/// </summary>
internal static class Grouping
{
    /// <summary>In the order of each group's first source.</summary>
    internal static IReadOnlyList<AskedGroup> Of(IReadOnlyList<VolumeAsk> asks, EnvironmentPolicy policy)
    {
        ILookup<GroupPolicy?, VolumeAsk> named = asks.ToLookup(a => policy.Groups.FirstOrDefault(g => g.Volumes.Any(p => Glob.Matches(p, a.Step.Source))));
        List<AskedGroup> groups = [.. named.Where(g => g.Key is not null).Select(g => new AskedGroup(g.Key!.Name, "the policy says so", Sorted(g)))];
        List<List<VolumeAsk>> others = [];
        foreach (VolumeAsk ask in named[null])
        {
            List<List<VolumeAsk>> joined = policy.Grouping == VolumeGrouping.Volume ? [] : [.. others.Where(g => g.Any(other => BelongTogether(ask, other)))];
            others.RemoveAll(joined.Contains);
            others.Add([.. joined.SelectMany(g => g), ask]);
        }
        groups.AddRange(others.Select(g => policy.Grouping == VolumeGrouping.Volume ? Alone(g[0]) : Named(Sorted(g))));
        return [.. groups.OrderBy(g => g.Volumes[0].Step.Source)];
    }

    private static List<VolumeAsk> Sorted(IEnumerable<VolumeAsk> volumes) => [.. volumes.OrderBy(a => a.Step.Source)];

    private static AskedGroup Alone(VolumeAsk volume) => new(volume.Step.Source.ToString(), "", [volume]);

    private static bool BelongTogether(VolumeAsk one, VolumeAsk other) =>
        one.Projects.Intersect(other.Projects, StringComparer.Ordinal).Any() || SharedHeld(one, other).Any();

    private static IEnumerable<ContainerFacts> SharedHeld(VolumeAsk one, VolumeAsk other) => one.Writers.Where(w => w.DoesSomething).Select(w => w.Container)
        .IntersectBy(other.Writers.Where(w => w.DoesSomething).Select(w => w.Container.Id), c => c.Id);

    private static AskedGroup Named(List<VolumeAsk> volumes)
    {
        string first = volumes[0].Step.Source.ToString();
        string[] projects = [.. volumes.SelectMany(v => v.Projects).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
        if (projects.Length == 1) return new AskedGroup(projects[0], $"compose project {projects[0]}", volumes);
        if (projects.Length > 1) return new AskedGroup(string.Join('+', projects), $"compose projects {string.Join(", ", projects)}, which share a volume or a container", volumes);
        if (volumes.Count == 1) return Alone(volumes[0]);
        IEnumerable<string> shared = volumes.SelectMany(v => volumes.Where(o => o != v).SelectMany(o => SharedHeld(v, o))).Select(c => c.Name).Distinct().Order(StringComparer.Ordinal);
        return new AskedGroup($"{first}+{volumes.Count - 1}", $"{string.Join(", ", shared)} writes to more than one of them", volumes);
    }
}
