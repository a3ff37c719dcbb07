using System.CommandLine;
using Backup.Running;

namespace Backup.Cli.Commands;

internal static class VerifyCommand
{
    public static Command Create(Runner runner)
    {
        var references = new Argument<string[]>("SNAPSHOT")
        {
            Description = "Ids, ENV/VOLUME or ENV/VOLUME@TIME; all snapshots when none is named",
            Arity = ArgumentArity.ZeroOrMore,
        };
        var readData = new Option<bool>("--read-data") { Description = "Also read and hash every byte again" };
        var command = new Verb("verify", "Prove that what the snapshots promise is there")
        {
            Arguments = { references },
            Options = { readData },
            Notes = "Without --read-data: manifests, indexes, and that every object is there in its size.\n"
                + "Exit code 1 when a problem was found, 3 when a store could not be read and the rest is good.",
            Examples = [("backup verify", "everything, quickly"), ("backup verify local/app_data --read-data", "one snapshot, every byte")],
        };
        command.SetAction((parse, _) => runner.WorkAsync(parse, async (session, cancel) =>
        {
            bool deep = parse.GetValue(readData);
            VerifyReport report = await new VerifyRun(session.Context, session.Backends).RunAsync(parse.GetRequiredValue(references), deep, cancel);
            session.Output.Verified(report, deep);
            bool found = report.Damaged.Count > 0 || report.Snapshots.Any(s => s.Problems.Count > 0);
            return found ? ExitCode.Failed : ExitCode.Of(report.Snapshots.Count, report.Failures.Count);
        }));
        return command;
    }
}
