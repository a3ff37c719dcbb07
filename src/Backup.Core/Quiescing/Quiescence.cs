using Backup.Environments;
using Backup.Planning;
using Backup.Policies;
using Backup.Snapshots;

namespace Backup.Quiescing;

/// <summary>
/// Containers that are held back while their data is read. Each undo is in the journal, on the disk, before its step is done. Release brings
/// them back newest first, on a deadline of its own: neither a failed backup nor a signal shortens it.
/// </summary>
public sealed class Quiescence
{
    /// <summary>How long bringing back all containers of one group may take before it is given up as a person's case.</summary>
    public static readonly TimeSpan ReleaseDeadline = TimeSpan.FromMinutes(3);

    private readonly IEnvironment _environment;
    private readonly RunContext _context;
    private readonly UndoJournal _journal;
    private readonly string _runId;
    private readonly string? _restore;
    private readonly Stack<Held> _held = new();
    private readonly List<QuiesceWindow> _windows = [];
    private readonly List<ReleaseFailure> _failures = [];

    private sealed record Held(UndoEntry Entry, string How, DateTimeOffset From, long Started);

    private Quiescence(IEnvironment environment, RunContext context, UndoJournal journal, string runId, string? restore)
    {
        _environment = environment;
        _context = context;
        _journal = journal;
        _runId = runId;
        _restore = restore;
    }

    /// <summary>Every window that was closed so far, in the order of closing.</summary>
    public IReadOnlyList<QuiesceWindow> Windows => _windows;

    /// <summary>Containers that could not be brought back. Their undo stays in the journal.</summary>
    public IReadOnlyList<ReleaseFailure> Failures => _failures;

    /// <summary>The longest window, seconds.</summary>
    public double DowntimeSeconds => _windows.Select(w => (w.Until - w.From).TotalSeconds).DefaultIfEmpty(0).Max();

    /// <summary>Does the steps in order. If one fails, what was held is released before the failure is thrown.</summary>
    /// <param name="restore">The restore target when it is a restore that stops its users, else null.</param>
    public static async Task<Quiescence> HoldAsync(
        IReadOnlyList<QuiesceStep> steps, IEnvironment environment, RunContext context, UndoJournal journal, string runId, string? restore, CancellationToken cancel)
    {
        var quiescence = new Quiescence(environment, context, journal, runId, restore);
        try
        {
            foreach (QuiesceStep step in steps) await quiescence.HoldAsync(step, cancel);
            cancel.ThrowIfCancellationRequested();
            return quiescence;
        }
        catch (Exception e)
        {
            await quiescence.ReleaseAsync();
            if (e is BackupException && quiescence.Failures is [var first, ..])
                throw new BackupException($"{e.Message} — and {first.Problem}", first.Hint, FailureKind.NeedsPerson, e);
            throw;
        }
    }

    private async Task HoldAsync(QuiesceStep step, CancellationToken cancel)
    {
        ContainerFacts? now = await _environment.FindContainerAsync(step.Container.Id, cancel);
        if (now is null || !now.Running) return; // stopped since the plan was made: only what runs is held, and only that comes back

        cancel.ThrowIfCancellationRequested();
        foreach (Hook hook in step.Hooks) await BeforeAsync(hook, now, cancel);
        // A container that crash-loops cannot be paused; stopping it ends the loop for the moment, starting it resumes the loop.
        bool stopInstead = step.Mode == QuiesceMode.Pause && now is { State: "restarting", SwarmTask: false, AutoRemove: false };
        switch (stopInstead ? QuiesceMode.Stop : step.Mode)
        {
            case QuiesceMode.Pause:
                Push(now, UndoKind.Unpause, "pause");
                await ActAsync(ContainerVerb.Pause, now, cancel);
                _context.Events.Report(new RunEvent.ContainerQuiesced(_environment.Name, now.Name, "pause"));
                break;
            case QuiesceMode.Stop:
                Push(now, UndoKind.Start, "stop");
                await ActAsync(ContainerVerb.Stop, now, cancel);
                _context.Events.Report(new RunEvent.ContainerQuiesced(_environment.Name, now.Name, "stop"));
                break;
        }
    }

    private async Task BeforeAsync(Hook hook, ContainerFacts now, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        if (hook.After is not null) Push(now, UndoKind.Exec, "hook", hook);
        if (hook.Before is null) return;
        // As in ActAsync: the command goes on when nobody listens any more, and its after hook must not come before its end.
        ExecResult result = await _environment.ExecAsync(now.Id, hook.Before, hook.Timeout, CancellationToken.None);
        if (result.ExitCode != 0) throw Undoing.HookFailed(_environment.Name, now.Name, "before", hook.Before, result);
        _context.Events.Report(new RunEvent.ContainerQuiesced(_environment.Name, now.Name, "hook"));
    }

    /// <summary>
    /// A step that was begun is seen to its end, also when the run is interrupted: an engine goes on pausing or stopping when nobody listens any
    /// more, and a release that comes before it would find nothing to undo.
    /// </summary>
    private async Task ActAsync(ContainerVerb verb, ContainerFacts container, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        await _environment.ActAsync(new ContainerAction(verb, container.Id), CancellationToken.None);
    }

    private void Push(ContainerFacts now, UndoKind kind, string how, Hook? hook = null)
    {
        var entry = new UndoEntry(_context.NewId(), _runId, _environment.Name, kind, HeldContainer.Of(now), hook?.After,
            hook?.Timeout.TotalSeconds, _context.Now, _restore);
        _journal.Add(entry);
        _held.Push(new Held(entry, how, _context.Now, _context.Time.GetTimestamp()));
    }

    /// <summary>Brings back everything that is still held. Never throws for the world's failures; see <see cref="Failures"/>.</summary>
    public async Task ReleaseAsync()
    {
        using var deadline = new CancellationTokenSource(ReleaseDeadline, _context.Time);
        while (_held.TryPop(out Held? held))
        {
            string name = held.Entry.Container!.Name;
            try
            {
                await Undoing.UndoAsync(held.Entry, _environment, _context, deadline.Token);
            }
            catch (Exception e) when (e is BackupException or OperationCanceledException)
            {
                string why = e is OperationCanceledException ? $"the engine did not answer within {ReleaseDeadline.TotalMinutes:0} minutes" : e.Message;
                var failure = new ReleaseFailure($"{name} could not be brought back: {why}", $"By hand: {Undoing.ByHand(held.Entry)}");
                _failures.Add(failure);
                _context.Events.Report(new RunEvent.Error(failure.Problem, failure.Hint));
                continue;
            }
            TimeSpan window = _context.Time.GetElapsedTime(held.Started);
            _windows.Add(new QuiesceWindow(name, held.How, held.From, held.From + window));
            _context.Events.Report(new RunEvent.ContainerResumed(_environment.Name, name, held.How, window.TotalSeconds));
            Strike(held.Entry);
        }
    }

    // An undo that stays in the journal is found done by the next recover, so a full disk must not keep the other containers down.
    private void Strike(UndoEntry entry)
    {
        try
        {
            _journal.Done(entry);
        }
        catch (BackupException e)
        {
            _context.Events.Report(new RunEvent.Warning(e.Problem, e.Hint));
        }
    }
}

public sealed record ReleaseFailure(string Problem, string Hint);
