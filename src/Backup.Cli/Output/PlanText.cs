using Backup.Environments;
using Backup.Planning;
using Backup.Policies;
using Backup.Running;

namespace Backup.Cli.Output;

/// <summary>What a run would do, environment by environment.</summary>
internal static class PlanText
{
    /// <summary>Less than this waits in memory.</summary>
    private const long WorthAWord = 64 << 20;

    public static void Write(TextWriter writer, PlanReport report, TimeZoneInfo zone, bool verbose)
    {
        foreach (EnvironmentPlan environment in report.Environments)
        {
            BackupPlan plan = environment.Plan;
            writer.WriteLine($"{plan.Environment}: {Text.Count(plan.Volumes.Count, "volume")}{(plan.Dumps.Count == 0 ? "" : $" and {Text.Count(plan.Dumps.Count, "dump")}")} on {plan.Engine.HostName} (engine {plan.Engine.Version})");
            int number = 0;
            foreach (GroupStep group in plan.Groups)
            {
                if (group.Volumes.Count > 1) writer.WriteLine($"  group {Text.Plain(group.Name)}: one point in time ({Text.Plain(group.Why)})");
                foreach (VolumeStep step in group.Volumes) Volume(writer, ++number, step);
                if (group.Quiesce.Count > 0) writer.WriteLine($"        down    {Downtime(group)}");
                if (group.WarmedUp.Any()) writer.WriteLine("        warm    read once before that, as far as memory goes, so that the disk is not waited for");
                if (group.Spool is { Bytes: >= WorthAWord } spool) writer.WriteLine($"        spool   {(spool.AtLeast ? "at least" : "up to")} {Text.Size(spool.Bytes)} may wait there for the store");
            }
            foreach (SourceRef missing in plan.Missing)
                ErrorText.Write(writer, "missing:", BackupPlan.WhyMissing(missing, plan.Environment), BackupPlan.MissingHint, "  ");
            foreach (DumpStep dump in plan.Dumps) Dump(writer, ++number, dump);
            foreach (RefusedSource refused in plan.Refused) ErrorText.Write(writer, $"cannot back up {Text.Plain(refused.Source.ToString())}:", Text.Plain(refused.Problem), refused.Hint, "  ");
            foreach (SkippedSource skipped in plan.Skipped) writer.WriteLine($"  skipped  {Text.Plain(skipped.Source.ToString())}: {skipped.Reason}");
            foreach (PlanWarning warning in plan.Warnings) ErrorText.Write(writer, "warning:", warning.Problem, warning.Hint, "  ");
            Retention(writer, environment.Retention, zone, verbose);
            writer.WriteLine();
        }
    }

    /// <summary>Also used by the plan of a restore, which holds containers in the same way.</summary>
    public static string Held(QuiesceStep step)
    {
        var how = new List<string>();
        how.AddRange(step.Hooks.Where(h => h.Before is not null).Select(h => $"run {Command(h.Before!)}"));
        if (step.Mode != QuiesceMode.None) how.Add(step.Mode == QuiesceMode.Stop ? "stop" : "pause");
        how.AddRange(step.Hooks.Where(h => h.After is not null).Reverse().Select(h => $"afterwards run {Command(h.After!)}"));
        return $"{step.Name}: {string.Join(", ", how)} ({step.Reason})";
    }

    private static string Downtime(GroupStep group)
    {
        string expected = group.Expected is { } known ? $"{(known.AtLeast ? "at least" : "about")} {Text.Duration(known.Seconds)}, {known.Source}" : "not known before the first run";
        if (group.MaxDowntime is not { } max) return expected;
        string then = group.Held.All(v => v.Policy.Downtime.Keep) ? "is kept as inconsistent"
            : group.Held.Any(v => v.Policy.Downtime.Keep) ? "fails or is kept, as its rule says"
            : "fails";
        return $"{expected}; after {Text.Duration(max.TotalSeconds)} all come back, and what is not read yet {then}";
    }

    private static void Volume(TextWriter writer, int number, VolumeStep step)
    {
        string size = step.ExpectedBytes is { } bytes ? $"about {Text.Size(bytes)}, {step.ExpectedSource}" : $"size unknown, {step.ExpectedSource}";
        writer.WriteLine($"  {number,2}. {Text.Plain(step.Source.ToString())} → {step.Policy.Store}");
        writer.WriteLine($"        expect  {size}");
        foreach (QuiesceStep held in step.Quiesce) writer.WriteLine($"        hold    {Text.Plain(Held(held))}");
        if (step.Quiesce.Count == 0) writer.WriteLine($"        hold    nobody ({Text.Plain(step.Note ?? "the policy says none")})");
        else if (step.Note is not null) writer.WriteLine($"        note    {Text.Plain(step.Note)}");
    }

    private static void Retention(TextWriter writer, IReadOnlyList<RetentionDecision> decisions, TimeZoneInfo zone, bool verbose)
    {
        if (decisions.Count == 0) return;
        int removed = decisions.Count(d => !d.Keep);
        writer.WriteLine($"  retention would remove {removed} of {Text.Count(decisions.Count, "snapshot")} now");
        RetentionText.Write(writer, verbose ? decisions : [.. decisions.Where(d => !d.Keep)], zone, "    ");
    }

    private static void Dump(TextWriter writer, int number, DumpStep step)
    {
        string size = step.ExpectedBytes is { } bytes ? $"about {Text.Size(bytes)}, {step.ExpectedSource}" : $"size unknown, {step.ExpectedSource}";
        writer.WriteLine($"  {number,2}. {Text.Plain(step.Source.ToString())} → {step.Policy.Store}");
        writer.WriteLine($"        expect  {size}");
        writer.WriteLine($"        dump    {Text.Plain(step.Container.Name)}: {step.Method.Words} ({Text.Plain(step.Reason)})");
    }

    private static string Command(IReadOnlyList<string> words) => "'" + ExecText.Name(words) + "'";
}
