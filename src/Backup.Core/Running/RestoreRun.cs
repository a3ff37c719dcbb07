using Backup.Environments;
using Backup.Planning;
using Backup.Policies;
using Backup.Quiescing;
using Backup.Snapshots;

namespace Backup.Running;

/// <summary>
/// Restores a snapshot into an environment or a directory. Nothing is touched before the plan stands and the snapshot's bytes were seen in
/// the store; what was written is read back and compared with the manifest.
/// </summary>
public sealed class RestoreRun(RunContext context, Backends backends)
{
    /// <param name="journal">Remembers the helpers that look into the target; may be null for a plan into a directory, which needs none.</param>
    public Task<RestorePlan> PlanAsync(RestoreRequest request, UndoJournal? journal, CancellationToken cancel) =>
        new RestorePlanner(context, backends, journal).PlanAsync(request, cancel);

    /// <param name="journal">May be null for a plan into a directory, which holds no container back.</param>
    public async Task<RestoreReport> RunAsync(RestorePlan plan, UndoJournal? journal, CancellationToken cancel)
    {
        long started = context.Time.GetTimestamp();
        ISnapshotStore store = backends.Store(plan.Snapshot.Store);
        IReadOnlyList<string> problems = await store.VerifyAsync(plan.Snapshot, readData: false, null, cancel);
        if (problems.Count > 0)
            throw new BackupException($"The snapshot is not whole: {string.Join("; ", problems)}", "Choose another one: `backup snapshots`. Nothing was touched.");

        await using SnapshotReader reader = await store.OpenAsync(plan.Snapshot, cancel);
        if (IsDump(plan)) return await RunDumpAsync(plan, reader, journal, started, cancel);
        return plan.OutputDirectory is { } directory
            ? await ExtractAsync(plan, reader, directory, started, cancel)
            : await FillAsync(plan, reader, journal ?? throw new ArgumentNullException(nameof(journal)), started, cancel);
    }

    /// <summary>Writes the snapshot, or the chosen paths, as a tar; a dump as it is. The bytes are proved before the last of them is written.</summary>
    public async Task WriteTarAsync(RestorePlan plan, Stream output, CancellationToken cancel)
    {
        await using SnapshotReader reader = await backends.Store(plan.Snapshot.Store).OpenAsync(plan.Snapshot, cancel);
        if (IsDump(plan))
        {
            await new DumpRestore(context, backends).WriteAsync(reader, output, plan, cancel);
            return;
        }
        await using Stream tar = await OpenAsync(plan, reader, cancel);
        await CopyAsync(tar, output, plan, plan.Snapshot.Environment, cancel);
    }

    private static bool IsDump(RestorePlan plan) => SourceRef.Parse(plan.Snapshot.Volume).Kind == SourceKind.Dump;

    private async Task<RestoreReport> RunDumpAsync(RestorePlan plan, SnapshotReader reader, UndoJournal? journal, long started, CancellationToken cancel)
    {
        var restore = new DumpRestore(context, backends);
        string target;
        IReadOnlyList<string> notes = plan.Notes, differences = [];
        if (plan.Load is { } load)
        {
            (string? holds, differences) = await restore.LoadAsync(plan, reader, journal ?? throw new ArgumentNullException(nameof(journal)), cancel);
            target = $"the database in {load.Container.Name} in {plan.EnvironmentName}";
            if (holds is not null) notes = [.. notes, $"It holds now: {holds}."];
        }
        else
        {
            target = await restore.ExtractAsync(plan, reader, cancel);
        }
        return new RestoreReport(plan.Snapshot, target, plan.Files, plan.Bytes, context.Time.GetElapsedTime(started).TotalSeconds, 0, differences, notes, []);
    }

    private async Task<RestoreReport> ExtractAsync(RestorePlan plan, SnapshotReader reader, string directory, long started, CancellationToken cancel)
    {
        await using Stream tar = await OpenAsync(plan, reader, cancel);
        Extraction extracted = await TarExtractor.ExtractAsync(tar, directory, plan.Overwrite, cancel);
        if (extracted.Files < plan.Files)
            throw new BackupException($"Only {extracted.Files} of {plan.Files} files were written to {directory}.", "Look at the notes above and restore into an empty directory.");
        return new RestoreReport(plan.Snapshot, Path.GetFullPath(directory), extracted.Files, extracted.Bytes,
            context.Time.GetElapsedTime(started).TotalSeconds, 0, [], extracted.Notes, []);
    }

    private async Task<RestoreReport> FillAsync(RestorePlan plan, SnapshotReader reader, UndoJournal journal, long started, CancellationToken cancel)
    {
        IEnvironment environment = backends.Environment(plan.EnvironmentName!);
        SourceRef target = plan.Target!;
        if (plan.Entries is not null && journal.IsBroken(environment.Name, target.ToString()))
            throw new BackupException($"An earlier restore into {target} did not finish: some paths alone would not make it whole.",
                "Restore all of it first, with --overwrite. Nothing was touched.");
        string runId = context.NewId();
        var failures = new List<RunFailure>();
        IReadOnlyList<string> differences;
        var helpers = new RunHelpers(context, environment, journal, runId);
        var held = new Quiescence(new HoldScene(environment, context, journal, runId, target.ToString()), VolumePolicy.DefaultHealthTimeout);
        try
        {
            await held.HoldAsync(plan.Quiesce, cancel);
            await MakeRoomAsync(plan, environment, target, runId, journal, cancel);
            context.Events.Report(new RunEvent.Step($"writing {target} in {environment.Name}"));
            await environment.FillAsync(target, runId, async (body, token) =>
            {
                await using Stream tar = await OpenAsync(plan, reader, token);
                // Nothing had to be emptied, yet what was stopped must not come back over files of which half are written.
                if (plan.Quiesce.Count > 0 && !journal.IsBroken(environment.Name, target.ToString())) journal.MarkBroken(environment.Name, target.ToString());
                await CopyAsync(tar, body, plan, environment.Name, token);
            }, cancel);

            context.Events.Report(new RunEvent.Step($"reading {target} back and comparing it with the manifest"));
            differences = await CompareAsync(plan, reader, environment, target, runId, cancel);
            if (differences.Count == 0) journal.ClearBroken(environment.Name, target.ToString());
        }
        catch (BackupException e) when (journal.IsBroken(environment.Name, target.ToString()))
        {
            throw new BackupException($"{e.Problem} — the new content of {target} is not complete{(plan.HowEmptied is null ? "" : ", and the old is gone")}.",
                $"{e.Hint} Then restore again with --overwrite.{StayDown(plan)}",
                plan.Quiesce.Count > 0 ? FailureKind.NeedsPerson : FailureKind.Failed, e);
        }
        catch (OperationCanceledException e) when (journal.IsBroken(environment.Name, target.ToString()))
        {
            string problem = $"Interrupted: the new content of {target} is not complete{(plan.HowEmptied is null ? "" : ", and the old is gone")}.";
            string hint = $"Restore again with --overwrite.{StayDown(plan)}";
            // "Interrupted" alone promises that the containers are back. These are not.
            if (plan.Quiesce.Count > 0) throw new BackupException(problem, hint, FailureKind.NeedsPerson, e);
            context.Events.Report(new RunEvent.Error(problem, hint));
            throw;
        }
        finally
        {
            if (!journal.IsBroken(environment.Name, target.ToString())) await held.ReleaseAsync();
            await helpers.DisposeAsync();
        }

        if (journal.IsBroken(environment.Name, target.ToString()))
            failures.Add(new RunFailure(environment.Name, target.ToString(), "What was read back differs from the snapshot.",
                $"Look at the differences, then restore again with --overwrite.{StayDown(plan)}", "source", plan.Quiesce.Count > 0));
        failures.AddRange(held.Failures.Select(f => new RunFailure(environment.Name, target.ToString(), f.Problem, f.Hint, "quiesce", NeedsPerson: true)));
        failures.AddRange((await held.RecoveriesAsync()).Where(r => r.Problem is not null)
            .Select(r => new RunFailure(environment.Name, target.ToString(), r.Problem!, r.Hint, "quiesce")));
        if (!journal.IsBroken(environment.Name, target.ToString()))
            failures.AddRange((await new RecoverRun(context, backends).RunAsync(journal, [environment.Name], cancel)).Failures);

        return new RestoreReport(plan.Snapshot, $"{environment.Name}/{target}", plan.Files, plan.Bytes, context.Time.GetElapsedTime(started).TotalSeconds,
            held.DowntimeSeconds, differences, plan.Notes, failures);
    }

    private async Task MakeRoomAsync(
        RestorePlan plan, IEnvironment environment, SourceRef target, string runId, UndoJournal journal, CancellationToken cancel)
    {
        if (plan.Creates is not null)
        {
            await environment.CreateVolumeAsync(plan.Creates, cancel);
            // A driver option such as device= can make a new name for storage that is in use already.
            if (!await environment.IsEmptyAsync(target, runId, cancel))
                throw new BackupException($"The new volume {target} is not empty: its driver options point at storage that is in use.",
                    $"Create it yourself with other options (`docker volume rm {target.Name}`, `docker volume create …`), then restore into it. Nothing was written.");
        }
        else if (plan.HowEmptied is not null)
        {
            journal.MarkBroken(environment.Name, target.ToString());
            context.Events.Report(new RunEvent.Step($"emptying {target}: {plan.HowEmptied}"));
            await environment.EmptyAsync(target, runId, cancel);
        }
    }

    private static async Task<IReadOnlyList<string>> CompareAsync(
        RestorePlan plan, SnapshotReader reader, IEnvironment environment, SourceRef target, string runId, CancellationToken cancel)
    {
        await using ISourceHandle handle = await environment.PrepareSourceAsync(target, runId, cancel);
        await using Stream tar = await handle.OpenAsync(cancel);
        TarDifferences found = await TarComparison.CompareAsync(plan.Entries ?? reader.Files, tar, cancel, partial: plan.Entries is not null);
        return found.Total <= found.Messages.Count ? found.Messages : [.. found.Messages, $"and {found.Total - found.Messages.Count} more"];
    }

    private static Task<Stream> OpenAsync(RestorePlan plan, SnapshotReader reader, CancellationToken cancel) =>
        plan.Entries is null ? reader.OpenTarAsync(cancel) : reader.OpenTarAsync(plan.Entries, cancel);

    private async Task CopyAsync(Stream tar, Stream output, RestorePlan plan, string environment, CancellationToken cancel)
    {
        var progress = new ByteProgress(context, environment, plan.Snapshot.Volume, plan.Entries is null ? plan.Snapshot.Bytes : plan.Bytes);
        byte[] buffer = new byte[256 * 1024];
        long total = 0;
        for (int n; (n = await tar.ReadAsync(buffer, cancel)) > 0;)
        {
            await output.WriteAsync(buffer.AsMemory(0, n), cancel);
            progress.Report(total += n);
        }
    }

    private static string StayDown(RestorePlan plan) =>
        plan.Quiesce.Count == 0 ? "" : $" Until then {string.Join(", ", plan.Quiesce.Select(q => q.Name))} stays stopped, so that nothing starts on half a volume.";
}
