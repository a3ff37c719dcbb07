using Backup.Running;

namespace Backup.Cli.Output;

/// <summary>What was proved, and what is wrong.</summary>
internal static class VerifyText
{
    public static void Write(TextWriter writer, VerifyReport report, bool readData)
    {
        foreach (VerifiedSnapshot verified in report.Snapshots)
        {
            string name = $"{Text.ShortId(verified.Snapshot.Id)}  {Text.Plain($"{verified.Snapshot.Environment}/{verified.Snapshot.Volume}")}";
            if (verified.Problems.Count == 0) writer.WriteLine($"good  {name}");
            foreach (string problem in verified.Problems) writer.WriteLine($"BAD   {name}: {Text.Plain(problem)}");
        }
        int bad = report.Snapshots.Count(s => s.Problems.Count > 0) + report.Damaged.Count;
        string depth = readData ? "every byte read and hashed" : "contents not read (--read-data does)";
        writer.WriteLine($"{Text.Count(report.Snapshots.Count, "snapshot")} verified, {depth}, {(bad == 0 ? "all good" : $"{bad} with problems")}");
    }
}
