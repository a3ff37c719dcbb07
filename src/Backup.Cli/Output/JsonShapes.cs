namespace Backup.Cli.Output;

// The documents and events that scripts read. Names and meanings are a contract: add, never change.

internal sealed record SnapshotJson(
    string Id, string Environment, string Volume, DateTimeOffset TakenAt, string Format, string Store,
    long Bytes, long StoredBytes, long Files, string Sha256, string Consistency);

internal sealed record MadeSnapshotJson(
    string Id, string Environment, string Volume, DateTimeOffset TakenAt, string Format, string Store,
    long Bytes, long StoredBytes, long Files, string Sha256, string Consistency, double DowntimeSeconds);

/// <param name="Type">file, directory, symlink, hardlink, fifo, chardevice, blockdevice or other.</param>
/// <param name="Mode">Permission bits with setuid, setgid and sticky, as a number.</param>
internal sealed record FileJson(string Path, string Type, long Size, int Mode, long Uid, long Gid, DateTimeOffset Mtime, string? Link);

internal sealed record StatusJson(
    string Environment, string Volume, string? LastSnapshot, DateTimeOffset? TakenAt, double? AgeSeconds, DateTimeOffset? Due, bool Overdue,
    double? DowntimeLastSeconds, double? DowntimeMedianSeconds, double? DowntimeWorstSeconds);

internal sealed record CheckJson(string Subject, bool Ok, string Text, string Hint);

internal sealed record FailureJson(string Environment, string? Volume, string Problem, string Hint, string Side, bool NeedsPerson);

internal sealed record DamagedJson(string Store, string Key, string Problem);

/// <param name="Before">Of the first of the hooks; all of them are in <paramref name="Hooks"/>.</param>
internal sealed record HeldJson(
    string Container, string Mode, IReadOnlyList<string>? Before, IReadOnlyList<string>? After, string Reason, IReadOnlyList<HookJson> Hooks);

internal sealed record HookJson(IReadOnlyList<string>? Before, IReadOnlyList<string>? After, double TimeoutSeconds);

/// <param name="Volumes">One point in time; their details stand in the environment's list.</param>
internal sealed record GroupPlanJson(
    string Group, string Why, IReadOnlyList<string> Volumes, IReadOnlyList<HeldJson> Quiesce, double? MaxDowntimeSeconds,
    double? ExpectedDowntimeSeconds, string? ExpectedDowntimeSource, long? ExpectedSpoolBytes, IReadOnlyList<string> WarmedUp);

internal sealed record VolumePlanJson(
    string Volume, string Store, string Consistency, string? Note, long? ExpectedBytes, string ExpectedSource,
    IReadOnlyList<HeldJson> Quiesce, IReadOnlyList<string> Consumers);

internal sealed record SkippedJson(string Volume, string Reason);

internal sealed record ProblemJson(string Problem, string Hint);

internal sealed record DecisionJson(string Id, string Environment, string Volume, DateTimeOffset TakenAt, bool Keep, IReadOnlyList<string> Reasons);

internal sealed record EnvironmentPlanJson(
    string Environment, string Engine, IReadOnlyList<VolumePlanJson> Volumes, IReadOnlyList<SkippedJson> Skipped,
    IReadOnlyList<ProblemJson> Warnings, IReadOnlyList<DecisionJson> Retention, IReadOnlyList<GroupPlanJson> Groups,
    IReadOnlyList<string> Missing, IReadOnlyList<DumpPlanJson> Dumps);

internal sealed record DumpPlanJson(string Volume, string Container, string Store, string Preset, string Method, string Reason, long? ExpectedBytes, string ExpectedSource);

internal sealed record PlanJson(IReadOnlyList<EnvironmentPlanJson> Environments, IReadOnlyList<FailureJson> Failures);

/// <param name="Paths">Null = everything.</param>
internal sealed record RestorePlanJson(
    SnapshotJson Snapshot, string? Environment, string? Target, string? Output, bool CreatesVolume, IReadOnlyList<HeldJson> Quiesce,
    string? HowEmptied, IReadOnlyList<string>? Paths, long Files, long Bytes, IReadOnlyList<string> Notes);

// Events: one a line, the first member is the name.

internal sealed record EnvironmentStartedJson(string Event, string Environment, int Volumes);
internal sealed record VolumeStartedJson(string Event, string Environment, string Volume, long? ExpectedBytes);
internal sealed record VolumeProgressJson(string Event, string Environment, string Volume, long Bytes, long? ExpectedBytes);
internal sealed record VolumeSkippedJson(string Event, string Environment, string Volume, string Reason);
internal sealed record VolumeFailedJson(string Event, string Environment, string Volume, string Problem, string Hint);
internal sealed record SnapshotMadeJson(string Event, MadeSnapshotJson Snapshot, double Seconds);
internal sealed record ContainerJson(string Event, string Environment, string Container, string How, double? Seconds);
internal sealed record SnapshotRemovedJson(string Event, string Id, string Environment, string Volume, string Reason);
internal sealed record StepJson(string Event, string Text);
internal sealed record ProblemEventJson(string Event, string Problem, string Hint);

// Reports: the last line of long work.

internal sealed record RunReportJson(
    string Event, bool Ok, IReadOnlyList<MadeSnapshotJson> Snapshots, IReadOnlyList<FailureJson> Failures, IReadOnlyList<string> Removed,
    long BytesRead, long BytesUploaded, double Seconds, IReadOnlyList<GroupReportJson> Groups);

/// <param name="DowntimeSeconds">The longest window of its containers.</param>
internal sealed record GroupReportJson(
    string Environment, string Group, IReadOnlyList<string> Volumes, double DowntimeSeconds, double? MaxDowntimeSeconds, bool Exceeded,
    IReadOnlyList<ContainerReportJson> Containers);

internal sealed record ContainerReportJson(string Container, string How, DateTimeOffset From, DateTimeOffset Until, double Seconds, string? Health);

internal sealed record RestoreReportJson(
    string Event, bool Ok, SnapshotJson Snapshot, string Target, long Files, long Bytes, double Seconds, double DowntimeSeconds,
    IReadOnlyList<string> Differences, IReadOnlyList<string> Notes, IReadOnlyList<FailureJson> Failures);

internal sealed record VerifiedJson(SnapshotJson Snapshot, bool Ok, IReadOnlyList<string> Problems);

internal sealed record VerifyReportJson(
    string Event, bool Ok, bool ReadData, IReadOnlyList<VerifiedJson> Snapshots, IReadOnlyList<DamagedJson> Damaged, IReadOnlyList<FailureJson> Failures);

internal sealed record PruneReportJson(
    string Event, bool Ok, bool DryRun, IReadOnlyList<DecisionJson> Decisions, IReadOnlyList<string> Removed, IReadOnlyList<string> Collected,
    IReadOnlyList<FailureJson> Failures);

internal sealed record RecoverReportJson(string Event, bool Ok, IReadOnlyList<string> Actions, IReadOnlyList<FailureJson> Failures);

internal sealed record UnitJson(string Path, string Text);
