using Backup.Environments;
using Backup.Planning;
using Backup.Policies;
using Backup.Quiescing;
using Backup.Snapshots;
using Backup.Streams;

namespace Backup.Running;

/// <summary>Into which running database a dump is loaded, and how.</summary>
/// <param name="Holds">What the database holds of a user's that will be removed; null = it is empty, or that cannot be told.</param>
public sealed record DumpLoad(ContainerFacts Container, DumpMethod Method, PresetOptions Options, string? Holds);

/// <summary>Brings a dump back: into the running database by its own client, or to a file.</summary>
internal sealed class DumpRestore(RunContext context, Backends backends)
{
    private static readonly TimeSpan Short = TimeSpan.FromMinutes(1), Long = TimeSpan.FromMinutes(30);

    /// <exception cref="BackupException">The database is not there, cannot be loaded, or is not empty and must not be overwritten.</exception>
    internal async Task<RestorePlan> PlanAsync(RestoreRequest request, Snapshot snapshot, SnapshotReader reader, CancellationToken cancel)
    {
        DumpRecord dump = reader.Record.Dump ?? throw new BackupException($"The manifest of {snapshot.Id} does not say how it was dumped.",
            "Write it to a file with --output and load it by hand.");
        if (request.Paths.Count > 0)
            throw new BackupException("--path chooses files of a volume, and this is a dump.", "Write all of it to a file with --output.", FailureKind.Usage);
        long bytes = reader.Files.Sum(f => f.Size);
        if (request.OutputDirectory is not null)
            return new RestorePlan(snapshot, reader.Record, null, null, null, [], null, null, 1, bytes, request.OutputDirectory, request.Overwrite, []);

        DumpMethod method = QuiescePresets.Named(dump.Preset)?.DumpFor(Options(dump))
            ?? throw new BackupException($"This program has no preset {dump.Preset}.", "Write the dump to a file with --output and load it by hand.");
        if (method.Load is null)
            throw new BackupException($"A dump of {dump.Preset} cannot be loaded into a running server.", method.LoadByHand);

        string name = request.ToEnvironment ?? snapshot.Environment;
        IEnvironment environment = await backends.EnvironmentAsync(name, cancel);
        Inventory inventory = await environment.InspectAsync(cancel);
        ContainerFacts container = Find(inventory, request, snapshot, reader.Record, name);
        PresetOptions options = Options(dump);
        if (method.Contents is null) await RequireAsync(environment, container, method.Check, options, cancel);
        (string? holds, List<string> notes) = await ContentsAsync(environment, container, method, options, cancel);
        if (holds is not null && !request.Overwrite)
            throw new BackupException($"The database in {container.Name} is not empty: it holds {holds}.",
                "Load the dump into an empty database with --as CONTAINER, or replace what is there with --overwrite.");
        notes.Add(dump.Held is null || method.Contents is null ? "Every statement must succeed. What the database holds afterwards is not compared with the dump."
            : $"Every statement must succeed, and afterwards the database must hold what it held when it was dumped: {dump.Held}. Rows are not compared.");
        if (dump.Databases.Count == 0 && dump.Preset is "postgres" or "mysql" or "mariadb") notes.Add("Users and their passwords become those of the dump.");
        return new RestorePlan(snapshot, reader.Record, name, DumpPlanner.NameOf(container, inventory), null, [], null, null, 1, bytes, null, request.Overwrite, notes)
        {
            Load = new DumpLoad(container, method, options, holds),
        };
    }

    /// <summary>Loads it; returns what the database holds now, and how that differs from what it held when it was dumped, in the user's words.</summary>
    /// <exception cref="BackupException">The load failed: the database is incomplete.</exception>
    internal async Task<(string? Holds, IReadOnlyList<string> Differences)> LoadAsync(RestorePlan plan, SnapshotReader reader, UndoJournal journal, CancellationToken cancel)
    {
        IEnvironment environment = backends.Environment(plan.EnvironmentName!);
        DumpLoad load = plan.Load!;
        string target = plan.Target!.ToString();
        // From here on it is half a database, which no backup may take for a whole one.
        journal.MarkBroken(environment.Name, target);
        try
        {
            // Also where nothing counts as content: what an earlier, failed load left may be in the way.
            if (plan.Overwrite && load.Method.Clear is { } clear)
            {
                context.Events.Report(new RunEvent.Step($"removing what {load.Container.Name} holds: {load.Holds ?? "no tables"}"));
                ExecResult cleared = await environment.ExecAsync(load.Container.Id, clear.Command(load.Options), Long, cancel);
                if (cleared.ExitCode != 0)
                    throw new EnvironmentException(environment.Name, $"what {load.Container.Name} holds could not be removed{ExecText.Reason(cleared.Error, cleared.Output)}", "See its log.");
            }
            context.Events.Report(new RunEvent.Step($"loading the dump into {load.Container.Name} in {environment.Name}"));
            await environment.LoadAsync(load.Container.Id, load.Method.Load!.Command(load.Options), plan.Bytes, async (input, token) =>
            {
                await using Stream dump = await OpenAsync(reader, token);
                var progress = new ByteProgress(context, environment.Name, target, plan.Bytes);
                await CopyAsync(dump, input, progress, token);
            }, cancel);
        }
        catch (BackupException e)
        {
            throw new BackupException($"{e.Problem} — the database in {load.Container.Name} is not complete.", $"{e.Hint} Then restore again with --overwrite.", e.Kind, e);
        }
        catch (OperationCanceledException)
        {
            context.Events.Report(new RunEvent.Error($"Interrupted: the database in {load.Container.Name} is not complete.", "Restore again with --overwrite."));
            throw;
        }
        journal.ClearBroken(environment.Name, target);
        if (load.Method.Contents is not { } contents) return (null, []);
        string holds = await DatabaseContents.ReadAsync(environment, load.Container, contents, load.Options, cancel);
        return (holds, reader.Record.Dump!.Held is { } held && held != holds ? [$"it holds {holds}, and when it was dumped it held {held}"] : []);
    }

    /// <summary>Writes the dump as one file, which has its name only when all of it is there.</summary>
    internal async Task<string> ExtractAsync(RestorePlan plan, SnapshotReader reader, CancellationToken cancel)
    {
        string path = Path.Combine(Path.GetFullPath(plan.OutputDirectory!), reader.Record.Dump!.FileName), partial = path + ".partial";
        if (!plan.Overwrite && File.Exists(path)) throw new BackupException($"{path} exists already.", "Choose another directory, or give --overwrite.", FailureKind.Usage);
        try
        {
            Directory.CreateDirectory(plan.OutputDirectory!);
            await using (var file = new FileStream(partial, new FileStreamOptions
            {
                Mode = FileMode.Create, Access = FileAccess.Write, UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite, Options = FileOptions.Asynchronous,
            }))
            {
                await WriteAsync(reader, file, plan, cancel);
                file.Flush(flushToDisk: true);
            }
            File.Move(partial, path, plan.Overwrite);
            return path;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new BackupException($"Writing {path} failed: {e.Message}", "Make room on that disk or choose another directory.", inner: e);
        }
        finally
        {
            File.Delete(partial);
        }
    }

    internal async Task WriteAsync(SnapshotReader reader, Stream output, RestorePlan plan, CancellationToken cancel)
    {
        await using Stream dump = await OpenAsync(reader, cancel);
        await CopyAsync(dump, output, new ByteProgress(context, plan.Snapshot.Environment, plan.Snapshot.Volume, plan.Bytes), cancel);
    }

    private static async Task<Stream> OpenAsync(SnapshotReader reader, CancellationToken cancel) =>
        new DumpContentStream(await reader.OpenTarAsync(cancel), reader.Files);

    private static async Task CopyAsync(Stream from, Stream to, ByteProgress progress, CancellationToken cancel)
    {
        byte[] buffer = new byte[256 * 1024];
        long total = 0;
        for (int n; (n = await from.ReadAsync(buffer, cancel)) > 0;)
        {
            await to.WriteAsync(buffer.AsMemory(0, n), cancel);
            progress.Report(total += n);
        }
    }

    /// <summary>The container that the user names, else the one that was dumped, also when it was recreated.</summary>
    private static ContainerFacts Find(Inventory inventory, RestoreRequest request, Snapshot snapshot, SnapshotRecord record, string environment)
    {
        ContainerFacts[] all = [.. inventory.Containers.Where(c => c.HelperOfRun is null)];
        ContainerFacts? found = request.AsVolume is { } wanted
            ? all.FirstOrDefault(c => c.Name == wanted || c.Id == wanted)
            : all.FirstOrDefault(c => record.Consumers.Any(was => was.Container == c.Name))
                ?? all.FirstOrDefault(c => record.Consumers.Any(was => was.ComposeService is not null && was.ComposeProject == c.ComposeProject && was.ComposeService == c.ComposeService))
                ?? all.FirstOrDefault(c => DumpPlanner.NameOf(c, inventory).ToString() == snapshot.Volume);
        if (found is null)
            throw new BackupException(request.AsVolume is { } name ? $"There is no container {name} in {environment}." : $"The container of {snapshot.Volume} is not in {environment}.",
                "A dump is loaded into a running database: start one, and name its container with --as. Or write the dump to a file with --output.", FailureKind.NotFound);
        return found.State == "running" ? found
            : throw new BackupException($"{found.Name} in {environment} is {found.State}.", "A dump is loaded into a running database: start it first.");
    }

    private static async Task RequireAsync(IEnvironment environment, ContainerFacts container, PresetScript check, PresetOptions options, CancellationToken cancel)
    {
        ExecResult result = await environment.ExecAsync(container.Id, check.Command(options), Short, cancel);
        if (result.ExitCode != 0)
            throw new EnvironmentException(environment.Name, $"{container.Name} cannot take the dump{ExecText.Reason(result.Error, result.Output)}",
                "It needs the programs and the password that its image's own variables, or the policy at the time of the dump, name.");
    }

    private static async Task<(string? Holds, List<string> Notes)> ContentsAsync(
        IEnvironment environment, ContainerFacts container, DumpMethod method, PresetOptions options, CancellationToken cancel)
    {
        if (method.Contents is null) return (null, ["What the database holds already cannot be told; the load adds to it, and replaces what has the same name."]);
        string said = await DatabaseContents.ReadAsync(environment, container, method.Contents, options, cancel);
        return (said == DatabaseContents.Empty ? null : said, []);
    }

    private static PresetOptions Options(DumpRecord dump) => PresetOptions.Default with
    {
        User = dump.User, PasswordFile = dump.PasswordFile, Databases = dump.Databases, Files = dump.Files,
        Format = dump.Format == "custom" ? DumpFormat.Custom : DumpFormat.Plain,
    };
}
