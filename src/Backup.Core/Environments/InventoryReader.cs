using System.Collections.Concurrent;

namespace Backup.Environments;

/// <summary>Reads an engine's answers into the facts that planning decides on.</summary>
internal sealed class InventoryReader(DockerApi api, SwarmServices services)
{
    /// <summary>Inspections at a time; more would only make a small host busy.</summary>
    private const int Parallel = 4;

    private const string AnonymousLabel = "com.docker.volume.anonymous";

    private readonly ConcurrentDictionary<string, IReadOnlyList<string>> _digests = new();

    internal async Task<Inventory> ReadAsync(CancellationToken cancel)
    {
        Route route = await api.Http.RouteAsync(cancel).ConfigureAwait(false);
        InfoAnswer info = await api.InfoAsync(cancel).ConfigureAwait(false);
        EngineFacts engine = await EngineAsync(route.Node, info, cancel).ConfigureAwait(false);
        IReadOnlyList<VolumeAnswer> volumes = await VolumesAsync(route, cancel).ConfigureAwait(false);
        IReadOnlyList<ContainerItem> items = await api.ContainersAsync(cancel).ConfigureAwait(false);
        // Of a node's containers nobody tells the number.
        int hidden = route is { ThroughServer: true, Node: null } ? await HiddenAsync(info, items, cancel).ConfigureAwait(false) : 0;
        SwarmFacts? swarm = items.Any(i => i.Labels?.ContainsKey(ContainerFacts.TaskLabel) == true) ? await services.ReadAsync(info, cancel).ConfigureAwait(false) : null;
        var containers = new ContainerFacts?[items.Count];
        await System.Threading.Tasks.Parallel.ForAsync(0, items.Count, new ParallelOptions { MaxDegreeOfParallelism = Parallel, CancellationToken = cancel },
            async (i, token) => containers[i] = await ContainerAsync(items[i].Id, token).ConfigureAwait(false)).ConfigureAwait(false);
        return new Inventory(
            engine,
            [.. volumes.Select(Facts).OrderBy(v => v.Name, StringComparer.Ordinal)],
            [.. containers.OfType<ContainerFacts>().OrderBy(c => c.Name, StringComparer.Ordinal)])
        {
            Through = route.Through,
            Swarm = swarm,
            Local = route.Local,
            Remarks = hidden == 0 ? route.Remarks
                : [.. route.Remarks, new Remark($"Portainer hides {hidden} of the engine's containers from this API key: volumes that they use look unused, and are read while they write",
                    "Use the API key of an administrator, and remove the labels under Settings, Hidden containers, in Portainer; or reach the engine another way.")],
        };
    }

    internal async Task<IReadOnlyList<ContainerSight>> SightsAsync(CancellationToken cancel) =>
    [
        .. (await api.ContainersAsync(cancel).ConfigureAwait(false)).Select(c => new ContainerSight(
            c.Id, (c.Names?.FirstOrDefault() ?? c.Id).TrimStart('/'), c.State ?? "", c.Labels ?? Empty, [.. (c.Mounts ?? []).Select(Facts)])),
    ];

    /// <summary>Null when there is none, also when it vanished a moment ago.</summary>
    internal async Task<ContainerFacts?> ContainerAsync(string idOrName, CancellationToken cancel)
    {
        if (await api.FindContainerAsync(idOrName, cancel).ConfigureAwait(false) is not { } c) return null;
        string image = c.Config?.Image ?? c.Image ?? "";
        string imageId = c.Image ?? "";
        Route route = await api.Http.RouteAsync(cancel).ConfigureAwait(false);
        return new ContainerFacts(
            c.Id,
            (c.Name ?? c.Id).TrimStart('/'),
            image,
            imageId,
            await DigestAsync(image, imageId, cancel).ConfigureAwait(false),
            c.State?.Status ?? "created",
            c.State?.StartedAt ?? "",
            c.HostConfig?.AutoRemove ?? false,
            c.Config?.StopTimeout,
            c.Config?.Labels ?? Empty,
            [.. (c.Mounts ?? []).Select(Facts)])
        {
            CarriesConnection = route.ThroughPortainer && (c.IsPortainer == true || IsPortainerImage(image)),
            SharesWith = [.. new[] { c.HostConfig?.NetworkMode, c.HostConfig?.PidMode, c.HostConfig?.IpcMode }.Select(Shared).OfType<string>().Distinct(StringComparer.Ordinal)],
            Health = c.State?.Health?.Status is { } health and not ("none" or "") ? health : null,
            ExitCode = c.State?.ExitCode ?? 0,
            OutOfMemory = c.State?.OutOfMemory ?? false,
        };
    }

    /// <summary>The container in <c>container:ID</c>; null for every other mode.</summary>
    private static string? Shared(string? mode)
    {
        const string Prefix = "container:";
        return mode?.StartsWith(Prefix, StringComparison.Ordinal) == true ? mode[Prefix.Length..].TrimStart('/') : null;
    }

    /// <summary>portainer/portainer-ce, portainer/agent and the like, from whatever registry.</summary>
    internal static bool IsPortainerImage(string image)
    {
        string[] path = image.Split('@')[0].Split('/');
        return path.Length >= 2 && path[^2] == "portainer"
            && (path[^1].StartsWith("portainer", StringComparison.Ordinal) || path[^1].StartsWith("agent", StringComparison.Ordinal));
    }

    internal static VolumeFacts Facts(VolumeAnswer v) => new(
        v.Name,
        v.Driver ?? "local",
        v.Options ?? Empty,
        v.Labels ?? Empty,
        v.Scope ?? "local",
        v.Labels?.ContainsKey(AnonymousLabel) == true || (v.Name.Length == 64 && v.Name.All(char.IsAsciiHexDigitLower)));

    private static MountFacts Facts(MountAnswer m)
    {
        string kind = m.Type ?? "";
        return new MountFacts(kind, (kind == "volume" ? m.Name : m.Source) ?? "", m.Destination ?? "", m.Writable ?? true);
    }

    private static IReadOnlyDictionary<string, string> Empty { get; } = new Dictionary<string, string>();

    /// <summary>How many containers a list leaves out. Looks twice: a container may come or go between two questions.</summary>
    private async Task<int> HiddenAsync(InfoAnswer info, IReadOnlyList<ContainerItem> listed, CancellationToken cancel)
    {
        if (info.Containers is not { } before || before <= listed.Count) return 0;
        int again = (await api.ContainersAsync(cancel).ConfigureAwait(false)).Count;
        return Math.Max(0, Math.Min(before - listed.Count, ((await api.InfoAsync(cancel).ConfigureAwait(false)).Containers ?? 0) - again));
    }

    /// <summary>
    /// In a Swarm two agents that are asked at once may be mistaken for each other, and a name is there twice on two nodes: a list only says what to ask
    /// the node for. What it cannot be asked for it has, by the list.
    /// </summary>
    private async Task<IReadOnlyList<VolumeAnswer>> VolumesAsync(Route route, CancellationToken cancel)
    {
        IReadOnlyList<VolumeAnswer> listed = await api.VolumesAsync(cancel).ConfigureAwait(false);
        if (route.Node is null) return listed;
        var seen = new VolumeAnswer?[listed.Count];
        await System.Threading.Tasks.Parallel.ForAsync(0, listed.Count, new ParallelOptions { MaxDegreeOfParallelism = Parallel, CancellationToken = cancel },
            async (i, token) => seen[i] = DockerApi.CanFindVolume(route, listed[i].Name) ? await api.FindVolumeAsync(listed[i].Name, token).ConfigureAwait(false) : listed[i])
            .ConfigureAwait(false);
        return [.. seen.OfType<VolumeAnswer>()];
    }

    /// <param name="node">Null = there is no Swarm; else <paramref name="info"/> is that of one of its managers.</param>
    private async Task<EngineFacts> EngineAsync(SwarmNode? node, InfoAnswer info, CancellationToken cancel)
    {
        Version version = await api.VersionAsync(cancel).ConfigureAwait(false);
        if (string.Equals(node?.OperatingSystem ?? info.OsType, "windows", StringComparison.OrdinalIgnoreCase))
            throw new EnvironmentException(api.Http.Environment, $"the engine at {api.Http.Display} runs Windows containers, which are not supported",
                "use an engine that runs Linux containers");
        if (node is not null) return new EngineFacts(node.Id, node.Name, node.EngineVersion, version.ToString(), node.OperatingSystem, node.Architecture);
        return new EngineFacts(info.Id ?? "", info.Name ?? "", info.ServerVersion ?? "", version.ToString(), info.OperatingSystem ?? "", info.Architecture ?? "");
    }

    /// <summary>The repository digest of the image, of the repository that the container was told where the engine knows several.</summary>
    private async Task<string?> DigestAsync(string image, string imageId, CancellationToken cancel)
    {
        if (imageId.Length == 0) return null;
        if (!_digests.TryGetValue(imageId, out IReadOnlyList<string>? digests))
        {
            // An image may be gone while its container still runs.
            digests = (await api.FindImageAsync(imageId, cancel).ConfigureAwait(false))?.RepoDigests ?? [];
            _digests[imageId] = digests;
        }
        string repository = image.Split('@')[0];
        int colon = repository.LastIndexOf(':');
        if (colon > repository.LastIndexOf('/')) repository = repository[..colon];
        return digests.FirstOrDefault(d => d.StartsWith(repository + "@", StringComparison.Ordinal)) ?? digests.FirstOrDefault();
    }
}
