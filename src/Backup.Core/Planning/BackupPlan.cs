using Backup.Environments;
using Backup.Policies;
using Backup.Quiescing;
using Backup.Snapshots;

namespace Backup.Planning;

/// <summary>What a run does to one environment: the very object that a dry run prints and a real run executes.</summary>
/// <param name="Groups">In the order of doing, one after the other.</param>
/// <param name="Skipped">Sources that exist and are left out, with the reason.</param>
/// <param name="Warnings">What the user should know before it happens.</param>
public sealed record BackupPlan(
    string Environment,
    EngineFacts Engine,
    IReadOnlyList<GroupStep> Groups,
    IReadOnlyList<SkippedSource> Skipped,
    IReadOnlyList<PlanWarning> Warnings)
{
    /// <summary>All sources of all groups, in the order of doing.</summary>
    public IReadOnlyList<VolumeStep> Volumes { get; } = [.. Groups.SelectMany(g => g.Volumes)];

    /// <summary>Volumes that the policy names outright and the engine does not have: a run fails for them.</summary>
    public IReadOnlyList<SourceRef> Missing { get; init; } = [];

    public static string WhyMissing(SourceRef source, string environment) => $"volumes.include names \"{source}\", but {environment} has no such volume: it is not backed up.";
    public const string MissingHint = "Correct the name; or take it out of volumes.include, if it is gone for good.";

    /// <summary>Databases that are dumped, after all groups.</summary>
    public IReadOnlyList<DumpStep> Dumps { get; init; } = [];

    /// <summary>Sources that are selected and cannot be backed up as the policy, or a label, says.</summary>
    public IReadOnlyList<RefusedSource> Refused { get; init; } = [];

    /// <summary>What containers have to be asked before this plan is sure.</summary>
    public IReadOnlyList<PresetQuestion> Questions { get; init; } = [];

    /// <summary>The same plan, with a warning for each group that may have more to put into the spool than there is room.</summary>
    /// <param name="room">Bytes.</param>
    internal BackupPlan Within(long room) => this with { Warnings = [.. Warnings, .. Groups.Select(g => g.Spool?.Against(room, g.Name)).OfType<PlanWarning>()] };
}

/// <summary>A database that writes all of itself to us while it runs.</summary>
/// <param name="Reason">Who wants it, such as "policy: preset postgres".</param>
/// <param name="ExpectedBytes">Size of the last dump's tar; null when there is none.</param>
public sealed record DumpStep(
    SourceRef Source,
    ContainerFacts Container,
    QuiescePreset Preset,
    DumpMethod Method,
    PresetOptions Options,
    VolumePolicy Policy,
    string Reason,
    long? ExpectedBytes,
    string ExpectedSource);

public sealed record RefusedSource(SourceRef Source, string Problem, string Hint);

/// <summary>A group planned once more, when it is reached; see <see cref="BackupPlan"/>.</summary>
internal sealed record GroupAgain(GroupStep Group, IReadOnlyList<RefusedSource> Refused, IReadOnlyList<PresetQuestion> Questions);

/// <summary>
/// Sources that are one point in time: their containers are held together and once, all of them are read, then all containers come back. Sources
/// that nobody is held for are read after that, so that they do not lengthen the downtime.
/// </summary>
/// <param name="Name">That of the policy, of the compose project, or of the volumes.</param>
/// <param name="Why">What makes them one, in the user's words; empty for a volume on its own.</param>
/// <param name="Volumes">Sorted; those that are read while containers are held come first.</param>
/// <param name="Quiesce">Everyone who is held for any of them, once, in the order of doing; the undo goes backwards.</param>
public sealed record GroupStep(string Name, string Why, IReadOnlyList<VolumeStep> Volumes, IReadOnlyList<QuiesceStep> Quiesce)
{
    /// <summary>The sources that are read while containers are held.</summary>
    public IEnumerable<VolumeStep> Held => Volumes.Where(v => v.Quiesce.Count > 0);

    /// <summary>The engine is on this host.</summary>
    public bool Local { get; init; }

    /// <summary>Those of them that are read once before.</summary>
    public IEnumerable<VolumeStep> WarmedUp => Local ? Held.Where(v => v.Policy.Downtime.WarmUp) : [];

    /// <summary>The smallest of its volumes' own; null = the containers are held for as long as the read takes.</summary>
    public TimeSpan? MaxDowntime => Held.Min(v => v.Policy.Downtime.Max);

    /// <summary>How long a container may take to be healthy again after it came back: the longest of its volumes' own.</summary>
    public TimeSpan HealthTimeout => Volumes.Select(v => v.Policy.Downtime.Health).DefaultIfEmpty(VolumePolicy.DefaultHealthTimeout).Max();

    /// <summary>Null when nobody is held, or nothing is known.</summary>
    public ExpectedDowntime? Expected { get; init; }

    /// <summary>Null when nobody is held, or nothing is known.</summary>
    public SpoolForecast? Spool { get; init; }
}

/// <param name="AtLeast">Some of the volumes were never read while somebody was held.</param>
/// <param name="Source">Where the expectation comes from, in the user's words.</param>
public sealed record ExpectedDowntime(double Seconds, bool AtLeast, string Source);

/// <summary>One source: who is held while it is read, and how.</summary>
/// <param name="Facts">The volume's own facts; null for a bind mount.</param>
/// <param name="Consumers">Every container that mounts the source, also those that only read it or do not run.</param>
/// <param name="Quiesce">Those of the group's steps that hold its own writers, in the order of doing. Empty = it is read while nobody is held.</param>
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
    /// <summary>Ids of the running containers that write to it, held or not.</summary>
    public IReadOnlyList<string> Writers { get; init; } = [];

    /// <summary>Why the consistency is what it is, where that needs a word, such as "no running container writes to it".</summary>
    public string? Note { get; init; }
}

/// <summary>One container, or one Swarm service, held back: hooks before, then pause or stop; undone in reverse.</summary>
/// <param name="Hooks">In the order of doing; several only where volumes of one group ask for different ones.</param>
/// <param name="Reason">Why in this way, such as "policy: stop" or "started with --rm: paused instead of stopped".</param>
public sealed record QuiesceStep(ContainerFacts Container, QuiesceMode Mode, IReadOnlyList<Hook> Hooks, string Reason)
{
    /// <summary>Set where all tasks of this service are stopped by scaling it to 0; the container is then one of them.</summary>
    public ServiceFacts? Service { get; init; }

    public string Id => Service?.Id ?? Container.Id;
    public string Name => Service?.Name ?? Container.Name;

    /// <summary>Others of the same plan that it depends on: it is held before them, and they must be back before it is.</summary>
    public IReadOnlyList<Need> Needs { get; init; } = [];

    /// <summary>Its preset says that the files stay good while it writes.</summary>
    public bool Harmless { get; init; }

    internal bool Holds(ContainerFacts container) => Service is null ? container.Id == Container.Id : container.ServiceId == Service.Id;

    /// <summary>False for a container that is left as it is.</summary>
    public bool DoesSomething => Mode != QuiesceMode.None || Hooks.Count > 0;
}

/// <param name="ContainerId">Whom the dependent needs.</param>
/// <param name="Healthy">It must not only run but be healthy again.</param>
public sealed record Need(string ContainerId, bool Healthy);

/// <summary>Commands run by exec in the container. At least one of the two is there.</summary>
/// <param name="Before">Run before the container is paused or stopped.</param>
/// <param name="After">Run when it is back.</param>
/// <param name="Timeout">Of each.</param>
public sealed record Hook(IReadOnlyList<string>? Before, IReadOnlyList<string>? After, TimeSpan Timeout)
{
    /// <summary>
    /// Begun before <see cref="Before"/> and not waited for: it holds a lock until <see cref="After"/> ends it, and only its exit code 0 proves that the
    /// lock was held all along. Null = none.
    /// </summary>
    public IReadOnlyList<string>? Session { get; init; }

    /// <summary>What was read while it held is good only when <see cref="After"/>, too, succeeds.</summary>
    public bool Proves { get; init; }
}

public sealed record SkippedSource(SourceRef Source, string Reason);

public sealed record PlanWarning(string Problem, string Hint);

/// <summary>What retention decides for one snapshot, and why.</summary>
public sealed record RetentionDecision(Snapshot Snapshot, bool Keep, IReadOnlyList<string> Reasons);
