using Backup.Environments;

namespace Backup.Policies;

/// <summary>The policy as the file says it, with defaults resolved: immutable records, one to one with the file.</summary>
/// <param name="Path">Where it was read from; relative paths inside it are resolved against its folder.</param>
public sealed record Policy(string Path, IReadOnlyList<StorePolicy> Stores, IReadOnlyList<EnvironmentPolicy> Environments)
{
    public SpoolPolicy Spool { get; init; } = new(null, null);

    /// <summary>How many groups of volumes, of different environments, are read and uploaded at a time.</summary>
    public int Streams { get; init; } = 1;
}

/// <summary>Where the bytes of held volumes wait for a slow store.</summary>
/// <param name="MaxBytes">Null = a safe share of the free disk; 0 = no spool. Never more than that share.</param>
/// <param name="Path">A directory, absolute; null = the state directory.</param>
public sealed record SpoolPolicy(long? MaxBytes, string? Path);

public abstract record StorePolicy(string Name);

/// <param name="Path">Absolute.</param>
public sealed record DirectoryStorePolicy(string Name, string Path) : StorePolicy(Name);

public enum S3Provider
{
    Generic,
    Aws,
    AliyunOss,
    TencentCos,
    Minio,
    R2,
    B2,
    Ceph,
}

public enum S3Addressing
{
    Virtual,
    Path,
    /// <summary>The endpoint's host name already stands for the bucket.</summary>
    CustomDomain,
}

/// <param name="Endpoint">Null = the provider's preset for the region.</param>
/// <param name="Prefix">Empty, or without slashes at its ends.</param>
/// <param name="Addressing">Null = the provider's preset.</param>
/// <param name="PartSize">Bytes; null = 8 MiB, more for large volumes.</param>
/// <param name="CaFile">PEM file with an own certificate authority, or null.</param>
public sealed record S3StorePolicy(
    string Name,
    S3Provider Provider,
    string? Region,
    string Bucket,
    string Prefix,
    Uri? Endpoint,
    S3Addressing? Addressing,
    Secret AccessKeyId,
    Secret SecretAccessKey,
    long? PartSize,
    string? StorageClass,
    string? CaFile) : StorePolicy(Name);

/// <param name="Schedule">Null = no schedule of its own and none in the defaults.</param>
/// <param name="Rules">First match wins, field by field; then the environment's own values, then the defaults.</param>
public sealed record EnvironmentPolicy(
    string Name,
    ConnectPolicy Connect,
    VolumePatterns Volumes,
    SchedulePolicy? Schedule,
    VolumePolicy Default,
    IReadOnlyList<RulePolicy> Rules)
{
    public VolumeGrouping Grouping { get; init; } = VolumeGrouping.Project;

    /// <summary>Groups that the policy names; each volume is in the first that matches. They are taken out of the general grouping.</summary>
    public IReadOnlyList<GroupPolicy> Groups { get; init; } = [];

    internal static readonly IReadOnlyDictionary<string, EnvironmentPolicy> NoOverrides = new Dictionary<string, EnvironmentPolicy>();

    /// <summary>What holds instead in some of the environments that this stands for, by the names that Portainer or the Swarm gives them.</summary>
    public IReadOnlyDictionary<string, EnvironmentPolicy> Overrides { get; init; } = NoOverrides;

    /// <summary>The name of the policy's entry that stands for this environment among others; null = it has an entry of its own.</summary>
    public string? Template { get; init; }

    /// <summary>Stands for all environments of a Portainer.</summary>
    public bool IsTemplate => Connect is PortainerConnectPolicy { Environment: PortainerConnectPolicy.AllEnvironments };

    /// <summary>Stands for several environments, or may: only who answers there can tell.</summary>
    public bool MayBeSeveral => Connect is { MayBeSwarm: true, Node: null };

    /// <summary>The name of the environment whose Swarm this is a node of; null = it is none.</summary>
    public string? Swarm { get; init; }

    /// <summary>It may be several, and did not answer when it was asked for which.</summary>
    public bool Silent { get; init; }
}

/// <summary>Which volumes are one point in time where the policy names no group.</summary>
public enum VolumeGrouping
{
    /// <summary>Those of one compose project, and those that share a container that is held.</summary>
    Project,
    /// <summary>Each is alone.</summary>
    Volume,
}

/// <param name="Volumes">Patterns, as in <see cref="VolumePatterns"/>.</param>
public sealed record GroupPolicy(string Name, IReadOnlyList<string> Volumes);

/// <summary>How an environment is reached.</summary>
public abstract record ConnectPolicy
{
    /// <summary>What has to be readable before it can be used.</summary>
    public virtual IEnumerable<Secret> Secrets => [];

    /// <summary>An agent may be in between, and behind it all nodes of a Swarm.</summary>
    public virtual bool MayBeSwarm => false;

    /// <summary>The one node of a Swarm that is meant; null = there is no Swarm, or all of it.</summary>
    public string? Node { get; init; }
}

/// <param name="Url"><c>unix:///path</c>, <c>tcp://host:port</c> or <c>ssh://[user@]host[:port][/path/of/the/socket]</c>.</param>
/// <param name="Tls">Null = none.</param>
public sealed record DockerConnectPolicy(Uri Url, TlsPolicy? Tls) : ConnectPolicy
{
    public override IEnumerable<Secret> Secrets => Tls?.Key is { } key ? [key] : [];
}

/// <summary>A Portainer agent, without Portainer.</summary>
/// <param name="Url"><c>https://host:port</c>.</param>
/// <param name="Secret">The agent's <c>AGENT_SECRET</c>; null = it has none.</param>
/// <param name="Key">PEM text of Portainer's own key, to which the agent belongs; null = a key of this host's own.</param>
/// <param name="Pair">An agent without a secret may be made ours.</param>
/// <param name="Limits">Where the agent's own are not the shortest; null fields say nothing.</param>
public sealed record PortainerAgentConnectPolicy(Uri Url, Secret? Secret, Secret? Key, bool Pair, TransferLimits Limits) : ConnectPolicy
{
    public override IEnumerable<Secret> Secrets => new[] { Secret, Key }.OfType<Secret>();
    public override bool MayBeSwarm => true;
}

/// <summary>An environment of a Portainer server.</summary>
/// <param name="Url"><c>https://host[:port][/path]</c>, or <c>http://</c>.</param>
/// <param name="Environment">Its name or number there; <see cref="AllEnvironments"/> = all of them.</param>
/// <param name="CaFile">PEM file of the authority that signed Portainer's certificate, or of that certificate itself; null = the system's.</param>
/// <param name="Limits">Where something before Portainer cuts earlier than an agent does; null fields say nothing.</param>
public sealed record PortainerConnectPolicy(Uri Url, Secret ApiKey, string Environment, string? CaFile, TransferLimits Limits) : ConnectPolicy
{
    public const string AllEnvironments = "*";

    public override IEnumerable<Secret> Secrets => [ApiKey];
    public override bool MayBeSwarm => true;
}

/// <param name="Ca">PEM file of the authority that signed the engine's certificate; null = the system's.</param>
/// <param name="Cert">PEM file of the client certificate; null = none.</param>
/// <param name="Key">PEM text of the client key (a secret).</param>
public sealed record TlsPolicy(string? Ca, string? Cert, Secret? Key);

/// <summary>Glob patterns (<c>*</c>, <c>?</c>). A pattern matches bind mounts only when it starts with <c>bind:</c>.</summary>
public sealed record VolumePatterns(IReadOnlyList<string> Include, IReadOnlyList<string> Exclude)
{
    public static VolumePatterns All { get; } = new(["*"], []);
}

/// <param name="Cron">Five fields.</param>
public sealed record SchedulePolicy(string Cron, TimeZoneInfo TimeZone);

/// <summary>What applies to one volume, everything resolved.</summary>
/// <param name="TimeZone">In which the retention's cron slots are read.</param>
public sealed record VolumePolicy(string Store, QuiescePolicy Quiesce, int CompressionLevel, RetentionPolicy? Retention, TimeZoneInfo TimeZone)
{
    public static readonly TimeSpan DefaultHealthTimeout = TimeSpan.FromSeconds(60);

    public DowntimePolicy Downtime { get; init; } = new(null, false, DefaultHealthTimeout);
}

/// <param name="Max">How long containers may be held for the volume; null = as long as it takes.</param>
/// <param name="Keep">What could not be read within that time is kept all the same, as inconsistent; else it fails.</param>
/// <param name="Health">How long a container may take to be healthy again after it came back.</param>
public sealed record DowntimePolicy(TimeSpan? Max, bool Keep, TimeSpan Health)
{
    /// <summary>The volume is read once before anybody is held, where the engine is on this host.</summary>
    public bool WarmUp { get; init; } = true;
}

/// <summary>The same as somebody wrote it; null fields say nothing.</summary>
/// <param name="Max"><see cref="Timeout.InfiniteTimeSpan"/> = as long as it takes.</param>
public sealed record DowntimeRule(TimeSpan? Max, bool? Keep, TimeSpan? Health)
{
    public static DowntimeRule None { get; } = new(null, null, null);

    public bool? WarmUp { get; init; }

    /// <summary>What this says, and where it says nothing, what was said before.</summary>
    public DowntimePolicy Over(DowntimePolicy general) => new(
        Max is null ? general.Max : Max == Timeout.InfiniteTimeSpan ? null : Max, Keep ?? general.Keep, Health ?? general.Health)
    {
        WarmUp = WarmUp ?? general.WarmUp,
    };
}

/// <summary>An override for volumes that match a pattern; null fields say nothing.</summary>
public sealed record RulePolicy(string Volume, string? Store, QuiescePolicy? Quiesce, int? CompressionLevel, RetentionPolicy? Retention)
{
    public DowntimeRule Downtime { get; init; } = DowntimeRule.None;
}

public enum QuiesceMode
{
    None,
    Pause,
    Stop,
}

/// <summary><c>none</c>, <c>pause</c>, <c>stop</c>, <c>auto</c>, a preset, or hooks run by exec in the containers that mount the volume writable.</summary>
/// <param name="Auto">The policy left it open: labels decide, else the image, else pause.</param>
/// <param name="Before">Command run before <paramref name="Then"/>; null = none.</param>
/// <param name="After">Command run when the containers are back.</param>
public sealed record QuiescePolicy(bool Auto, QuiesceMode Then, IReadOnlyList<string>? Before, IReadOnlyList<string>? After, TimeSpan HookTimeout)
{
    /// <summary>The database that writes to the volume is held, or dumped, in its own way; others that write to it are left to their labels. Null = none is named.</summary>
    public PresetPolicy? Preset { get; init; }

    public static readonly TimeSpan DefaultHookTimeout = TimeSpan.FromSeconds(30);
    public static QuiescePolicy Default { get; } = new(true, QuiesceMode.Pause, null, null, DefaultHookTimeout);
    public static QuiescePolicy Of(QuiesceMode mode) => new(false, mode, null, null, DefaultHookTimeout);
}

/// <param name="KeepLast">The newest N are kept.</param>
/// <param name="Keep">Slots.</param>
/// <param name="Minimum">Never fewer than this, whatever the age.</param>
public sealed record RetentionPolicy(int KeepLast, IReadOnlyList<RetentionSlot> Keep, int Minimum);

/// <summary>One slot per occurrence of the cron expression; the newest snapshot of each slot is kept, for a time or for a count of slots.</summary>
/// <param name="For">Age limit; null = none.</param>
/// <param name="Count">How many slots that hold a snapshot; null = no limit.</param>
public sealed record RetentionSlot(string Cron, CalendarSpan? For, int? Count);

/// <summary>A span as people write it: <c>14d</c>, <c>8w</c>, <c>12mo</c>, <c>2y</c>, <c>36h</c>. Months and years go by the calendar.</summary>
public sealed record CalendarSpan(string Text, int Months, TimeSpan Time)
{
    public DateTimeOffset Before(DateTimeOffset now) => now.AddMonths(-Months) - Time;
}
