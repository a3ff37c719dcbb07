using Backup.Running;
using Backup.Snapshots;

namespace Backup.Cli.Output;

/// <summary>Tables of snapshots, and of volumes with the state of their backups.</summary>
internal static class ListingText
{
    public static void Write(TextWriter writer, SnapshotListing listing, TimeZoneInfo zone, DateTimeOffset now)
    {
        if (listing.Snapshots.Count == 0)
        {
            if (listing.Failures.Count == 0) writer.WriteLine("no snapshots");
            return;
        }
        var table = new Table("ID", "ENVIRONMENT", "VOLUME", Text.TimeHeading("TAKEN", zone, now), ">AGE", ">FILES", ">SIZE", ">STORED", "CONSISTENCY", "STORE");
        foreach (Snapshot snapshot in listing.Snapshots)
            table.Add(
                Text.ShortId(snapshot.Id), snapshot.Environment, snapshot.Volume, Text.Time(snapshot.TakenAt, zone), Text.Age(now - snapshot.TakenAt),
                snapshot.Files.ToString(System.Globalization.CultureInfo.InvariantCulture), Text.Size(snapshot.Bytes), Text.Size(snapshot.StoredBytes),
                snapshot.Consistency, snapshot.Store);
        table.Write(writer);
        writer.WriteLine($"{Text.Count(listing.Snapshots.Count, "snapshot")}, {Text.Size(listing.Snapshots.Sum(s => s.StoredBytes))} stored");
    }

    public static void Write(TextWriter writer, StatusReport report, TimeZoneInfo zone)
    {
        if (report.Volumes.Count == 0)
        {
            if (report.Failures.Count == 0) writer.WriteLine("no volumes");
            return;
        }
        var table = new Table("", "VOLUME", "LAST", "TAKEN", ">AGE", "DUE", "DOWNTIME");
        foreach (VolumeStatus volume in report.Volumes)
            table.Add(
                volume.LastSnapshot is null ? "NEVER" : volume.Overdue ? "LATE" : "ok",
                $"{volume.Environment}/{volume.Volume}",
                volume.LastSnapshot is null ? "-" : Text.ShortId(volume.LastSnapshot),
                volume.TakenAt is { } taken ? Text.Time(taken, zone) : "-",
                volume.AgeSeconds is { } age ? Text.Age(TimeSpan.FromSeconds(age)) : "-",
                volume.Due is { } due ? Text.Time(due, zone) : "-",
                volume.Downtime is { } down ? Downtime(down) : "-");
        table.Write(writer);
    }

    private static string Downtime(DowntimeTrend trend) => trend.WorstSeconds == 0 ? "none"
        : $"{Text.Duration(trend.LastSeconds)} (median {Text.Duration(trend.MedianSeconds)}, worst {Text.Duration(trend.WorstSeconds)})";
}
