using Backup.Quiescing;

namespace Backup.Running;

/// <param name="Actions">What was done, in the user's words.</param>
/// <param name="Failures">What could not be undone; it stays in the journal.</param>
public sealed record RecoverReport(IReadOnlyList<string> Actions, IReadOnlyList<RunFailure> Failures);

/// <summary>Undoes what a killed run left, newest first.</summary>
public sealed class RecoverRun(RunContext context, Backends backends)
{
    public Task<RecoverReport> RunAsync(UndoJournal journal, CancellationToken cancel) => RunAsync(journal, null, cancel);

    /// <param name="environments">Only these; null = all that the journal names.</param>
    internal async Task<RecoverReport> RunAsync(UndoJournal journal, IReadOnlyList<string>? environments, CancellationToken cancel)
    {
        var actions = new List<string>();
        var failures = new List<RunFailure>();
        var failed = new HashSet<string>(StringComparer.Ordinal);
        var down = new HashSet<string>(StringComparer.Ordinal);
        foreach (UndoEntry entry in journal.Pending.Reverse())
        {
            if (environments is not null && !environments.Contains(entry.Environment)) continue;
            bool container = entry.Kind != UndoKind.RemoveHelpers;
            // Helpers can wait; every container is worth its own try.
            if (!container && failed.Contains(entry.Environment)) continue;
            // The command of a container that is not back waits for it.
            if (entry.Kind == UndoKind.Exec && down.Contains(entry.Container!.Id)) continue;
            if (entry.Restore is not null && journal.IsBroken(entry.Environment, entry.Restore))
            {
                failures.Add(new RunFailure(entry.Environment, entry.Restore,
                    $"{entry.Name} stays down: a restore into {entry.Restore} began to replace its content and did not finish.",
                    $"Restore it again with --overwrite, which brings {entry.Name} back. To start it as it is: {Undoing.ByHand(entry)}, then delete the journal in the state directory.",
                    "quiesce", NeedsPerson: true));
                continue;
            }
            try
            {
                Undone done = await Undoing.UndoAsync(entry, await backends.EnvironmentAsync(entry.Environment, cancel), context, cancel);
                actions.Add($"{entry.Environment}: {done.Text}");
                journal.Done(entry);
            }
            catch (BackupException e)
            {
                failed.Add(entry.Environment);
                if (entry.Kind is UndoKind.Start or UndoKind.Unpause) down.Add(entry.Container!.Id);
                failures.Add(new RunFailure(entry.Environment, null,
                    container ? $"{entry.Name} could not be brought back: {e.Problem}" : $"Helper containers of a killed run could not be removed: {e.Problem}",
                    $"{e.Hint} By hand: {Undoing.ByHand(entry)}", "quiesce", NeedsPerson: container));
                // A hook that ran and failed will fail again: it was told once, a person decides.
                if (entry.Kind == UndoKind.Exec && e is Environments.EnvironmentException { Unreachable: false }) journal.Done(entry);
            }
        }
        return new RecoverReport(actions, failures);
    }
}
