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
    public bool Ok => Failures.Count == 0;
    /// <summary>A container could not be brought back.</summary>
    public bool NeedsPerson => Failures.Any(f => f.NeedsPerson);
}

public sealed record MadeSnapshot(Snapshot Snapshot, double DowntimeSeconds);

/// <param name="Volume">Null when the whole environment failed.</param>
/// <param name="Side">Whom to blame: <c>source</c>, <c>store</c>, <c>quiesce</c> or <c>retention</c>.</param>
public sealed record RunFailure(string Environment, string? Volume, string Problem, string Hint, string Side, bool NeedsPerson = false);
