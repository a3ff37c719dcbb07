using Backup.Planning;
using Backup.Running;

namespace Backup.Cli.Output;

/// <summary>Which snapshots stay, which go, and why.</summary>
internal static class RetentionText
{
    public static void Write(TextWriter writer, PruneReport report, TimeZoneInfo zone, bool dryRun)
    {
        Write(writer, report.Decisions, zone, "");
        foreach (string collected in report.Collected) writer.WriteLine($"{(dryRun ? "would collect" : "collected")} {Text.Plain(collected)}");
        int removed = report.Decisions.Count(d => !d.Keep);
        writer.WriteLine($"{Text.Count(report.Decisions.Count - removed, "snapshot")} kept, {Text.Count(removed, "snapshot")} {(dryRun ? "would be removed" : "removed")}");
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
