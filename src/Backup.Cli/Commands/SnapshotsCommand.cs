using System.CommandLine;
using Backup.Policies;
using Backup.Running;

namespace Backup.Cli.Commands;

internal static class SnapshotsCommand
{
    public static Command Create(Runner runner)
    {
        var environment = new Option<string?>("--environment", "-e") { Description = "Only of this environment", HelpName = "E" };
        var volume = new Option<string?>("--volume") { Description = "Only of this volume (or bind:/path)", HelpName = "V" };
        var latest = new Option<bool>("--latest") { Description = "Only the newest of each volume" };
        var command = new Verb("snapshots", "List the snapshots in the stores")
        {
            Aliases = { "list" },
            Options = { environment, volume, latest },
            Notes = "A snapshot is named by its id, by a unique beginning of it, by ENV/VOLUME (its latest) or by ENV/VOLUME@TIME\n"
                + "(the latest at or before TIME: RFC 3339 or a date). Exit code 3 when a store or a manifest could not be read, 1 when no store could.",
            Examples =
            [
                ("backup snapshots --latest", "the newest of each volume"),
                ("backup snapshots --volume app_data --json | jq -r '.[0].id'", "the id of the newest"),
            ],
        };
        command.SetAction((parse, _) => runner.AskAsync(parse, async (session, cancel) =>
        {
            SnapshotListing listing = await new SnapshotQuery(session.Backends)
                .ListAsync(parse.GetValue(environment), parse.GetValue(volume), parse.GetValue(latest), cancel);
            session.Output.Snapshots(listing);
            foreach (DirectoryStorePolicy store in session.Policy.Stores.OfType<DirectoryStorePolicy>().Where(s => !Path.Exists(s.Path)))
                session.Context.Events.Report(new RunEvent.Warning($"store '{store.Name}': {store.Path} does not exist yet",
                    "The first backup makes it. If there were backups, see whether its disk is mounted."));
            int unread = listing.Failures.Count;
            return ExitCode.Of(session.Policy.Stores.Count - unread, unread + listing.Damaged.Count);
        }));
        return command;
    }
}
