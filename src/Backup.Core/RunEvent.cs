using Backup.Running;
using Backup.Snapshots;

namespace Backup;

/// <summary>What can happen during long work, a closed set in the user's words. Printed for people and as JSON lines for scripts.</summary>
public abstract record RunEvent
{
    private RunEvent() { }

    public sealed record EnvironmentStarted(string Environment, int Volumes) : RunEvent;
    public sealed record VolumeStarted(string Environment, string Volume, long? ExpectedBytes) : RunEvent;

    /// <param name="Bytes">Bytes of tar moved so far.</param>
    /// <param name="Expected">Bytes expected, from the last snapshot or the manifest; null when unknown.</param>
    public sealed record VolumeProgress(string Environment, string Volume, long Bytes, long? Expected) : RunEvent;

    public sealed record VolumeSkipped(string Environment, string Volume, string Reason) : RunEvent;
    public sealed record VolumeFailed(string Environment, string Volume, string Problem, string Hint) : RunEvent;
    public sealed record SnapshotMade(Snapshot Snapshot, double DowntimeSeconds, double Seconds) : RunEvent;

    /// <param name="How"><c>pause</c>, <c>stop</c> or <c>hook</c>.</param>
    public sealed record ContainerQuiesced(string Environment, string Container, string How) : RunEvent;
    /// <param name="Seconds">How long the container was held back.</param>
    public sealed record ContainerResumed(string Environment, string Container, string How, double Seconds) : RunEvent;

    public sealed record SnapshotRemoved(Snapshot Snapshot, string Reason) : RunEvent;
    public sealed record Step(string Text) : RunEvent;
    public sealed record Warning(string Problem, string Hint) : RunEvent;
    public sealed record Error(string Problem, string Hint) : RunEvent;
    /// <summary>Always the last event of a run.</summary>
    public sealed record Report(RunReport Result) : RunEvent;
}
