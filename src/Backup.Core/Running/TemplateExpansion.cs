using Backup.Environments.Connections;
using Backup.Policies;

namespace Backup.Running;

/// <param name="Name">That the policy may use.</param>
/// <param name="PortainerName">As it is called there.</param>
/// <param name="PortainerId">Its number there.</param>
public sealed record FoundEnvironment(string Name, string PortainerName, string PortainerId);

/// <summary>Puts the environments that a Portainer has now in the place of the one entry of the policy that stands for them all.</summary>
public static class TemplateExpansion
{
    /// <summary>One environment for each that can be backed up; what is left out, or meant for none, is warned of.</summary>
    /// <param name="listed">What the Portainer has.</param>
    /// <param name="written">The policy's other environments: their names are taken, and what they name in the same Portainer is theirs.</param>
    public static IReadOnlyList<EnvironmentPolicy> Expand(
        EnvironmentPolicy template, IReadOnlyList<ListedEnvironment> listed, IReadOnlyList<EnvironmentPolicy> written, RunContext context)
    {
        var connect = (PortainerConnectPolicy)template.Connect;
        var taken = new HashSet<string>(written.Select(e => e.Name).Append(template.Name), StringComparer.Ordinal);
        EnvironmentPolicy[] swarms = [.. written.Where(e => e.MayBeSeveral)];
        var expanded = new List<EnvironmentPolicy>();
        foreach (ListedEnvironment one in listed.Where(l => !written.Any(w => Names(w.Connect, connect, l))))
        {
            if (one.Unusable is { } reason)
            {
                context.Events.Report(new RunEvent.Warning($"{template.Name}: {one.Name} {reason}: it is not backed up", "Reach its engine another way, as an environment of its own in the policy."));
                continue;
            }
            EnvironmentPolicy settings = template.Overrides.GetValueOrDefault(one.Name, template);
            expanded.Add(settings with
            {
                Name = Unique(one, template.Name, taken, swarms), Connect = connect with { Environment = one.Id }, Template = template.Name, Overrides = OfNodes(template, one, listed),
            });
        }
        if (expanded.Count == 0)
            context.Events.Report(new RunEvent.Warning($"{template.Name}: this Portainer has no Docker environment left that can be backed up", "Use the API key of an administrator, who sees all of them."));
        foreach (string idle in template.Overrides.Keys.Where(k => listed.All(l => l.Name != k && !k.StartsWith(BeforeNodes(l), StringComparison.Ordinal))))
            context.Events.Report(new RunEvent.Warning($"{template.Name}: the override for \"{idle}\" is for no environment of this Portainer",
                Nearest.Hint(idle, listed.Select(l => l.Name))));
        return expanded;
    }

    /// <summary>The same names for a policy that is yet to be written.</summary>
    public static IReadOnlyList<FoundEnvironment> Name(string template, PortainerConnectPolicy connect, IReadOnlyList<ListedEnvironment> listed, RunContext context)
    {
        var entry = new EnvironmentPolicy(template, connect, VolumePatterns.All, null, new VolumePolicy("", QuiescePolicy.Default, 0, null, TimeZoneInfo.Utc), []);
        return [.. from e in Expand(entry, listed, [], context)
                   let id = ((PortainerConnectPolicy)e.Connect).Environment
                   select new FoundEnvironment(e.Name, listed.Single(l => l.Id == id).Name, id)];
    }

    /// <summary>Those for nodes of one that is a Swarm: <c>prod.worker1</c>.</summary>
    private static Dictionary<string, EnvironmentPolicy> OfNodes(EnvironmentPolicy template, ListedEnvironment one, IReadOnlyList<ListedEnvironment> listed) =>
        template.Overrides.Where(o => o.Key.StartsWith(BeforeNodes(one), StringComparison.Ordinal) && listed.All(l => l.Name != o.Key))
            .ToDictionary(o => o.Key[BeforeNodes(one).Length..], o => o.Value, StringComparer.Ordinal);

    private static string BeforeNodes(ListedEnvironment one) => one.Name + EnvironmentNames.BeforeNode;

    /// <summary>An entry of its own in the policy takes an environment out of the template.</summary>
    private static bool Names(ConnectPolicy written, PortainerConnectPolicy template, ListedEnvironment one) =>
        written is PortainerConnectPolicy own && own.Url == template.Url && (own.Environment == one.Id || string.Equals(own.Environment, one.Name, StringComparison.OrdinalIgnoreCase));

    /// <summary>Snapshots are found by it, so it must not depend on what else there is as long as Portainer's own names differ.</summary>
    private static string Unique(ListedEnvironment one, string template, HashSet<string> taken, EnvironmentPolicy[] swarms)
    {
        string plain = EnvironmentNames.Valid(one.Name);
        foreach (string name in new[] { plain, $"{template}-{plain}", $"{template}-{plain}-{one.Id}" })
            if (EnvironmentNames.Cut(name, one.Id) is var fits && !swarms.Any(s => EnvironmentNames.CanBeNode(s, fits)) && taken.Add(fits)) return fits;
        throw new BackupException($"{template}: no name is left for {one.Name} of Portainer: the policy has environments of all that it could have",
            "Give the environments of the policy other names.", FailureKind.Usage);
    }
}
