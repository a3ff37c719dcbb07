using Backup.Environments;
using Backup.Policies;
using Backup.Snapshots;

namespace Backup.Planning;

/// <summary>What a run does to one environment: the very object that a dry run prints and a real run executes.</summary>
/// <param name="Skipped">Sources that exist and are left out, with the reason.</param>
/// <param name="Warnings">What the user should know before it happens.</param>
public sealed record BackupPlan(
    string Environment,
    EngineFacts Engine,
    IReadOnlyList<VolumeStep> Volumes,
    IReadOnlyList<SkippedSource> Skipped,
    IReadOnlyList<PlanWarning> Warnings);

/// <summary>One source: who is quiesced and how, in the order in which it is done, then the read.</summary>
/// <param name="Facts">The volume's own facts; null for a bind mount.</param>
/// <param name="Consumers">Every container that mounts the source, also those that only read it or do not run.</param>
/// <param name="Quiesce">In the order of doing; the undo goes backwards.</param>
/// <param name="Consistency">none, pause, stop or hook.</param>
/// <param name="ExpectedBytes">Size of the last snapshot's tar; null when there is none.</param>
/// <param name="ExpectedSource">Where the expectation comes from, in the user's words.</param>
public sealed record VolumeStep(
    SourceRef Source,
    VolumeFacts? Facts,
    VolumePolicy Policy,
    IReadOnlyList<ConsumerRecord> Consumers,
    IReadOnlyList<QuiesceStep> Quiesce,
    string Consistency,
    long? ExpectedBytes,
    string ExpectedSource)
{
    /// <summary>Why the consistency is what it is, where that needs a word, such as "no running container writes to it".</summary>
    public string? Note { get; init; }
}

/// <summary>One container held back: hook before, then pause or stop; undone in reverse.</summary>
/// <param name="Reason">Why in this way, such as "policy: stop" or "swarm task: paused instead of stopped".</param>
public sealed record QuiesceStep(
    ContainerFacts Container,
    QuiesceMode Mode,
    IReadOnlyList<string>? Before,
    IReadOnlyList<string>? After,
    TimeSpan HookTimeout,
    string Reason);

public sealed record SkippedSource(SourceRef Source, string Reason);

public sealed record PlanWarning(string Problem, string Hint);

/// <summary>What retention decides for one snapshot, and why.</summary>
public sealed record RetentionDecision(Snapshot Snapshot, bool Keep, IReadOnlyList<string> Reasons);
