using Backup.Environments;
using Backup.Quiescing;

namespace Backup.Running;

/// <summary>
/// The helper containers of one run in one environment: in the journal before the first of them is made, struck out when none is left.
/// Each is removed by whoever made it; disposing makes sure, on a deadline of its own and without throwing for the world's failures.
/// </summary>
internal sealed class RunHelpers : IAsyncDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private readonly RunContext _context;
    private readonly IEnvironment _environment;
    private readonly UndoJournal _journal;
    private readonly UndoEntry _entry;

    /// <summary>Writes them down.</summary>
    /// <param name="runId">Their label.</param>
    /// <exception cref="BackupException">The journal cannot be written.</exception>
    internal RunHelpers(RunContext context, IEnvironment environment, UndoJournal journal, string runId)
    {
        (_context, _environment, _journal) = (context, environment, journal);
        _entry = new UndoEntry(context.NewId(), runId, environment.Name, UndoKind.RemoveHelpers, null, null, null, context.Now, null);
        journal.Add(_entry);
    }

    public async ValueTask DisposeAsync()
    {
        using var deadline = new CancellationTokenSource(Deadline, _context.Time);
        try
        {
            await _environment.RemoveHelpersAsync(_entry.Run, deadline.Token);
            _journal.Done(_entry);
        }
        catch (Exception e) when (e is BackupException or OperationCanceledException)
        {
            _context.Events.Report(new RunEvent.Warning($"{_environment.Name}: helper containers of this run may be left: {e.Message}",
                "The next run or `backup recover` removes them."));
        }
    }
}
