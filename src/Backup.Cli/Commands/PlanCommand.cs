using System.CommandLine;
using Backup.Running;
using Backup.Streams;

namespace Backup.Cli.Commands;

internal static class PlanCommand
{
    public static Command Create(Runner runner)
    {
        Argument<string[]> environments = Options.Environments();
        var command = new Verb("plan", "Show what a run would do now")
        {
            Arguments = { environments },
            Notes = "Volumes in order, who is held and how, expected sizes, what is skipped and why, what retention would remove.\n"
                + "-v also shows what retention would keep.",
            Examples = [("backup plan", "the whole policy"), ("backup plan web --json | jq '.environments[].volumes'", "for a script")],
        };
        command.SetAction((parse, _) => runner.AskAsync(parse, (session, cancel) =>
            PrintAsync(session, new RunRequest(parse.GetRequiredValue(environments), []), cancel)));
        return command;
    }

    /// <summary>Also what <c>run --dry-run</c> does: both print the object that a run executes.</summary>
    public static async Task<int> PrintAsync(Session session, RunRequest request, CancellationToken cancel)
    {
        using Spool spool = session.OpenSpool();
        var run = new BackupRun(session.Context, session.Backends, CommandLine.Version, spool);
        PlanReport report = await run.PlanAsync(request, cancel);
        session.Output.Plan(report);
        return ExitCode.Of(report.Environments.Count, report.Failures.Count);
    }
}
