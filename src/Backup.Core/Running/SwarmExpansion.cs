using Backup.Environments.Connections;
using Backup.Policies;

namespace Backup.Running;

/// <summary>Puts the nodes of a Swarm in the place of the environment that its agents stand before: a volume there is a name on a node.</summary>
public static class SwarmExpansion
{
    /// <summary>What of a node's id tells it from others.</summary>
    private const int IdLength = 8;

    /// <summary>One environment for each node, also for one that cannot be reached; what is left out, or meant for none, is warned of.</summary>
    /// <param name="nodes">Null = there is no Swarm: the environment is as it was.</param>
    /// <param name="written">The policy's environments: their names are taken.</param>
    public static IReadOnlyList<EnvironmentPolicy> Expand(
        EnvironmentPolicy environment, IReadOnlyList<ListedNode>? nodes, IReadOnlyList<EnvironmentPolicy> written, RunContext context)
    {
        foreach (string idle in environment.Overrides.Keys.Where(k => nodes?.All(n => n.Name != k) != false))
            context.Events.Report(nodes is null
                ? new RunEvent.Warning($"{environment.Name}: the override for \"{idle}\" is for no node: there is one engine, and no Swarm", "Remove it.")
                : new RunEvent.Warning($"{environment.Name}: the override for \"{idle}\" is for no node of this Swarm", Nearest.Hint(idle, nodes.Select(n => n.Name))));
        if (nodes is null) return [environment with { Overrides = EnvironmentPolicy.NoOverrides }];

        var taken = new HashSet<string>(written.Select(e => e.Name), StringComparer.Ordinal);
        // Also what a node of another one could be called.
        EnvironmentPolicy[] deeper = [.. written.Where(e => e.MayBeSeveral && EnvironmentNames.CanBeNode(environment, e.Name))];
        var expanded = new List<EnvironmentPolicy>();
        foreach (ListedNode node in nodes)
        {
            if (node.LeftOut is { } reason)
            {
                context.Events.Report(new RunEvent.Warning($"{environment.Name}: {reason}: it is not backed up", $"When its volumes are needed, on a manager: docker node update --availability active {node.Id}"));
                continue;
            }
            EnvironmentPolicy settings = environment.Overrides.GetValueOrDefault(node.Name, environment);
            expanded.Add(settings with
            {
                Name = Name(node), Connect = environment.Connect with { Node = node.Name }, Template = environment.Template ?? environment.Name, Swarm = environment.Name,
                Overrides = EnvironmentPolicy.NoOverrides,
            });
        }
        return expanded;

        string Name(ListedNode node)
        {
            string id = node.Id[..Math.Min(IdLength, node.Id.Length)], name = EnvironmentNames.Cut($"{environment.Name}{EnvironmentNames.BeforeNode}{EnvironmentNames.Valid(node.Name)}", id);
            if (!deeper.Any(d => EnvironmentNames.CanBeNode(d, name)) && taken.Add(name)) return name;
            taken.Add(name = EnvironmentNames.Cut($"{name}-{id}", id));
            return name;
        }
    }
}
