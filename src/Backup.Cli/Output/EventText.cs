namespace Backup.Cli.Output;

/// <summary>One line per event, in the words of the user.</summary>
internal static class EventText
{
    /// <summary>Null when this event is not worth a line.</summary>
    /// <param name="verbose">Every step; else what a person wants in a journal a year later.</param>
    public static string? Of(RunEvent value, bool verbose) => value switch
    {
        RunEvent.EnvironmentStarted e => $"{e.Environment}: {Text.Count(e.Volumes, "volume")}",
        RunEvent.VolumeStarted e => $"{e.Environment}/{e.Volume}: reading" + (e.ExpectedBytes is { } bytes ? $", about {Text.Size(bytes)}" : ""),
        RunEvent.VolumeSkipped e when verbose => $"{e.Environment}/{e.Volume}: skipped: {e.Reason}",
        RunEvent.VolumeFailed e => $"{e.Environment}/{e.Volume}: failed: {e.Problem}",
        RunEvent.SnapshotMade e => $"{e.Snapshot.Environment}/{e.Snapshot.Volume}: snapshot {Text.ShortId(e.Snapshot.Id)}, "
            + $"{Text.Size(e.Snapshot.Bytes)} read, {Text.Size(e.Snapshot.StoredBytes)} stored, {Text.Duration(e.Seconds)}"
            + (e.DowntimeSeconds > 0 ? $", downtime {Text.Duration(e.DowntimeSeconds)}" : ""),
        RunEvent.ContainerQuiesced e when verbose => $"{e.Environment}: {e.Container}: held ({e.How})",
        RunEvent.ContainerResumed e when verbose => $"{e.Environment}: {e.Container}: back ({e.How}) after {Text.Duration(e.Seconds)}",
        RunEvent.SnapshotRemoved e when verbose =>
            $"{e.Snapshot.Environment}/{e.Snapshot.Volume}: removed snapshot {Text.ShortId(e.Snapshot.Id)}: {e.Reason}",
        RunEvent.Step e => e.Text,
        _ => null,
    };
}
