using Backup.Environments;

namespace Backup.Snapshots;

/// <summary>
/// What a restore on a bare new host needs to know besides the bytes. Known before the read, except <see cref="Quiesce"/>, which is complete only
/// after the containers are back. Serialised into the manifest as it stands.
/// </summary>
/// <param name="Volume">Null for a bind mount. Password-like driver options are replaced by <see cref="Redacted"/>.</param>
/// <param name="ToolVersion">Version of the program that made it.</param>
/// <param name="RunId">The run that made it.</param>
public sealed record SnapshotRecord(
    string Id,
    string Environment,
    string Source,
    DateTimeOffset TakenAt,
    VolumeFacts? Volume,
    IReadOnlyList<ConsumerRecord> Consumers,
    EngineFacts Engine,
    QuiesceRecord Quiesce,
    string ToolVersion,
    string RunId)
{
    public const string Redacted = "(left out: a secret)";

    /// <summary>How it was dumped; null for volumes and bind mounts.</summary>
    public DumpRecord? Dump { get; init; }
}

/// <summary>What a later load has to know about a dump.</summary>
/// <param name="Preset">Such as <c>postgres</c>.</param>
/// <param name="FileName">Of the dump as one file.</param>
/// <param name="Method">How it was made, for people.</param>
/// <param name="Format"><c>plain</c> or <c>custom</c>.</param>
/// <param name="User">As the policy said; null = by the image's own variables.</param>
/// <param name="PasswordFile">A path inside the container, as the policy said.</param>
/// <param name="Databases">Empty = all.</param>
public sealed record DumpRecord(
    string Preset, string FileName, string Method, string Format, string? User, string? PasswordFile, IReadOnlyList<string> Databases, IReadOnlyList<string> Files)
{
    /// <summary>What the database held, counted by tables or the like, before the dump and after it alike: such as <c>3 tables and views in database shop</c>, or <c>empty</c>.
    /// Null = it changed meanwhile, or cannot be told.</summary>
    public string? Held { get; init; }
}

/// <summary>A container that mounts the source.</summary>
public sealed record ConsumerRecord(
    string Container,
    string Id,
    string Image,
    string ImageId,
    string? ImageDigest,
    string? ComposeProject,
    string? ComposeService,
    string Destination,
    bool Writable);

/// <param name="Consistency">none, pause, stop or hook: what held during the whole read.</param>
/// <param name="DowntimeSeconds">The longest window of any one container; 0 when nothing was held.</param>
public sealed record QuiesceRecord(string Consistency, double DowntimeSeconds, IReadOnlyList<QuiesceWindow> Windows);

/// <param name="How">pause, stop or hook.</param>
public sealed record QuiesceWindow(string Container, string How, DateTimeOffset From, DateTimeOffset Until);
