using System.CommandLine;
using Backup.Running;
using Backup.Snapshots;

namespace Backup.Cli.Commands;

internal static class FilesCommand
{
    public static Command Create(Runner runner)
    {
        var reference = new Argument<string>("SNAPSHOT") { Description = "An id, a unique beginning of one, ENV/VOLUME or ENV/VOLUME@TIME" };
        var path = new Argument<string?>("PATH") { Description = "Only this path and what is below it", Arity = ArgumentArity.ZeroOrOne };
        var command = new Verb("files", "List what is in a snapshot")
        {
            Aliases = { "ls" },
            Arguments = { reference, path },
            Notes = "Names that are not UTF-8 are shown with \\xNN for the bytes that are not, and are understood in that form.",
            Examples =
            [
                ("backup files local/app_data", "the latest snapshot of a volume"),
                ("backup files 1a2b3c4d etc/nginx", "below one directory"),
            ],
        };
        command.SetAction((parse, _) => runner.AskAsync(parse, async (session, cancel) =>
        {
            var query = new SnapshotQuery(session.Backends);
            Snapshot snapshot = await query.ResolveAsync(parse.GetRequiredValue(reference), cancel);
            await using SnapshotReader reader = await query.OpenAsync(snapshot, cancel);
            session.Output.Files(EntrySelection.Below(reader, parse.GetValue(path)));
            return ExitCode.Done;
        }));
        return command;
    }
}
