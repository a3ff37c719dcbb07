using Backup.Environments;
using Backup.Planning;
using Backup.Policies;
using Backup.Quiescing;
using Backup.Snapshots;

namespace Backup.Running;

/// <summary>Looks at the snapshot and at the target, refuses what would do harm, and says what will be done.</summary>
internal sealed class RestorePlanner(RunContext context, Backends backends, UndoJournal? journal)
{
    internal async Task<RestorePlan> PlanAsync(RestoreRequest request, CancellationToken cancel)
    {
        Snapshot snapshot = await new SnapshotQuery(backends).ResolveAsync(request.Snapshot, cancel);
        await using SnapshotReader reader = await backends.Store(snapshot.Store).OpenAsync(snapshot, cancel);
        if (SourceRef.Parse(snapshot.Volume).Kind == SourceKind.Dump)
        {
            if (request.OutputDirectory is not null && (request.ToEnvironment is not null || request.AsVolume is not null)) throw EitherOr();
            return await new DumpRestore(context, backends).PlanAsync(request, snapshot, reader, cancel);
        }
        IReadOnlyList<FileEntry>? entries = request.Paths.Count == 0 ? null : PathSelection.Choose(reader.Files, request.Paths);
        IReadOnlyList<FileEntry> all = entries ?? reader.Files;
        long files = all.Count(e => e.Type != FileType.Directory);
        long bytes = all.Sum(e => e.Size);

        if (request.OutputDirectory is not null)
        {
            if (request.ToEnvironment is not null || request.AsVolume is not null) throw EitherOr();
            return new RestorePlan(snapshot, reader.Record, null, null, null, [], null, entries, files, bytes, request.OutputDirectory, request.Overwrite, []);
        }
        return await PlanTargetAsync(request, snapshot, reader, entries, files, bytes, cancel);
    }

    private static BackupException EitherOr() =>
        new("--output goes to a directory, --to and --as to an environment.", "Give one or the other.", FailureKind.Usage);

    private async Task<RestorePlan> PlanTargetAsync(
        RestoreRequest request, Snapshot snapshot, SnapshotReader reader, IReadOnlyList<FileEntry>? entries, long files, long bytes, CancellationToken cancel)
    {
        string name = request.ToEnvironment ?? snapshot.Environment;
        IEnvironment environment;
        try
        {
            environment = await backends.EnvironmentAsync(name, cancel);
        }
        catch (BackupException e) when (e.Kind == FailureKind.NotFound && request.ToEnvironment is null)
        {
            throw new BackupException($"The snapshot is of environment \"{name}\", which is not in {backends.Policy.Path}.",
                $"Say where it goes: --to {backends.Policy.Environments.FirstOrDefault()?.Name ?? "ENV"}, or --output DIR.", FailureKind.NotFound, e);
        }

        SourceRef target = SourceRef.Parse(request.AsVolume ?? snapshot.Volume);
        Inventory inventory = await environment.InspectAsync(cancel);
        string probe = context.NewId();
        await using RunHelpers? helpers = journal is null ? null : new RunHelpers(context, environment, journal, probe);
        var notes = new List<string>();
        bool exists = target.Kind == SourceKind.Volume
            ? inventory.Volumes.Any(v => v.Name == target.Name)
            : await environment.ExistsAsync(target, probe, cancel);
        if (!exists)
        {
            VolumeFacts? creates = target.Kind == SourceKind.Volume ? ToCreate(target.Name, reader.Record) : null;
            if (snapshot.Files == 0) notes.Add("The snapshot holds no files: the volume will be empty.");
            return new RestorePlan(snapshot, reader.Record, name, target, creates, [], null, entries, files, bytes, null, request.Overwrite, notes);
        }

        bool empty = await environment.IsEmptyAsync(target, probe, cancel);
        ContainerFacts[] users = [.. inventory.Containers.Where(c => c.HelperOfRun is null && c.State is "running" or "restarting" or "paused" && Uses(c, target))];
        if (!request.Overwrite && (!empty || users.Length > 0))
            throw new BackupException(
                users.Length > 0
                    ? $"{target} is in use in environment {name} by {string.Join(", ", users.Select(u => u.Name))}."
                    : $"{target} in environment {name} is not empty.",
                $"Restore beside it with --as {Suggest(target)}, or replace its content with --overwrite, which stops its containers meanwhile.");

        var scaling = new Scaling(inventory);
        IReadOnlyList<QuiesceStep> quiesce = new Dependencies(inventory.Containers).Arrange(Scaling.Fold(users.Select(u => StopForRestore(u, scaling))));
        string? howEmptied = empty || entries is not null ? null : await environment.PlanEmptyAsync(target, probe, cancel);
        if (entries is not null && !empty) notes.Add("Only the chosen paths are written; other files of the volume stay as they are.");
        return new RestorePlan(snapshot, reader.Record, name, target, null, quiesce, howEmptied, entries, files, bytes, null, request.Overwrite, notes);
    }

    /// <summary>Replacing files under a process that holds them open does harm, also when it is only paused: users are stopped.</summary>
    private static QuiesceStep StopForRestore(ContainerFacts user, Scaling scaling)
    {
        if (user.CarriesConnection)
            throw new BackupException($"{user.Name} is part of Portainer, which the way to this environment leads through, and would have to be stopped.",
                "Restore over another way to the engine: its socket, or tcp:// with TLS.");
        if (user.SwarmTask && scaling.WhyNot(user) is { } why)
            throw new BackupException($"{user.Name} is a task of a Swarm service, which is not scaled to 0 from here, because {why}.",
                "Scale the service to 0 (on a manager: docker service scale NAME=0), restore, and scale it back.");
        if (user.AutoRemove)
            throw new BackupException($"{user.Name} was started with --rm: stopping it would delete it.", "Stop it yourself, restore, and start it again.");
        if (user.State == "paused")
            throw new BackupException($"{user.Name} is paused and holds files of the volume open.", "Unpause or stop it first.");
        ServiceFacts? service = user.SwarmTask ? scaling.ServiceOf(user) : null;
        return new QuiesceStep(user, QuiesceMode.Stop, [], $"restore: its files are replaced{(service is null ? "" : $"; a swarm service: scaled from {service.Replicas} to 0 and back")}") { Service = service };
    }

    private static VolumeFacts ToCreate(string name, SnapshotRecord record)
    {
        if (record.Volume is null)
            return new VolumeFacts(name, "local", new Dictionary<string, string>(), new Dictionary<string, string>(), "local", false);
        if (DriverSecrets.LeftOut(record.Volume) is { } option)
            throw new BackupException($"The volume's driver option \"{option}\" holds a secret, which is not in the manifest.",
                $"Create the volume {name} yourself with `docker volume create`, then restore into it.");
        return record.Volume with { Name = name };
    }

    private static bool Uses(ContainerFacts container, SourceRef target) => container.Mounts.Any(m => target.Kind == SourceKind.Volume
        ? m.Kind == "volume" && m.Source == target.Name
        : m.Kind == "bind" && (Within(m.Source, target.Name) || Within(target.Name, m.Source)));

    private static bool Within(string path, string folder) =>
        path == folder || folder == "/" || path.StartsWith(folder.TrimEnd('/') + "/", StringComparison.Ordinal);

    private static string Suggest(SourceRef target) => target.Kind == SourceKind.Volume ? $"{target.Name}_restored" : $"{target}.restored";
}
