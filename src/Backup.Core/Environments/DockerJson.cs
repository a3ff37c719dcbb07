using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;

namespace Backup.Environments;

// What is read from and sent to the Docker Engine API, member names as on the wire. Members that we do not use are left out: the engine's
// answers grow with every version, so unlike in our own files unknown members are no error, and almost every member may be missing.

internal sealed record VersionAnswer(string? ApiVersion, [property: JsonPropertyName("MinAPIVersion")] string? MinApiVersion, string? Version, string? Os);

internal sealed record InfoAnswer(
    [property: JsonPropertyName("ID")] string? Id, string? Name, string? ServerVersion,
    string? OperatingSystem, [property: JsonPropertyName("OSType")] string? OsType, string? Architecture, int? Containers,
    SwarmAnswer? Swarm);

/// <param name="Nodes">Only a manager tells it.</param>
internal sealed record SwarmAnswer(int? Nodes);

internal sealed record VolumeList(IReadOnlyList<VolumeAnswer>? Volumes);

/// <param name="Mountpoint">On the engine's host.</param>
internal sealed record VolumeAnswer(
    string Name, string? Driver, IReadOnlyDictionary<string, string>? Options, IReadOnlyDictionary<string, string>? Labels, string? Scope,
    PortainerMark? Portainer = null, string? Mountpoint = null);

/// <summary>What Portainer adds to an engine's answers: a server who may use it; an agent, in a list that is joined of all nodes, where it is.</summary>
internal sealed record PortainerMark(ResourceControlAnswer? ResourceControl, AgentMark? Agent);

internal sealed record AgentMark(string? NodeName);

/// <summary>Portainer's record of who may use a volume; it is lost with the volume, and a new volume gets one for its maker alone.</summary>
internal sealed record ResourceControlAnswer(
    IReadOnlyList<UserAccessAnswer>? UserAccesses, IReadOnlyList<JsonElement>? TeamAccesses, bool? Public, bool? AdministratorsOnly, bool? System)
{
    internal bool IsOnlyFor(int? user) => user is not null && TeamAccesses is null or { Count: 0 } && Public != true && AdministratorsOnly != true && System != true
        && UserAccesses is [{ UserId: var only }] && only == user;
}

internal sealed record UserAccessAnswer(int? UserId);

internal sealed record VolumeRequest(
    string Name, string Driver, IReadOnlyDictionary<string, string> DriverOpts, IReadOnlyDictionary<string, string> Labels);

/// <param name="ImageId">Of the image it was made from.</param>
internal sealed record ContainerItem(
    string Id, IReadOnlyList<string>? Names, string? Image, [property: JsonPropertyName("ImageID")] string? ImageId, string? State,
    IReadOnlyDictionary<string, string>? Labels, IReadOnlyList<MountAnswer>? Mounts, PortainerMark? Portainer = null);

/// <param name="Image">The image's id; the name that was asked for is in <paramref name="Config"/>.</param>
/// <param name="IsPortainer">Portainer's word for its own container, where it is in between.</param>
internal sealed record ContainerAnswer(
    string Id, string? Name, string? Image, ContainerConfig? Config, ContainerState? State, ContainerHostConfig? HostConfig,
    IReadOnlyList<MountAnswer>? Mounts, bool? IsPortainer);

internal sealed record ContainerConfig(string? Image, IReadOnlyDictionary<string, string>? Labels, int? StopTimeout);

internal sealed record ContainerState(string? Status, string? StartedAt, int? ExitCode, string? Error, HealthState? Health,
    [property: JsonPropertyName("OOMKilled")] bool? OutOfMemory = null);

/// <param name="Status">none, starting, healthy or unhealthy.</param>
internal sealed record HealthState(string? Status);

/// <summary>A mode is <c>container:ID</c> where the namespace is that of another container.</summary>
internal sealed record ContainerHostConfig(bool? AutoRemove, string? NetworkMode, string? PidMode, string? IpcMode);

internal sealed record MountAnswer(
    string? Type, string? Name, string? Source, string? Destination, [property: JsonPropertyName("RW")] bool? Writable);

internal sealed record ImageAnswer(string Id, IReadOnlyList<string>? RepoTags, IReadOnlyList<string>? RepoDigests, PortainerMark? Portainer = null);

/// <summary>What takes space on an engine. Engines name the parts differently (API 1.52, 1.53, Podman); of each pair one is there.</summary>
internal sealed record DiskUsageAnswer(
    IReadOnlyList<JsonElement>? Volumes, DiskUsagePart? VolumeUsage, DiskUsagePart? VolumesUsage, DiskUsagePart? VolumesDiskUsage,
    IReadOnlyList<JsonElement>? Containers, DiskUsagePart? ContainerUsage, DiskUsagePart? ContainersUsage, DiskUsagePart? ContainersDiskUsage);

internal sealed record DiskUsagePart(IReadOnlyList<JsonElement>? Items);

internal sealed record ContainerRequest(
    string Image, IReadOnlyList<string> Cmd, IReadOnlyDictionary<string, string> Labels, HostConfigRequest HostConfig,
    IReadOnlyList<string>? Entrypoint = null, string? User = null);

internal sealed record HostConfigRequest(
    IReadOnlyList<MountRequest> Mounts, LogConfigRequest LogConfig, IReadOnlyList<string>? Binds = null, string NetworkMode = "none");

internal sealed record LogConfigRequest(string Type, IReadOnlyDictionary<string, string>? Config = null);

internal sealed record MountRequest(string Type, string Source, string Target, bool ReadOnly, VolumeOptionsRequest? VolumeOptions = null);

internal sealed record VolumeOptionsRequest(bool NoCopy, IReadOnlyDictionary<string, string> Labels);

internal sealed record IdAnswer(string Id);

/// <param name="Spec">Goes back as it came, but for what is to change: it grows with every version of the engine.</param>
internal sealed record ServiceAnswer(
    [property: JsonPropertyName("ID")] string Id, ServiceVersion Version, JsonObject Spec, ServiceUpdate? UpdateStatus, ServiceTasks? ServiceStatus);

/// <param name="Index">An update has to name it, and is refused when it is not the newest.</param>
internal sealed record ServiceVersion(ulong Index);

/// <param name="State">updating, paused, completed, rollback_started, rollback_paused or rollback_completed.</param>
internal sealed record ServiceUpdate(string? State);

internal sealed record ServiceTasks(long? RunningTasks);

internal sealed record ExecRequest(
    IReadOnlyList<string> Cmd, bool AttachStdin, bool AttachStdout, bool AttachStderr, bool Tty, IReadOnlyList<string>? Env);

internal sealed record ExecStartRequest(bool Detach, bool Tty);

internal sealed record ExecState(bool? Running, int? ExitCode);

internal sealed record ErrorAnswer([property: JsonPropertyName("message")] string? Message);

/// <summary>One line of a progress stream; an error arrives here, under status 200.</summary>
internal sealed record ProgressLine([property: JsonPropertyName("error")] string? Error, [property: JsonPropertyName("status")] string? Status);

/// <param name="Mode">As Go's <c>os.FileMode</c>: permissions in the low nine bits, and bits for the types below.</param>
/// <param name="LinkTarget">Where a symlink leads in the end, seen from inside the container.</param>
internal sealed record PathStat(
    [property: JsonPropertyName("name")] string? Name, [property: JsonPropertyName("mode")] uint Mode,
    [property: JsonPropertyName("linkTarget")] string? LinkTarget)
{
    private const uint DirectoryBit = 1u << 31;
    private const uint SymlinkBit = 1u << 27;
    private const uint SocketBit = 1u << 24;
    private const uint AnyExecuteBit = 0b001_001_001;

    internal bool IsDirectory => (Mode & DirectoryBit) != 0;
    internal bool IsSymlink => (Mode & SymlinkBit) != 0;
    internal bool IsSocket => (Mode & SocketBit) != 0;
    internal bool IsExecutable => !IsDirectory && !IsSymlink && (Mode & AnyExecuteBit) != 0;
}

/// <summary>What a Portainer agent tells of a file when it lists a directory.</summary>
/// <param name="Dir">False also for a link to a directory.</param>
/// <param name="ModTime">Seconds since 1970.</param>
internal sealed record BrowsedFile(string Name, long Size, bool Dir, long ModTime);

[JsonSourceGenerationOptions(DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, UnmappedMemberHandling = JsonUnmappedMemberHandling.Skip)]
[JsonSerializable(typeof(VersionAnswer))]
[JsonSerializable(typeof(InfoAnswer))]
[JsonSerializable(typeof(VolumeList))]
[JsonSerializable(typeof(VolumeAnswer))]
[JsonSerializable(typeof(VolumeRequest))]
[JsonSerializable(typeof(ContainerItem[]))]
[JsonSerializable(typeof(ContainerAnswer))]
[JsonSerializable(typeof(ImageAnswer))]
[JsonSerializable(typeof(ImageAnswer[]))]
[JsonSerializable(typeof(ContainerRequest))]
[JsonSerializable(typeof(IdAnswer))]
[JsonSerializable(typeof(ServiceAnswer[]))]
[JsonSerializable(typeof(JsonObject))]
[JsonSerializable(typeof(ExecRequest))]
[JsonSerializable(typeof(ExecStartRequest))]
[JsonSerializable(typeof(ExecState))]
[JsonSerializable(typeof(ErrorAnswer))]
[JsonSerializable(typeof(ProgressLine))]
[JsonSerializable(typeof(DiskUsageAnswer))]
[JsonSerializable(typeof(PathStat))]
[JsonSerializable(typeof(BrowsedFile[]))]
[JsonSerializable(typeof(Dictionary<string, string[]>))]
internal sealed partial class DockerJson : JsonSerializerContext;
