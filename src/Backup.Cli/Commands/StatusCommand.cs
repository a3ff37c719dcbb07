using System.CommandLine;
using Backup.Running;

namespace Backup.Cli.Commands;

internal static class StatusCommand
{
    public static Command Create(Runner runner)
    {
        Argument<string[]> environments = Options.Environments();
        var maxAge = new Option<TimeSpan?>("--max-age")
        {
            Description = "What counts as overdue, such as 26h or 2d; else the schedule decides",
            HelpName = "DURATION",
            CustomParser = result => Options.Duration(result),
        };
        var command = new Verb("status", "Show the last snapshot of every volume, its age, what is overdue")
        {
            Arguments = { environments },
            Options = { maxAge },
            Notes = "Exit code 1 when a volume is overdue or was never backed up: made for monitoring.",
            Examples = [("backup status", "by the schedules of the policy"), ("backup status --max-age 26h -q || mail-the-admin", "for a monitor")],
        };
        command.SetAction((parse, _) => runner.AskAsync(parse, async (session, cancel) =>
        {
            StatusReport report = await new StatusQuery(session.Context, session.Backends)
                .RunAsync(parse.GetRequiredValue(environments), parse.GetValue(maxAge), cancel);
            session.Output.Status(report);
            return report.Volumes.Any(v => v.Overdue) ? ExitCode.Failed : ExitCode.Of(report.Volumes.Count, report.Failures.Count);
        }));
        return command;
    }
}
