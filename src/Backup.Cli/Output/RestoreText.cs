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
        if (plan.Record.Dump is { } made) Line("what", $"a dump by {made.Method}, {Text.Size(plan.Bytes)}");
        else Line("what", $"{(plan.Entries is null ? "everything" : "chosen paths")}: {Text.Count(plan.Files, "file")}, {Text.Size(plan.Bytes)}");
        bool dump = plan.Record.Dump is not null;
        if (plan.OutputDirectory == "-") Line("to", dump ? "stdout, as it is" : "stdout, as a tar");
        else if (dump && plan.OutputDirectory is not null) Line("to", Path.Combine(plan.OutputDirectory, plan.Record.Dump!.FileName));
        else if (plan.Load is not null) Line("to", $"the running database in {plan.Load.Container.Name} in {plan.EnvironmentName}");
        else if (plan.OutputDirectory is not null) Line("to", $"directory {plan.OutputDirectory}");
        else Line("to", $"{plan.EnvironmentName}/{plan.Target}{(plan.CreatesVolume ? ", which will be created" : "")}");
        foreach (QuiesceStep step in plan.Quiesce) Line("hold", PlanText.Held(step));
        if (plan.Load?.Holds is not null) Line("remove", plan.Load.Holds);
        if (plan.HowEmptied is not null) Line("empty", plan.HowEmptied);
        foreach (string note in plan.Notes) Line("note", note);
    }
}
