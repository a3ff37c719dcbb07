using Backup.Planning;
using Backup.Running;

namespace Backup.Cli.Output;

/// <summary>Which snapshots stay, which go, and why.</summary>
internal static class RetentionText
{
    /// <param name="removed">How many were really removed, which a failure can make fewer than were decided; null for a dry run.</param>
    public static void Write(TextWriter writer, PruneReport report, TimeZoneInfo zone, int? removed)
    {
        Write(writer, report.Decisions, zone, "");
        foreach (string collected in report.Collected) writer.WriteLine($"{(removed is null ? "would collect" : "collected")} {Text.Plain(collected)}");
        int decided = report.Decisions.Count(d => !d.Keep);
        string outcome = removed is { } number ? $"{Text.Count(number, "snapshot")} removed" : $"{Text.Count(decided, "snapshot")} would be removed";
        writer.WriteLine($"{Text.Count(report.Decisions.Count - (removed ?? decided), "snapshot")} kept, {outcome}");
    }

    public static void Write(TextWriter writer, IReadOnlyList<RetentionDecision> decisions, TimeZoneInfo zone, string indent)
    {
        if (decisions.Count == 0) return;
        var table = new Table("", "ID", "VOLUME", "TAKEN", "WHY");
        foreach (RetentionDecision decision in decisions)
            table.Add(
                decision.Keep ? "keep" : "remove",
                Text.ShortId(decision.Snapshot.Id),
                $"{decision.Snapshot.Environment}/{decision.Snapshot.Volume}",
                Text.Time(decision.Snapshot.TakenAt, zone),
                string.Join("; ", decision.Reasons));
        table.Write(writer, indent);
    }
}
