using Backup.Running;

namespace Backup.Cli.Output;

/// <summary>The last words of a command that did something.</summary>
internal static class ReportText
{
    /// <summary>Such as <c>web/data: </c>; empty for what belongs to no environment.</summary>
    public static string Where(RunFailure failure) => failure switch
    {
        { Environment: "" } => "",
        { Volume: null } => $"{failure.Environment}: ",
        _ => $"{failure.Environment}/{failure.Volume}: ",
    };

    /// <param name="cutShort">The run was interrupted or ended by an error: what is here is not all that was asked for.</param>
    public static void Write(TextWriter writer, RunReport report, bool cutShort)
    {
        Failures(writer, report.Failures);
        foreach (GroupReport group in report.Groups.Where(g => g.DowntimeSeconds > 0)) Downtime(writer, group);
        var parts = new List<string> { Text.Count(report.Snapshots.Count, "snapshot") };
        if (report.Snapshots.Count > 0)
        {
            parts.Add($"{Text.Size(report.BytesRead)} read → {Text.Size(report.BytesUploaded)} stored in {Text.Duration(report.Seconds)}");
        }
        if (report.Groups.MaxBy(g => g.DowntimeSeconds) is { DowntimeSeconds: > 0 } worst)
            parts.Add($"longest downtime {Text.Duration(worst.DowntimeSeconds)} ({worst.Environment}/{Text.Plain(worst.Group)})");
        else if (report.Snapshots.Count > 0) parts.Add("no downtime");
        if (report.Removed.Count > 0) parts.Add($"{Text.Count(report.Removed.Count, "old snapshot")} removed");
        if (cutShort) parts.Add("cut short");
        if (report.Failures.Count > 0) parts.Add(Text.Count(report.Failures.Count, "failure"));
        else if (!cutShort) parts.Add("no failures");
        writer.WriteLine(string.Join(", ", parts));
        if (report.NeedsPerson) writer.WriteLine("A container is still held back: look at it now, then run 'backup recover'.");
    }

    /// <summary>Such as <c>web/shop was down for 0.8 s: db 0.8 s (stop, healthy), app 0.5 s (pause)</c>.</summary>
    private static void Downtime(TextWriter writer, GroupReport group)
    {
        IEnumerable<string> containers = group.Containers.OrderByDescending(c => c.Seconds)
            .Select(c => $"{c.Container} {Text.Duration(c.Seconds)} ({c.How}{(c.Health is null ? "" : ", " + c.Health)})");
        string limit = group.Exceeded ? $", cut short by its maxDowntime of {Text.Duration(group.MaxDowntimeSeconds!.Value)}" : "";
        writer.WriteLine(Text.Plain($"{group.Environment}/{group.Group} was down for {Text.Duration(group.DowntimeSeconds)}{limit}: {string.Join(", ", containers)}"));
    }

    public static void Write(TextWriter writer, RestorePlan plan, RestoreReport report)
    {
        Failures(writer, report.Failures);
        foreach (string note in report.Notes) writer.WriteLine(Text.Plain(note));
        const int most = 20;
        foreach (string difference in report.Differences.Take(most)) writer.WriteLine($"differs: {Text.Plain(difference)}");
        if (report.Differences.Count > most) writer.WriteLine($"differs: and {report.Differences.Count - most} more");
        string what = $"{Text.Count(report.Files, "file")}, {Text.Size(report.Bytes)} from snapshot {Text.ShortId(report.Snapshot.Id)} to {report.Target} in {Text.Duration(report.Seconds)}"
            + (report.DowntimeSeconds > 0 ? $", downtime {Text.Duration(report.DowntimeSeconds)}" : "");
        writer.WriteLine(report.Ok ? $"restored {what}, {Proof(plan)}" : $"NOT restored as it was: {what}");
        if (report.NeedsPerson) writer.WriteLine("A container is still held back: look at it now, then run 'backup recover'.");
    }

    private static string Proof(RestorePlan plan) =>
        plan.OutputDirectory is not null ? "every byte checked against the manifest"
        : plan.Load is not null ? plan.Record.Dump?.Held is null ? "taken without an error" : "taken without an error, with the same counts as when it was dumped"
        : "read back and equal";

    public static void Write(TextWriter writer, RecoverReport report)
    {
        foreach (string action in report.Actions) writer.WriteLine(Text.Plain(action));
        if (report.Actions.Count == 0 && report.Failures.Count == 0) writer.WriteLine("nothing was left behind");
    }

    public static void Write(TextWriter writer, IReadOnlyList<string> lines)
    {
        foreach (string line in lines) writer.WriteLine(Text.Plain(line));
        if (lines.Count == 0) writer.WriteLine("nothing to do");
    }

    public static void Write(TextWriter writer, CheckReport report)
    {
        int width = report.Results.Count == 0 ? 0 : report.Results.Max(r => r.Subject.Length);
        foreach (CheckResult result in report.Results)
        {
            string label = result.Ok ? "ok  " : "FAIL";
            ErrorText.Write(writer, $"{label}  {Text.Plain(result.Subject).PadRight(width)} ", result.Text, result.Ok ? "" : result.Hint);
        }
        int bad = report.Results.Count(r => !r.Ok);
        writer.WriteLine(bad == 0 ? "everything is in order" : $"{Text.Count(bad, "problem")} found");
    }

    private static void Failures(TextWriter writer, IReadOnlyList<RunFailure> failures)
    {
        foreach (RunFailure failure in failures) ErrorText.Write(writer, "failed:", $"{Where(failure)}{failure.Problem}", failure.Hint);
    }
}
