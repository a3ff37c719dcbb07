using Backup.Planning;
using Backup.Running;

namespace Backup.Cli.Output;

/// <summary>What a restore will do, before it does it.</summary>
internal static class RestoreText
{
    public static void Write(TextWriter writer, RestorePlan plan, TimeZoneInfo zone)
    {
        void Line(string name, string text) => writer.WriteLine($"  {name,-8}{Text.Plain(text)}");
        writer.WriteLine($"restore of {plan.Snapshot.Environment}/{Text.Plain(plan.Snapshot.Volume)}");
        Line("from", $"snapshot {Text.ShortId(plan.Snapshot.Id)}, taken {Text.Time(plan.Snapshot.TakenAt, zone)}, store {plan.Snapshot.Store}");
        Line("what", $"{(plan.Entries is null ? "everything" : "chosen paths")}: {Text.Count(plan.Files, "file")}, {Text.Size(plan.Bytes)}");
        if (plan.OutputDirectory == "-") Line("to", "stdout, as a tar");
        else if (plan.OutputDirectory is not null) Line("to", $"directory {plan.OutputDirectory}");
        else Line("to", $"{plan.EnvironmentName}/{plan.Target}{(plan.CreatesVolume ? ", which will be created" : "")}");
        foreach (QuiesceStep step in plan.Quiesce) Line("hold", PlanText.Held(step));
        if (plan.HowEmptied is not null) Line("empty", plan.HowEmptied);
        foreach (string note in plan.Notes) Line("note", note);
    }
}
