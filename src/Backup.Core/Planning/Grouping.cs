using Backup.Environments;
using Backup.Policies;

namespace Backup.Planning;

/// <summary>What one source asks for, before it is known who shares its containers.</summary>
/// <param name="Step">Its own facts; who is held is still open.</param>
/// <param name="Writers">What it wants done to each running container that writes to it, also where that is nothing.</param>
/// <param name="Projects">What it belongs to: the project its label names, and those of the containers that write to it.</param>
/// <param name="AtRest">The consistency, and why, when no running container writes to it; else null.</param>
internal sealed record VolumeAsk(VolumeStep Step, IReadOnlyList<QuiesceStep> Writers, IReadOnlyList<Project> Projects, (string Consistency, string Note)? AtRest)
{
    /// <summary>Somebody is held while it is read.</summary>
    internal bool Holds => Writers.Any(w => w.DoesSomething);
}

/// <summary>A compose project, or a stack of a swarm; they may have the same name and be different things.</summary>
internal sealed record Project(string Name, bool Stack)
{
    internal static IEnumerable<Project> Of(IReadOnlyDictionary<string, string>? labels)
    {
        if (labels?.GetValueOrDefault(ContainerFacts.ProjectLabel) is { } project) yield return new Project(project, false);
        if (labels?.GetValueOrDefault(ContainerFacts.StackLabel) is { } stack) yield return new Project(stack, true);
    }
}

/// <param name="Volumes">Sorted.</param>
internal sealed record AskedGroup(string Name, string Why, IReadOnlyList<VolumeAsk> Volumes);

/// <summary>
/// Which sources are one point in time. Groups that the policy names come first; of the rest those of one compose project or stack, and those that share a container that is held for both. A source that
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
        one.Projects.Intersect(other.Projects).Any() || SharedHeld(one, other).Any();

    private static IEnumerable<QuiesceStep> SharedHeld(VolumeAsk one, VolumeAsk other) => one.Writers.Where(w => w.DoesSomething
        && other.Writers.Any(o => o.DoesSomething && (o.Holds(w.Container) || w.Holds(o.Container))));

    private static AskedGroup Named(List<VolumeAsk> volumes)
    {
        string first = volumes[0].Step.Source.ToString();
        Project[] projects = [.. volumes.SelectMany(v => v.Projects).Distinct().OrderBy(p => p.Name, StringComparer.Ordinal).ThenBy(p => p.Stack)];
        if (projects.Length > 0)
            return new AskedGroup(string.Join('+', projects.Select(p => p.Name)), string.Join(" and ", projects.GroupBy(p => p.Stack).OrderBy(g => g.Key).Select(Words))
                + (projects.Length == 1 ? "" : ", which share a volume or a container"), volumes);
        if (volumes.Count == 1) return Alone(volumes[0]);
        IEnumerable<string> shared = volumes.SelectMany(v => volumes.Where(o => o != v).SelectMany(o => SharedHeld(v, o))).Select(c => c.Name).Distinct().Order(StringComparer.Ordinal);
        return new AskedGroup($"{first}+{volumes.Count - 1}", $"{string.Join(", ", shared)} writes to more than one of them", volumes);
    }

    private static string Words(IGrouping<bool, Project> same) =>
        $"{(same.Key ? "stack" : "compose project")}{(same.Count() == 1 ? "" : "s")} {string.Join(", ", same.Select(p => p.Name))}";
}
