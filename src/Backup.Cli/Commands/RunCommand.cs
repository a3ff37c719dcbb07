using System.CommandLine;
using Backup.Quiescing;
using Backup.Running;
using Backup.Streams;

namespace Backup.Cli.Commands;

internal static class RunCommand
{
    public static Command Create(Runner runner)
    {
        Argument<string[]> environments = Options.Environments();
        var volumes = new Option<string[]>("--volume")
        {
            Description = "Only volumes that match, such as 'app_*' or 'bind:/srv/*'; may be repeated",
            HelpName = "GLOB",
            DefaultValueFactory = _ => [],
        };
        Option<bool> dryRun = Options.DryRun("Print what would be done and stop, like 'backup plan'");
        Option<TimeSpan> wait = Options.Wait();
        var command = new Verb("run", "Back up volumes, then apply retention to them")
        {
            Arguments = { environments },
            Options = { volumes, dryRun, wait },
            Notes = "Containers that were held come back as soon as a volume is read, and first of all when the run is interrupted.\n"
                + "A volume that fails does not stop the others: exit code 3 then, 1 when nothing succeeded.",
            Examples =
            [
                ("backup run", "everything the policy names"),
                ("backup run web --volume 'app_*'", "some volumes of one environment"),
                ("backup run --wait 10m --json", "for a script that may overlap with a timer"),
            ],
        };
        command.SetAction((parse, _) =>
        {
            var request = new RunRequest(parse.GetRequiredValue(environments), parse.GetRequiredValue(volumes));
            if (parse.GetValue(dryRun)) return runner.AskAsync(parse, (session, cancel) => PlanCommand.PrintAsync(session, request, cancel));
            return runner.WorkAsync(parse, async (session, cancel) =>
            {
                await using UndoJournal journal = await session.OpenJournalAsync(parse.GetValue(wait), cancel);
                using Spool spool = session.OpenSpool();
                var run = new BackupRun(session.Context, session.Backends, CommandLine.Version, spool);
                RunReport report = await run.RunAsync(request, journal, cancel);
                return ExitCode.Of(report.Snapshots.Count, report.Failures.Count, report.NeedsPerson);
            });
        });
        return command;
    }
}
