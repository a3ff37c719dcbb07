using Backup.Environments;
using Backup.Planning;
using Backup.Policies;
using Backup.Quiescing;
using Backup.Tests.Fakes;
using Shouldly;
using Xunit;

namespace Backup.Tests.Quiescing;

public sealed class QuiescenceTests : IAsyncLifetime
{
    private const int Limit = 30_000;
    private readonly string _state = Directory.CreateTempSubdirectory("backup-quiescence-").FullName;
    private readonly RecordingContext _context = new();
    private readonly FakeEnvironment _engine;
    private UndoJournal _journal = null!;

    public QuiescenceTests() => _engine = new FakeEnvironment("local", _context.Run);

    public async Task InitializeAsync() => _journal = await UndoJournal.OpenAsync(_state, _context.Run, TimeSpan.Zero, default);

    public async Task DisposeAsync()
    {
        await _journal.DisposeAsync();
        Directory.Delete(_state, recursive: true);
    }

    private Quiescence Held(double healthSeconds = 0) => new(new HoldScene(_engine, _context.Run, _journal, "run", null), TimeSpan.FromSeconds(healthSeconds));

    private static QuiesceStep Step(ContainerFacts container, QuiesceMode mode, params Need[] needs) => new(container, mode, [], "test") { Needs = needs };

    private static QuiesceStep Hooked(ContainerFacts container, QuiesceMode mode, string before, string after) =>
        new(container, mode, [new Hook([before], [after], TimeSpan.FromSeconds(30))], "test");

    private static Need On(ContainerFacts container, bool healthy = false) => new(container.Id, healthy);

    private ContainerFacts WithHealth(string name)
    {
        ContainerFacts made = _engine.AddContainer(name);
        _engine.Meddle(made.Id, c => c with { Health = "healthy" });
        return _engine.Container(made.Id);
    }

    private string Actions => string.Join(" ", _engine.Actions.Select(a => $"{a.Verb.ToString().ToLowerInvariant()}:{_engine.Container(a.ContainerId).Name}"));

    [Fact(Timeout = Limit)]
    public async Task An_interruption_lets_the_before_hook_end_before_the_after_hook_undoes_it()
    {
        ContainerFacts db = _engine.AddContainer("db");
        using var stop = new CancellationTokenSource();
        var happened = new List<string>();
        _engine.ExecGoesOn = async (_, command) =>
        {
            happened.Add($"{command[0]} begins");
            if (command[0] == "flush")
            {
                await stop.CancelAsync();
                await Task.Delay(200);
            }
            happened.Add($"{command[0]} ends");
        };

        await Should.ThrowAsync<OperationCanceledException>(() => Held().HoldAsync([Hooked(db, QuiesceMode.Pause, "flush", "unflush")], stop.Token));

        happened.ShouldBe(["flush begins", "flush ends", "unflush begins", "unflush ends"]);
        _engine.Actions.ShouldBeEmpty("nobody is paused any more for a run that ends");
        _journal.Pending.ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task Dependents_go_down_first_and_come_back_last()
    {
        ContainerFacts web = _engine.AddContainer("web"), app = _engine.AddContainer("app"), db = _engine.AddContainer("db");
        Quiescence held = Held();
        await held.HoldAsync([Step(web, QuiesceMode.Stop, On(app), On(db)), Step(app, QuiesceMode.Pause, On(db)), Step(db, QuiesceMode.Stop)], default);
        await held.ReleaseAsync();
        Actions.ShouldBe("stop:web pause:app stop:db start:db unpause:app start:web");
        held.Windows.Select(w => $"{w.Container}:{w.How}").ShouldBe(["db:stop", "app:pause", "web:stop"]);
        _journal.Pending.ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task Those_that_do_not_depend_on_each_other_go_down_and_come_back_side_by_side()
    {
        ContainerFacts[] all = [_engine.AddContainer("a"), _engine.AddContainer("b"), _engine.AddContainer("c")];
        var barrier = new Dictionary<string, TaskCompletionSource> { ["stop"] = new(), ["start"] = new() };
        int waiting = 0;
        _engine.ActGoesOn = async (verb, _) =>
        {
            // Each ends only when all three were begun: one after the other would wait for ever.
            if (Interlocked.Increment(ref waiting) % 3 == 0) barrier[verb].SetResult();
            await barrier[verb].Task;
        };
        Quiescence held = Held();
        await held.HoldAsync([.. all.Select(c => Step(c, QuiesceMode.Stop))], default);
        await held.ReleaseAsync();
        waiting.ShouldBe(6);
        _engine.Containers.ShouldAllBe(c => c.State == "running");
    }

    [Fact(Timeout = Limit)]
    public async Task Every_before_hook_runs_while_all_are_up_and_every_after_hook_when_its_own_needs_are_back()
    {
        ContainerFacts web = _engine.AddContainer("web"), db = _engine.AddContainer("db");
        var states = new List<string>();
        _engine.OnExec = (_, command) =>
        {
            states.Add($"{command[0]}: web {_engine.Container(web.Id).State}, db {_engine.Container(db.Id).State}");
            return new ExecResult(0, "", "");
        };
        Quiescence held = Held();
        await held.HoldAsync([Hooked(web, QuiesceMode.Stop, "drain", "open") with { Needs = [On(db)] }, Hooked(db, QuiesceMode.Pause, "flush", "unflush")], default);
        await held.ReleaseAsync();
        states.ShouldBe(["drain: web running, db running", "flush: web running, db running", "unflush: web exited, db running", "open: web running, db running"]);
    }

    [Fact(Timeout = Limit)]
    public async Task A_dependent_that_asks_for_a_healthy_dependency_waits_for_it_and_nobody_else_does()
    {
        ContainerFacts app = _engine.AddContainer("app"), db = WithHealth("db"), other = _engine.AddContainer("other");
        bool healthy = false;
        _engine.HealthOf = c => c.Health == "starting" && healthy ? "healthy" : c.Health;
        Quiescence held = Held(healthSeconds: 20);
        await held.HoldAsync([Step(app, QuiesceMode.Stop, On(db, healthy: true)), Step(db, QuiesceMode.Stop), Step(other, QuiesceMode.Pause)], default);

        Task release = held.ReleaseAsync();
        while (_engine.Container(other.Id).State != "running" || _engine.Container(db.Id).State != "running") await Task.Delay(10);
        _engine.Container(app.Id).State.ShouldBe("exited");
        healthy = true;
        await release;

        _engine.Container(app.Id).State.ShouldBe("running");
        (await held.RecoveriesAsync()).Select(r => (r.Container, r.Health, r.Problem)).ShouldBe([("app", null, null), ("db", "healthy", null), ("other", null, null)]);
    }

    [Fact(Timeout = Limit)]
    public async Task Who_does_not_become_healthy_is_told_and_its_dependents_come_back_all_the_same()
    {
        ContainerFacts app = _engine.AddContainer("app"), db = WithHealth("db");
        Quiescence held = Held(healthSeconds: 1);
        await held.HoldAsync([Step(app, QuiesceMode.Stop, On(db, healthy: true)), Step(db, QuiesceMode.Stop)], default);
        await held.ReleaseAsync();
        _engine.Container(app.Id).State.ShouldBe("running");
        Recovery unwell = (await held.RecoveriesAsync()).Single(r => r.Problem is not null);
        (unwell.Container, unwell.Health).ShouldBe(("db", "starting"));
        unwell.Problem.ShouldBe("db is not healthy 1 s after it came back, but starting");
        held.Failures.ShouldBeEmpty("it is back");
    }

    [Fact(Timeout = Limit)]
    public async Task An_interruption_ends_the_waiting_for_health_and_brings_dependents_back()
    {
        ContainerFacts app = _engine.AddContainer("app"), db = WithHealth("db");
        using var interrupted = new CancellationTokenSource();
        Quiescence held = Held(healthSeconds: 600);
        await held.HoldAsync([Step(app, QuiesceMode.Stop, On(db, healthy: true)), Step(db, QuiesceMode.Stop)], interrupted.Token);
        Task release = held.ReleaseAsync();
        while (_engine.Container(db.Id).State != "running") await Task.Delay(10);
        await interrupted.CancelAsync();
        await release;
        _engine.Containers.ShouldAllBe(c => c.State == "running");
        (await held.RecoveriesAsync()).ShouldAllBe(r => r.Problem == null);
    }

    [Fact(Timeout = Limit)]
    public async Task What_was_unwell_before_owes_no_health_and_what_ended_badly_is_told()
    {
        ContainerFacts sick = WithHealth("sick"), crashing = _engine.AddContainer("crashing"), done = _engine.AddContainer("done");
        _engine.Meddle(sick.Id, c => c with { Health = "unhealthy" });
        Quiescence held = Held(healthSeconds: 20);
        await held.HoldAsync([Step(sick, QuiesceMode.Stop), Step(crashing, QuiesceMode.Stop), Step(done, QuiesceMode.Stop)], default);
        await held.ReleaseAsync();
        _engine.Meddle(crashing.Id, c => c with { State = "exited", ExitCode = 3 });
        _engine.Meddle(done.Id, c => c with { State = "exited", ExitCode = 0 });
        (await held.RecoveriesAsync()).Select(r => r.Problem).ShouldBe([null, "crashing was started again and ended with exit code 3", "done was started again and ended with exit code 0"]);
    }

    [Theory(Timeout = Limit)]
    [InlineData(QuiesceMode.Stop, 137, true, "db was started again and was killed because its memory was over")]
    [InlineData(QuiesceMode.Pause, 137, true, "db came back and was killed because its memory was over")]
    [InlineData(QuiesceMode.Pause, 2, false, "db came back and ended with exit code 2")]
    [InlineData(QuiesceMode.Stop, 0, false, "db was started again and ended with exit code 0")]
    [InlineData(QuiesceMode.Pause, 0, false, null)]
    public async Task Who_was_well_when_it_came_back_and_is_down_later_is_told(QuiesceMode mode, int exitCode, bool outOfMemory, string? problem)
    {
        ContainerFacts db = _engine.AddContainer("db"), other = _engine.AddContainer("other");
        Quiescence held = Held();
        await held.HoldAsync([Step(db, mode), Step(other, mode)], default);
        await held.ReleaseAsync();
        (await held.RecoveriesAsync()).ShouldAllBe(r => r.Problem == null);
        _engine.Meddle(db.Id, c => c with { State = "exited", ExitCode = exitCode, OutOfMemory = outOfMemory });

        var asked = new HashSet<string>();
        (await held.LookAgainAsync(await _engine.ListContainersAsync(default), asked, default)).Select(r => r.Problem).ShouldBe(problem is null ? [] : [problem]);
        (await held.LookAgainAsync(await _engine.ListContainersAsync(default), asked, default)).ShouldBeEmpty("it was told");
    }

    [Fact(Timeout = Limit)]
    public async Task Releasing_twice_brings_back_once()
    {
        ContainerFacts db = _engine.AddContainer("db");
        Quiescence held = Held();
        await held.HoldAsync([Step(db, QuiesceMode.Stop)], default);
        await Task.WhenAll(Enumerable.Range(0, 5).Select(_ => Task.Run(held.ReleaseAsync)));
        Actions.ShouldBe("stop:db start:db");
        held.Windows.ShouldHaveSingleItem();
    }

    [Fact(Timeout = Limit)]
    public async Task When_one_cannot_be_held_nobody_more_is_and_all_come_back()
    {
        ContainerFacts web = _engine.AddContainer("web"), app = _engine.AddContainer("app"), db = _engine.AddContainer("db");
        _engine.Fault = call => call is { Operation: "pause" } && call.Subject == app.Id ? new EnvironmentFault.Before(new EnvironmentException("local", "no pausing today", "")) : null;
        Quiescence held = Held();
        (await Should.ThrowAsync<EnvironmentException>(() => held.HoldAsync(
            [Step(web, QuiesceMode.Stop, On(app)), Step(app, QuiesceMode.Pause, On(db)), Step(db, QuiesceMode.Stop)], default))).Problem.ShouldBe("no pausing today");
        Actions.ShouldBe("stop:web start:web");
        _journal.Pending.ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task A_container_that_is_not_back_keeps_its_after_hook_in_the_journal()
    {
        ContainerFacts db = _engine.AddContainer("db");
        Quiescence held = Held();
        await held.HoldAsync([Hooked(db, QuiesceMode.Stop, "flush", "unflush")], default);
        _engine.Fault = call => call.Operation == "start" ? new EnvironmentFault.Before(new EnvironmentException("local", "no", "")) : null;
        await held.ReleaseAsync();
        held.Failures.ShouldHaveSingleItem().Hint.ShouldBe("By hand: docker start db");
        _journal.Pending.Select(e => e.Kind).ShouldBe([UndoKind.Exec, UndoKind.Start]);
    }

    [Fact(Timeout = Limit)]
    public async Task Who_was_brought_back_by_somebody_else_is_named()
    {
        ContainerFacts db = _engine.AddContainer("db"), web = _engine.AddContainer("web"), app = _engine.AddContainer("app");
        Quiescence held = Held();
        await held.HoldAsync([Step(db, QuiesceMode.Stop), Step(web, QuiesceMode.Pause), Step(app, QuiesceMode.Pause)], default);
        _engine.Meddle(db.Id, c => c with { State = "running", StartedAt = "later" });
        _engine.Meddle(web.Id, c => c with { State = "running" });
        await held.ReleaseAsync();
        held.Disturbed.ShouldBe(["db", "web"]);
    }

    [Fact(Timeout = Limit)]
    public async Task The_after_hook_of_a_killed_run_waits_for_the_before_hook_that_still_runs()
    {
        ContainerFacts db = _engine.AddContainer("db");
        var before = new TaskCompletionSource();
        var happened = new List<string>();
        _engine.ExecGoesOn = (_, command) => command[0] == "flush" ? before.Task : Task.CompletedTask;
        _engine.OnExec = (_, command) =>
        {
            happened.Add($"{command[0]}, flush {(before.Task.IsCompleted ? "is over" : "runs")}");
            return new ExecResult(0, "", "");
        };
        IPreparedExec begun = await _engine.PrepareExecAsync(db.Id, ["flush"], default);
        _ = begun.RunAsync(TimeSpan.FromHours(1), default);
        while (happened.Count == 0) await Task.Delay(10);
        var left = new UndoEntry("1", "run", "local", UndoKind.Exec, HeldContainer.Of(db), ["unflush"], 20, _context.Run.Now, null) { BeforeExec = begun.Id };

        Task<Undone> recover = Undoing.UndoAsync(left, _engine, _context.Run, default);
        while (_engine.Calls.Count(c => c.Operation == "execRuns") < 3) await Task.Delay(10);
        happened.ShouldBe(["flush, flush runs"]);
        before.SetResult();
        (await recover).Text.ShouldBe("ran the after hook in db");
        happened.ShouldBe(["flush, flush runs", "unflush, flush is over"]);
    }

    [Fact(Timeout = Limit)]
    public async Task A_before_hook_without_end_holds_nobody_up_for_longer_than_its_time()
    {
        ContainerFacts db = _engine.AddContainer("db");
        _engine.ExecGoesOn = (_, command) => command[0] == "flush" ? new TaskCompletionSource().Task : Task.CompletedTask;
        IPreparedExec before = await _engine.PrepareExecAsync(db.Id, ["flush"], default);
        _ = before.RunAsync(TimeSpan.FromHours(1), default);
        while (!await _engine.ExecRunsAsync(before.Id, default)) await Task.Delay(10);
        var entry = new UndoEntry("1", "run", "local", UndoKind.Exec, HeldContainer.Of(db), ["unflush"], 1, _context.Run.Now, null) { BeforeExec = before.Id };
        (await Undoing.UndoAsync(entry, _engine, _context.Run, default)).Text.ShouldBe("ran the after hook in db, although its before hook still runs: docker top db");
    }

    [Fact(Timeout = Limit)]
    public async Task A_before_hook_that_takes_too_long_is_followed_by_its_after_hook()
    {
        ContainerFacts db = _engine.AddContainer("db");
        var happened = new List<string>();
        _engine.OnExec = (_, command) =>
        {
            happened.Add(command[0]);
            return new ExecResult(0, "", "");
        };
        _engine.ExecGoesOn = (_, command) => command[0] == "flush" ? new TaskCompletionSource().Task : Task.CompletedTask;
        var step = new QuiesceStep(db, QuiesceMode.Pause, [new Hook(["flush"], ["unflush"], TimeSpan.FromMilliseconds(200))], "test");
        (await Should.ThrowAsync<EnvironmentException>(() => Held().HoldAsync([step], default))).Problem.ShouldContain("did not end within 0.2 s");
        happened.ShouldBe(["flush", "unflush"]);
        _engine.Actions.ShouldBeEmpty();
        _journal.Pending.ShouldBeEmpty();
    }
}
