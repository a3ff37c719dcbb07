using System.Text.Json;

namespace Backup.Environments;

/// <summary>
/// What one node of a Swarm has of a list. An agent on another node joins the lists of all nodes, and leaves out, without a word, a node that does not
/// answer in time or whose engine refuses.
/// </summary>
internal sealed class NodeLists(DockerHttp http)
{
    internal Task<IReadOnlyList<VolumeAnswer>> VolumesAsync(IReadOnlyList<VolumeAnswer> listed, CancellationToken cancel) =>
        OwnAsync(listed, v => v.Portainer, v => v.Name, "volumes", d => [d.Volumes, d.VolumeUsage?.Items, d.VolumesUsage?.Items, d.VolumesDiskUsage?.Items], cancel);

    internal Task<IReadOnlyList<ContainerItem>> ContainersAsync(IReadOnlyList<ContainerItem> listed, CancellationToken cancel) =>
        OwnAsync(listed, c => c.Portainer, c => c.Id, "containers", d => [d.Containers, d.ContainerUsage?.Items, d.ContainersUsage?.Items, d.ContainersDiskUsage?.Items], cancel);

    /// <summary>None at all is not looked into: an image that is not seen is not borrowed.</summary>
    internal async Task<IReadOnlyList<ImageAnswer>> ImagesAsync(IReadOnlyList<ImageAnswer> listed, CancellationToken cancel) =>
        await NodeAsync(cancel).ConfigureAwait(false) is { } node ? Own(listed, i => i.Portainer, i => i.Id, node) : listed;

    private async Task<IReadOnlyList<T>> OwnAsync<T>(
        IReadOnlyList<T> listed, Func<T, PortainerMark?> mark, Func<T, string> key, string what,
        Func<DiskUsageAnswer, IReadOnlyList<JsonElement>?[]> used, CancellationToken cancel)
    {
        if (await NodeAsync(cancel).ConfigureAwait(false) is not { } node) return listed;
        IReadOnlyList<T> own = Own(listed, mark, key, node);
        if (own.Count > 0) return own;
        // Only this is not joined, and goes to the node alone.
        DiskUsageAnswer usage = await http.GetAsync($"system/df?type={what[..^1]}&verbose=1", DockerJson.Default.DiskUsageAnswer,
            $"make sure that node {node} has no {what}", cancel).ConfigureAwait(false);
        int there = used(usage).Max(part => part?.Count ?? 0);
        return there == 0 ? own : throw new EnvironmentException(http.Environment,
            $"cannot list the {what}: the agents of the Swarm leave node {node} out of the list, although it has {there}",
            $"see the log of the agent on {node}, and whether the agents on the other nodes reach it on port 9001");
    }

    private async Task<string?> NodeAsync(CancellationToken cancel) => (await http.RouteAsync(cancel).ConfigureAwait(false)).Node?.Name;

    /// <summary>Without a mark it is the node's own agent that answered. What two nodes share the address of may come twice.</summary>
    private static IReadOnlyList<T> Own<T>(IReadOnlyList<T> listed, Func<T, PortainerMark?> mark, Func<T, string> key, string node) =>
        [.. listed.Where(i => (mark(i)?.Agent?.NodeName ?? node) == node).DistinctBy(key, StringComparer.Ordinal)];
}
