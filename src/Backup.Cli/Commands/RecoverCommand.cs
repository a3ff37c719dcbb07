using System.CommandLine;
using Backup.Quiescing;
using Backup.Running;

namespace Backup.Cli.Commands;

internal static class RecoverCommand
{
    public static Command Create(Runner runner)
    {
        Option<TimeSpan> wait = Options.Wait();
        var command = new Verb("recover", "Bring back what a killed run left held")
        {
            Options = { wait },
            Notes = "Starts or unpauses the containers and removes the helper containers of a run that was killed.\n"
                + "Safe at any time: a container that a person stopped meanwhile is left alone. The next run does the same by itself.",
            Examples = [("backup recover", "after a crash or a power cut")],
        };
        command.SetAction((parse, _) => runner.WorkAsync(parse, async (session, cancel) =>
        {
            await using UndoJournal journal = await session.OpenJournalAsync(parse.GetValue(wait), cancel);
            RecoverReport report = await new RecoverRun(session.Context, session.Backends).RunAsync(journal, cancel);
            session.Output.Recovered(report);
            return ExitCode.Of(report.Actions.Count, report.Failures.Count, report.Failures.Any(f => f.NeedsPerson));
        }));
        return command;
    }
}
