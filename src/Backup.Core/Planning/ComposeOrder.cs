using Backup.Environments;

namespace Backup.Planning;

/// <summary>The order in which containers are held back: those that depend on others first, else by name.</summary>
internal static class ComposeOrder
{
    private const string DependsOnLabel = "com.docker.compose.depends_on";

    internal static IReadOnlyList<ContainerFacts> DependentsFirst(IEnumerable<ContainerFacts> containers)
    {
        List<ContainerFacts> rest = [.. containers.OrderBy(c => c.Name, StringComparer.Ordinal)];
        var order = new List<ContainerFacts>(rest.Count);
        while (rest.Count > 0)
        {
            // In a circle of dependencies nobody is free; the first by name goes then.
            ContainerFacts next = rest.Find(c => !rest.Any(other => other != c && DependsOn(other, c))) ?? rest[0];
            rest.Remove(next);
            order.Add(next);
        }
        return order;
    }

    /// <summary>The label is <c>service:condition:restart,…</c>; older versions of compose wrote only the service.</summary>
    private static bool DependsOn(ContainerFacts container, ContainerFacts on) =>
        container.ComposeProject is { } project && project == on.ComposeProject && on.ComposeService is { } service &&
        container.Labels.TryGetValue(DependsOnLabel, out string? text) &&
        text.Split(',', StringSplitOptions.TrimEntries).Any(d => d.Split(':')[0] == service);
}
