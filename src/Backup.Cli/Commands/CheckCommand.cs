using System.CommandLine;
using Backup.Running;

namespace Backup.Cli.Commands;

internal static class CheckCommand
{
    public static Command Create(Runner runner)
    {
        Argument<string[]> environments = Options.Environments();
        var command = new Verb("check", "Reach every environment and store, and say what is wrong")
        {
            Arguments = { environments },
            Notes = "Validates the policy, reaches each environment, and writes, reads and deletes a probe object in each store.\n"
                + "Nothing that you own is touched: the probe is an object of its own, removed at the end.\nExit code 1 when anything is wrong.",
            Examples = [("backup check", "everything the policy names"), ("backup check web --json", "one environment and its stores")],
        };
        command.SetAction((parse, _) => runner.AskAsync(parse, async (session, cancel) =>
        {
            var check = new CheckRun(session.Context, session.Backends);
            CheckReport report = await check.RunAsync(parse.GetRequiredValue(environments), cancel);
            session.Output.Checked(report);
            return report.Results.All(r => r.Ok) ? ExitCode.Done : ExitCode.Failed;
        }));
        return command;
    }
}
