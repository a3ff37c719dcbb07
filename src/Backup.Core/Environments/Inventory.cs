namespace Backup.Environments;

/// <summary>What an environment holds at one moment: the facts that planning decides on.</summary>
public sealed record Inventory(EngineFacts Engine, IReadOnlyList<VolumeFacts> Volumes, IReadOnlyList<ContainerFacts> Containers)
{
    /// <summary>What the way to the engine leads through, for people, such as "through Portainer agent 2.23.0"; empty = nothing.</summary>
    public string Through { get; init; } = "";

    /// <summary>The engine is on this host.</summary>
    public bool Local { get; init; }

    /// <summary>What may be missing from these facts, and other things to know before they are used.</summary>
    public IReadOnlyList<Remark> Remarks { get; init; } = [];

    /// <summary>The swarm whose tasks run here; null where none does.</summary>
    public SwarmFacts? Swarm { get; init; }
}

/// <param name="Nodes">How many the swarm has; null = not known.</param>
/// <param name="Unread">Why its services cannot be read from here, such as "this node is not a manager of the swarm"; null = they are all in <paramref name="Services"/>.</param>
public sealed record SwarmFacts(int? Nodes, IReadOnlyList<ServiceFacts> Services, string? Unread = null);

public enum ServiceMode
{
    Replicated,
    /// <summary>One task on each node.</summary>
    Global,
    /// <summary>Its tasks come to an end.</summary>
    Job,
}

/// <summary>A service of a swarm, as a manager tells it.</summary>
/// <param name="Replicas">How many tasks it is to have, on all nodes together; 0 where the mode has no such count.</param>
/// <param name="RunningTasks">How many run, on all nodes together; one with a health check runs when it is healthy.</param>
public sealed record ServiceFacts(string Id, string Name, ServiceMode Mode, long Replicas, long RunningTasks)
{
    /// <summary>An update or rollback of it is under way, or stopped half way.</summary>
    public bool Updating { get; init; }

    /// <summary>A placement constraint says on which nodes its tasks may run.</summary>
    public bool Constrained { get; init; }
}

/// <param name="Id">The engine's own id (<c>/info.ID</c>).</param>
/// <param name="HostName"><c>/info.Name</c>.</param>
/// <param name="Version">Engine version, such as 20.10.24.</param>
/// <param name="ApiVersion">The API version this connection negotiated, such as 1.41.</param>
public sealed record EngineFacts(string Id, string HostName, string Version, string ApiVersion, string OperatingSystem, string Architecture);

/// <param name="Options">Driver options, for <c>local</c> e.g. type, device, o.</param>
/// <param name="Anonymous">A name of 64 hex digits or the engine's own label says so.</param>
public sealed record VolumeFacts(
    string Name,
    string Driver,
    IReadOnlyDictionary<string, string> Options,
    IReadOnlyDictionary<string, string> Labels,
    string Scope,
    bool Anonymous);

/// <param name="Id">Full id, 64 hex digits.</param>
/// <param name="Name">Without the leading slash.</param>
/// <param name="Image">The image as the container was told, such as <c>postgres:16</c>.</param>
/// <param name="ImageId">Image id (<c>sha256:…</c>).</param>
/// <param name="ImageDigest">Repository digest (<c>postgres@sha256:…</c>) when the engine knows one.</param>
/// <param name="State">created, running, paused, restarting, removing, exited or dead.</param>
/// <param name="StartedAt">The engine's own text of <c>State.StartedAt</c>, compared only for equality.</param>
/// <param name="AutoRemove">A stop would delete this container.</param>
/// <param name="StopTimeoutSeconds">Null = the engine's default of 10 s.</param>
public sealed record ContainerFacts(
    string Id,
    string Name,
    string Image,
    string ImageId,
    string? ImageDigest,
    string State,
    string StartedAt,
    bool AutoRemove,
    int? StopTimeoutSeconds,
    IReadOnlyDictionary<string, string> Labels,
    IReadOnlyList<MountFacts> Mounts)
{
    /// <summary>Our own requests pass through it: it is never paused or stopped.</summary>
    public bool CarriesConnection { get; init; }

    /// <summary>Ids or names of the containers whose network, pid or ipc namespace it lives in.</summary>
    public IReadOnlyList<string> SharesWith { get; init; } = [];

    /// <summary>starting, healthy or unhealthy; null without a health check.</summary>
    public string? Health { get; init; }

    /// <summary>Of its last end.</summary>
    public int ExitCode { get; init; }

    /// <summary>Its last end came when its memory was over.</summary>
    public bool OutOfMemory { get; init; }

    public bool Running => State is "running" or "restarting";
    public string? ComposeProject => Labels.GetValueOrDefault(ProjectLabel);
    public string? ComposeService => Labels.GetValueOrDefault("com.docker.compose.service");
    public string? ComposeNumber => Labels.GetValueOrDefault("com.docker.compose.container-number");
    public bool SwarmTask => Labels.ContainsKey(TaskLabel);
    /// <summary>The id of the service that it is a task of.</summary>
    public string? ServiceId => Labels.GetValueOrDefault(ServiceLabel);
    public string? ServiceName => Labels.GetValueOrDefault("com.docker.swarm.service.name");
    /// <summary>A helper of ours carries this label; its value is the id of the run that made it.</summary>
    public string? HelperOfRun => Labels.GetValueOrDefault(HelperLabel);
    public const string HelperLabel = "backup.helper.run";
    /// <summary>Compose puts it on containers and volumes alike.</summary>
    public const string ProjectLabel = "com.docker.compose.project";
    /// <summary>What <c>docker stack deploy</c> puts on containers and volumes alike.</summary>
    public const string StackLabel = "com.docker.stack.namespace";
    internal const string TaskLabel = "com.docker.swarm.task.id", ServiceLabel = "com.docker.swarm.service.id";
}

/// <summary>A container as a list shows it.</summary>
public sealed record ContainerSight(string Id, string Name, string State, IReadOnlyDictionary<string, string> Labels, IReadOnlyList<MountFacts> Mounts)
{
    public bool Running => State is "running" or "restarting";
    public bool Helper => Labels.ContainsKey(ContainerFacts.HelperLabel);
    /// <summary>The id of the service that it is a task of.</summary>
    public string? ServiceId => Labels.GetValueOrDefault(ContainerFacts.ServiceLabel);
}

/// <param name="Kind"><c>volume</c>, <c>bind</c>, <c>tmpfs</c>, … as the engine names it.</param>
/// <param name="Source">Volume name, or host path of a bind.</param>
/// <param name="Destination">Path inside the container.</param>
public sealed record MountFacts(string Kind, string Source, string Destination, bool Writable);
