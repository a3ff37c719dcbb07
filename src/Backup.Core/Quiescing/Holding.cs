using Backup.Environments;
using Backup.Planning;
using Backup.Policies;
using Backup.Snapshots;

namespace Backup.Quiescing;

/// <summary>One container or service that is held back, and what undoes it.</summary>
/// <param name="healthTimeout">How long it may take to be well again after it came back.</param>
/// <param name="hurry">Ends that waiting.</param>
internal sealed class Holding(QuiesceStep step, HoldScene scene, TimeSpan healthTimeout, CancellationToken hurry)
{
    /// <summary>How long each way back may take before it is given up as a person's case.</summary>
    private static readonly TimeSpan ReleaseDeadline = TimeSpan.FromMinutes(3);

    private readonly Stack<Held> _hooks = new();
    private readonly List<QuiesceWindow> _windows = [];
    private readonly List<ReleaseFailure> _failures = [];
    private readonly List<string> _unproved = [];
    private Held? _down;
    private ContainerFacts? _before;
    private ServiceFacts? _scaled;
    private Task<Recovery>? _recovery;

    private sealed record Held(UndoEntry Entry, string How, DateTimeOffset From, long Started, Hook? Hook = null)
    {
        internal LockSession? Session { get; set; }
    }

    internal IReadOnlyList<QuiesceWindow> Windows => _windows;
    internal IReadOnlyList<ReleaseFailure> Failures => _failures;

    /// <summary>Why what was read meanwhile may not be what the preset promised.</summary>
    internal IReadOnlyList<string> Unproved => _unproved;

    /// <summary>What is being done to hold it, as far as it was begun.</summary>
    internal Task Doing { get; set; } = Task.CompletedTask;

    /// <summary>Somebody else brought it back while it was held.</summary>
    internal bool Disturbed { get; private set; }

    internal bool Needs(Holding other) => step.Needs.Any(n => n.ContainerId == other.Id);
    internal bool NeedsHealthy(Holding other) => step.Needs.Any(n => n.ContainerId == other.Id && n.Healthy);

    internal string Name => step.Name;

    internal string Id => step.Id;

    internal async Task RunBeforeHooksAsync(CancellationToken cancel)
    {
        if (step.Hooks.Count == 0 || await RunningAsync(cancel) is not { } now) return;
        foreach (Hook hook in step.Hooks)
        {
            cancel.ThrowIfCancellationRequested();
            IPreparedExec? before = hook.Before is null ? null : await scene.Environment.PrepareExecAsync(now.Id, hook.Before, cancel);
            Held? held = null;
            if (hook.After is not null) _hooks.Push(held = Write(Entry(UndoKind.Exec, HeldContainer.Of(now), hook) with { BeforeExec = before?.Id }, "hook", hook));
            if (hook.Session is not null) held!.Session = LockSession.Begin(now, hook.Session, scene);
            if (before is null) continue;
            // As in HoldAsync: the command goes on when nobody listens any more, and its after hook must not come before its end.
            ExecResult result = await before.RunAsync(hook.Timeout, CancellationToken.None);
            if (result.ExitCode != 0)
                throw Undoing.HookFailed(scene.Environment.Name, now.Name, "before", hook.Before!, held?.Session is { } session ? await session.ExplainAsync(result) : result);
            scene.Context.Events.Report(new RunEvent.ContainerQuiesced(scene.Environment.Name, now.Name, "hook"));
        }
    }

    internal async Task HoldAsync(CancellationToken cancel)
    {
        if (step.Service is not null)
        {
            await ScaleAsync(cancel);
            return;
        }
        if (step.Mode == QuiesceMode.None || await RunningAsync(cancel) is not { } now) return;
        // A container that crash-loops cannot be paused; stopping it ends the loop for the moment, starting it resumes the loop.
        bool stopInstead = now is { State: "restarting", SwarmTask: false, AutoRemove: false };
        if (step.Mode == QuiesceMode.Stop || stopInstead) await HoldAsync(now, ContainerVerb.Stop, UndoKind.Start, "stop", cancel);
        else await HoldAsync(now, ContainerVerb.Pause, UndoKind.Unpause, "pause", cancel);
    }

    /// <summary>
    /// A step that was begun is seen to its end, also when the run is interrupted: an engine goes on pausing or stopping when nobody listens any
    /// more, and a release that comes before it would find nothing to undo.
    /// </summary>
    private async Task HoldAsync(ContainerFacts now, ContainerVerb verb, UndoKind undo, string how, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        _before = now;
        _down = Write(Entry(undo, HeldContainer.Of(now)), how);
        await scene.Environment.ActAsync(new ContainerAction(verb, now.Id), CancellationToken.None);
        scene.Context.Events.Report(new RunEvent.ContainerQuiesced(scene.Environment.Name, now.Name, how));
    }

    /// <summary>As above. The count that it has now is the one it comes back to; the plan may be hours old.</summary>
    private async Task ScaleAsync(CancellationToken cancel)
    {
        if (await scene.Environment.FindServiceAsync(Id, cancel) is not { Replicas: > 0 } now) return;
        cancel.ThrowIfCancellationRequested();
        _scaled = now;
        _down = Write(Entry(UndoKind.Scale, null) with { Service = new HeldService(now.Id, now.Name, now.Replicas) }, "stop");
        if (!await scene.Environment.ScaleAsync(now.Id, now.Replicas, 0, CancellationToken.None))
            throw new EnvironmentException(scene.Environment.Name, $"the service {now.Name} was scaled by somebody else at the same moment", "Run it again.");
        scene.Context.Events.Report(new RunEvent.ContainerQuiesced(scene.Environment.Name, now.Name, "stop"));
    }

    /// <summary>Null when it was stopped since the plan was made: only what runs is held, and only that comes back.</summary>
    private async Task<ContainerFacts?> RunningAsync(CancellationToken cancel) =>
        await scene.Environment.FindContainerAsync(Id, cancel) is { Running: true } now ? now : null;

    private UndoEntry Entry(UndoKind kind, HeldContainer? container, Hook? hook = null) => new(scene.Context.NewId(), scene.RunId, scene.Environment.Name, kind,
        container, hook?.After, hook?.Timeout.TotalSeconds, scene.Context.Now, scene.Restore);

    private Held Write(UndoEntry entry, string how, Hook? hook = null)
    {
        scene.Journal.Add(entry);
        return new Held(entry, how, scene.Context.Now, scene.Context.Time.GetTimestamp(), hook);
    }

    /// <summary>Waits for the end of what was begun, however it ended.</summary>
    internal Task SettledAsync() => Doing.ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);

    internal async Task ReleaseAsync()
    {
        // A container that is not back cannot run its commands: they stay in the journal with it.
        if (_down is { } down && !await UndoAsync(down))
        {
            if (_hooks.Any(h => h.Hook!.Proves)) _unproved.Add($"{Name} is not back, and whether its preset held could not be asked");
            return;
        }
        while (_hooks.TryPop(out Held? hook))
        {
            bool undone = await UndoAsync(hook);
            if (hook.Hook!.Proves && !undone) _unproved.Add($"{Name}: its preset did not end well");
            if (hook.Session is not null && await hook.Session.WhyNotHeldAsync() is { } why) _unproved.Add($"{Name}: {why}");
        }
    }

    /// <returns>False when it failed.</returns>
    private async Task<bool> UndoAsync(Held held)
    {
        // A command has its own time, and may have to wait for the end of the one before.
        TimeSpan patience = ReleaseDeadline + 2 * TimeSpan.FromSeconds(held.Entry.TimeoutSeconds ?? 0);
        using var deadline = new CancellationTokenSource(patience, scene.Context.Time);
        string name = held.Entry.Name;
        try
        {
            Disturbed |= (await Undoing.UndoAsync(held.Entry, scene.Environment, scene.Context, deadline.Token)).Disturbed;
        }
        catch (Exception e) when (e is BackupException or OperationCanceledException)
        {
            string why = e is OperationCanceledException ? $"the engine did not answer within {patience.TotalMinutes:0} minutes" : e.Message;
            var failure = new ReleaseFailure($"{name} could not be brought back: {why}", $"By hand: {Undoing.ByHand(held.Entry)}");
            _failures.Add(failure);
            scene.Context.Events.Report(new RunEvent.Error(failure.Problem, failure.Hint));
            return false;
        }
        // A service is down until its new tasks run; what the engine took over so far is only their number.
        if (held.Entry.Kind == UndoKind.Scale && !Disturbed) await (_recovery ??= RecoverAsync());
        TimeSpan window = scene.Context.Time.GetElapsedTime(held.Started);
        _windows.Add(new QuiesceWindow(name, held.How, held.From, held.From + window));
        scene.Context.Events.Report(new RunEvent.ContainerResumed(scene.Environment.Name, name, held.How, window.TotalSeconds));
        Strike(held.Entry);
        return true;
    }

    // An undo that stays in the journal is found done by the next recover, so a full disk must not keep the other containers down.
    private void Strike(UndoEntry entry)
    {
        try
        {
            scene.Journal.Done(entry);
        }
        catch (BackupException e)
        {
            scene.Context.Events.Report(new RunEvent.Warning(e.Problem, e.Hint));
        }
    }

    /// <summary>Begins to wait for its health where it has a health check; the others wait for nothing.</summary>
    internal void WatchHealth()
    {
        if (_before?.Health is not null && !Disturbed) _recovery ??= RecoverAsync();
    }

    /// <summary>Null when it was not down, did not come back, or is somebody else's case by now.</summary>
    internal async Task<Recovery?> UntilHealthyAsync() => _down is null || Disturbed || _failures.Count > 0 ? null : await (_recovery ??= RecoverAsync());

    /// <summary>Null when it still is as it came back, or has a problem that was told.</summary>
    internal async Task<Recovery?> LookAgainAsync(IReadOnlyList<ContainerSight> now, CancellationToken cancel)
    {
        if (_before is null || await UntilHealthyAsync() is not { Problem: null } || now.Any(c => c.Id == Id && c.State is not ("exited" or "dead"))) return null;
        return await Recovery.LookAgainAsync(_before, _down!.How, scene.Environment, cancel);
    }

    private Task<Recovery> RecoverAsync() =>
        _scaled is not null ? ScaledService.WatchAsync(_scaled, scene.Environment, scene.Context, healthTimeout, hurry)
        : _before!.Health is null && _down!.How == "pause" ? Task.FromResult(new Recovery(_before.Name, null, null))
        : Recovery.WatchAsync(_before, _down!.How, scene.Environment, scene.Context, healthTimeout, hurry);
}
