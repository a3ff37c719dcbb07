using System.CommandLine;
using Backup.Quiescing;
using Backup.Running;

namespace Backup.Cli.Commands;

internal static class PruneCommand
{
    public static Command Create(Runner runner)
    {
        Argument<string[]> environments = Options.Environments();
        Option<bool> dryRun = Options.DryRun("Explain each decision and remove nothing");
        var abandoned = new Option<TimeSpan?>("--abandoned-after")
        {
            Description = "Unfinished work counts as abandoned when it is older (24h when not given): another host may still be at it",
            HelpName = "DURATION",
            CustomParser = result => Options.Duration(result),
        };
        Option<TimeSpan> wait = Options.Wait();
        var command = new Verb("prune", "Apply retention alone, and collect what unfinished runs left")
        {
            Arguments = { environments },
            Options = { dryRun, abandoned, wait },
            Notes = "Only objects that a manifest or a marker of this program names are ever deleted.",
            Examples = [("backup prune --dry-run", "every snapshot, kept or removed, and why"), ("backup prune web", "one environment")],
        };
        command.SetAction((parse, _) => runner.WorkAsync(parse, async (session, cancel) =>
        {
            bool dry = parse.GetValue(dryRun);
            await using UndoJournal? journal = dry ? null : await session.OpenJournalAsync(parse.GetValue(wait), cancel);
            PruneReport report = await new PruneRun(session.Context, session.Backends)
                .RunAsync(parse.GetRequiredValue(environments), dry, parse.GetValue(abandoned) ?? TimeSpan.FromDays(1), cancel);
            session.Output.Pruned(report, dry);
            return ExitCode.Of(report.Decisions.Count + report.Collected.Count, report.Failures.Count);
        }));
        return command;
    }
}
