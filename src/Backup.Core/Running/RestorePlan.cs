using Backup.Environments;
using Backup.Planning;
using Backup.Snapshots;

namespace Backup.Running;

/// <param name="Snapshot">An id, a prefix, <c>ENV/VOLUME</c> or <c>ENV/VOLUME@TIME</c>.</param>
/// <param name="ToEnvironment">Null = the snapshot's own.</param>
/// <param name="AsVolume">Null = the snapshot's own name. For a dump, the container whose database takes it.</param>
/// <param name="Paths">Only these and what is below them; empty = everything.</param>
/// <param name="OutputDirectory">Extract here instead of into an environment; <c>-</c> = a tar, or the dump as it is, to standard output.</param>
/// <param name="Overwrite">Replace what is there, and stop the containers that use it meanwhile.</param>
public sealed record RestoreRequest(
    string Snapshot, string? ToEnvironment, string? AsVolume, IReadOnlyList<string> Paths, string? OutputDirectory, bool Overwrite);

/// <summary>What a restore will do: the object that is shown is the object that is executed.</summary>
/// <param name="EnvironmentName">Null when it goes to a directory.</param>
/// <param name="Creates">The volume that will be created; null when the target is there already.</param>
/// <param name="Quiesce">Containers that are stopped meanwhile.</param>
/// <param name="HowEmptied">How the old content goes; null when there is none or only paths are restored.</param>
/// <param name="Entries">Null = everything.</param>
/// <param name="Files">Entries that are not directories.</param>
/// <param name="Bytes">Bytes of content.</param>
/// <param name="Notes">What the user should know before it happens.</param>
public sealed record RestorePlan(
    Snapshot Snapshot,
    SnapshotRecord Record,
    string? EnvironmentName,
    SourceRef? Target,
    VolumeFacts? Creates,
    IReadOnlyList<QuiesceStep> Quiesce,
    string? HowEmptied,
    IReadOnlyList<FileEntry>? Entries,
    long Files,
    long Bytes,
    string? OutputDirectory,
    bool Overwrite,
    IReadOnlyList<string> Notes)
{
    public bool CreatesVolume => Creates is not null;

    /// <summary>Set when a dump is loaded into a running database.</summary>
    public DumpLoad? Load { get; init; }
}

/// <param name="Target">Where it went, for people.</param>
/// <param name="Differences">What the read-back found to differ from the snapshot; empty = the restore is proved.</param>
/// <param name="NeedsPerson">A container stayed down.</param>
public sealed record RestoreReport(
    Snapshot Snapshot,
    string Target,
    long Files,
    long Bytes,
    double Seconds,
    double DowntimeSeconds,
    IReadOnlyList<string> Differences,
    IReadOnlyList<string> Notes,
    IReadOnlyList<RunFailure> Failures)
{
    public bool Ok => Differences.Count == 0 && Failures.Count == 0;
    public bool NeedsPerson => Failures.Any(f => f.NeedsPerson);
}
