using System.CommandLine;
using Backup.Quiescing;
using Backup.Running;

namespace Backup.Cli.Commands;

internal static class RestoreCommand
{
    public static Command Create(Runner runner)
    {
        var reference = new Argument<string>("SNAPSHOT") { Description = "An id, a unique beginning of one, ENV/VOLUME or ENV/VOLUME@TIME" };
        var to = new Option<string?>("--to") { Description = "Into this environment instead of its own", HelpName = "ENV" };
        var name = new Option<string?>("--as") { Description = "Under this volume name (or bind:/path) instead of its own; of a dump, the container whose database takes it", HelpName = "NAME" };
        var paths = new Option<string[]>("--path")
        {
            Description = "Only this path and what is below it; may be repeated",
            HelpName = "P",
            DefaultValueFactory = _ => [],
        };
        var directory = new Option<string?>("--output", "-o") { Description = "Extract into a directory of this host; - writes a tar, or the dump as it is, to stdout", HelpName = "DIR" };
        var overwrite = new Option<bool>("--overwrite") { Description = "Replace a target that is in use or not empty: its users are held, its content is replaced" };
        Option<bool> dryRun = Options.DryRun("Show the plan and stop");
        Option<TimeSpan> wait = Options.Wait();
        var command = new Verb("restore", "Restore a volume, some of its paths, or to a directory")
        {
            Arguments = { reference },
            Options = { to, name, paths, directory, overwrite, dryRun, wait },
            Notes = "The plan is shown first. A target that is in use or not empty is refused without --overwrite.\n"
                + "What was written is read back and compared with the snapshot; a difference is a failure.",
            Examples =
            [
                ("backup restore local/app_data --as app_copy", "the latest, beside the original"),
                ("backup restore local/app_data@2026-03-01 --overwrite", "the volume as it was then, in place"),
                ("backup restore 1a2b3c4d --to web2", "to another engine, same name"),
                ("backup restore 1a2b3c4d --path etc/app.conf --output /tmp/old", "one file into a directory"),
                ("backup restore 1a2b3c4d --output - | tar t", "the tar itself"),
            ],
        };
        command.SetAction((parse, _) =>
        {
            bool dry = parse.GetValue(dryRun);
            return dry ? runner.AskAsync(parse, RestoreAsync) : runner.WorkAsync(parse, RestoreAsync);

            async Task<int> RestoreAsync(Session session, CancellationToken cancel)
            {
                var restore = new RestoreRun(session.Context, session.Backends);
                string? output = parse.GetValue(directory);
                var request = new RestoreRequest(
                    parse.GetRequiredValue(reference), parse.GetValue(to), parse.GetValue(name), parse.GetRequiredValue(paths),
                    output is null or "-" ? output : Path.GetFullPath(output, session.Surroundings.Directory), parse.GetValue(overwrite));
                // A directory needs no lock: it can be restored into while a long backup runs. Looking into a volume takes helper containers, which
                // `recover` must know of, so a dry run takes the lock for that moment as well.
                await using UndoJournal? journal = output is not null ? null : await session.OpenJournalAsync(parse.GetValue(wait), cancel);
                RestorePlan plan = await restore.PlanAsync(request, journal, cancel);
                session.Output.RestorePlan(plan, asResult: dry);
                if (dry) return ExitCode.Done;
                if (output == "-")
                {
                    await using Stream stdout = session.Surroundings.OpenOutput();
                    await restore.WriteTarAsync(plan, stdout, cancel);
                    return ExitCode.Done;
                }
                RestoreReport report = await restore.RunAsync(plan, journal, cancel);
                session.Output.Restored(plan, report);
                return ExitCode.Of(report.Ok ? 1 : 0, report.Ok ? 0 : 1, report.NeedsPerson);
            }
        });
        return command;
    }
}
