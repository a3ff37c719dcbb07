using Backup.Snapshots;

namespace Backup.Running;

/// <summary>What a run came to: data, not an exception.</summary>
public sealed record RunReport(
    IReadOnlyList<MadeSnapshot> Snapshots,
    IReadOnlyList<RunFailure> Failures,
    IReadOnlyList<string> Removed,
    long BytesRead,
    long BytesUploaded,
    double Seconds)
{
    /// <summary>What each group cost, in the order of their end.</summary>
    public IReadOnlyList<GroupReport> Groups { get; init; } = [];

    public bool Ok => Failures.Count == 0;
    /// <summary>A container could not be brought back.</summary>
    public bool NeedsPerson => Failures.Any(f => f.NeedsPerson);
}

public sealed record MadeSnapshot(Snapshot Snapshot, double DowntimeSeconds);

/// <summary>What one point in time cost.</summary>
/// <param name="Volumes">All sources of the group.</param>
/// <param name="DowntimeSeconds">The longest window of any one container; 0 when nobody was held.</param>
/// <param name="MaxDowntimeSeconds">The limit of the policy; null = none.</param>
/// <param name="Exceeded">The containers came back because the limit was over.</param>
public sealed record GroupReport(
    string Environment, string Group, IReadOnlyList<string> Volumes, double DowntimeSeconds, double? MaxDowntimeSeconds, bool Exceeded,
    IReadOnlyList<ContainerReport> Containers);

/// <param name="How">pause, stop or hook.</param>
/// <param name="Health">healthy, starting or unhealthy, some time after it came back; null without a health check.</param>
public sealed record ContainerReport(string Container, string How, DateTimeOffset From, DateTimeOffset Until, string? Health)
{
    public double Seconds => (Until - From).TotalSeconds;
}

/// <param name="Volume">Null when the whole environment failed.</param>
/// <param name="Side">Whom to blame: <c>source</c>, <c>store</c>, <c>quiesce</c> or <c>retention</c>.</param>
public sealed record RunFailure(string Environment, string? Volume, string Problem, string Hint, string Side, bool NeedsPerson = false);
