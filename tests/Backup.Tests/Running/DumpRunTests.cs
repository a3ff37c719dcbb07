using System.Text;
using Backup.Environments;
using Backup.Quiescing;
using Backup.Running;
using Backup.Snapshots;
using Backup.Tests.Fakes;
using Shouldly;
using Xunit;

namespace Backup.Tests.Running;

/// <summary>What a run does when a dump breaks on its way, and what a load is compared with.</summary>
public sealed class DumpRunTests : IAsyncDisposable
{
    private static readonly byte[] Whole = Encoding.ASCII.GetBytes($"{new string('x', 5000)}\n-- PostgreSQL database cluster dump complete\n");

    private readonly FakeInstallation _installation = new();
    private string _holds = "3 tables, views and sequences in database shop\n";

    public DumpRunTests()
    {
        _installation.Volumes("pgdata");
        _installation.Engine.AddContainer("db", mounts: "pgdata:/var/lib/postgresql/data",
            labels: new Dictionary<string, string> { ["backup.preset"] = "postgres", ["backup.dump"] = "true" });
        _installation.Engine.OnOpenExec = (_, _) => new FakeOutput(Whole);
        _installation.Engine.OnExec = (_, command) => new ExecResult(0, ExecText.Name(command) == "backup-postgres-contents" ? _holds : "", "");
    }

    public ValueTask DisposeAsync() => _installation.DisposeAsync();

    private int Dumps => _installation.Engine.Calls.Count(c => c.Operation == "openExec");

    private void FailDumps(int times, EnvironmentFault fault) =>
        _installation.Engine.Fault = call => call.Operation == "openExec" && times-- > 0 ? fault : null;

    private static EnvironmentFault Broken(bool cleanly) =>
        cleanly ? new EnvironmentFault.EndsEarly(3000) : new EnvironmentFault.Breaks(3000, new EnvironmentException("local", "the engine cut the output short", "try again"));

    [Theory(Timeout = 30_000)]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_dump_that_breaks_on_its_way_is_made_again_from_the_start(bool cleanly)
    {
        FailDumps(1, Broken(cleanly));
        RunReport report = await _installation.RunAsync();
        report.Failures.ShouldBeEmpty();
        report.Snapshots.Count(s => s.Snapshot.Volume == "dump:db").ShouldBe(1);
        Dumps.ShouldBe(2);
        _installation.Warnings.ShouldContain(w => w.StartsWith("dump:db: ", StringComparison.Ordinal) && w.EndsWith("Trying once more.", StringComparison.Ordinal));
        _installation.Objects.Keys.Count(k => k.Contains("dump", StringComparison.Ordinal)).ShouldBe(3, "nothing of the first try is kept");
        await using UndoJournal journal = await _installation.JournalAsync();
        journal.Pending.ShouldBeEmpty();
    }

    [Theory(Timeout = 30_000)]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_dump_that_breaks_twice_is_a_failure_and_leaves_nothing(bool cleanly)
    {
        FailDumps(2, Broken(cleanly));
        RunReport report = await _installation.RunAsync();
        report.Failures.ShouldHaveSingleItem().Volume.ShouldBe("dump:db");
        Dumps.ShouldBe(2);
        _installation.Objects.Keys.ShouldAllBe(k => !k.Contains("dump"));
    }

    [Fact(Timeout = 30_000)]
    public async Task A_database_that_says_no_is_not_asked_again()
    {
        _installation.Engine.OnOpenExec = (_, _) => new FakeOutput(Whole, 1, "permission denied for table orders");
        RunReport report = await _installation.RunAsync();
        report.Failures.ShouldHaveSingleItem().Problem.ShouldContain("permission denied for table orders");
        Dumps.ShouldBe(1);
    }

    [Fact(Timeout = 30_000)]
    public async Task A_dump_of_a_service_keeps_its_name_although_this_very_run_gave_it_a_new_task()
    {
        _installation.Volumes("logs");
        string service = _installation.Engine.AddService("shop_db", 1, new Dictionary<string, string> { ["backup.preset"] = "postgres", ["backup.dump"] = "true" }, mounts: "logs:/logs");
        _installation.Rule("logs", ("quiesce", "stop"));
        string before = _installation.Engine.Tasks(service).Single().Id;

        RunReport report = await _installation.RunAsync();

        report.Failures.ShouldBeEmpty();
        _installation.Engine.Tasks(service).Single().Id.ShouldNotBe(before);
        Snapshot dump = report.Snapshots.Select(s => s.Snapshot).Single(s => s.Volume == "dump:shop_db");
        (await _installation.RestoreAsync(dump.Id)).Target.ShouldContain("shop_db.1.");
    }

    [Fact(Timeout = 30_000)]
    public async Task Nobody_is_held_while_a_dump_is_read()
    {
        string? state = null;
        _installation.Engine.OnOpenExec = (container, _) =>
        {
            state = container.State;
            _installation.Engine.Containers.ShouldAllBe(c => c.State == "running");
            return new FakeOutput(Whole);
        };
        (await _installation.RunAsync()).Failures.ShouldBeEmpty();
        state.ShouldBe("running");
        _installation.Happened.ShouldContain("pause:db", Case.Sensitive, "the volume of the same database is read, too");
    }

    [Theory(Timeout = 30_000)]
    [InlineData("3 tables, views and sequences in database shop\n", null)]
    [InlineData("2 tables, views and sequences in database shop\n", "it holds 2 tables, views and sequences in database shop, and when it was dumped it held 3 tables, views and sequences in database shop")]
    public async Task What_a_load_brought_is_compared_with_what_the_database_held_when_it_was_dumped(string afterwards, string? difference)
    {
        (await _installation.RunAsync()).Failures.ShouldBeEmpty();
        _holds = "empty\n";
        _installation.Engine.OnLoad = (_, _, input) =>
        {
            input.ShouldBe(Whole);
            _holds = afterwards;
            return new ExecResult(0, "", "");
        };
        RestoreReport report = await _installation.RestoreAsync("local/dump:db", overwrite: false);
        report.Differences.ShouldBe(difference is null ? [] : [difference]);
        report.Ok.ShouldBe(difference is null);
    }

    [Fact(Timeout = 30_000)]
    public async Task What_changed_during_the_dump_is_no_measure_for_a_load()
    {
        _installation.Engine.OnOpenExec = (_, _) =>
        {
            _holds = "4 tables, views and sequences in database shop\n";
            return new FakeOutput(Whole);
        };
        (await _installation.RunAsync()).Failures.ShouldBeEmpty();
        _holds = "empty\n";
        RestoreReport report = await _installation.RestoreAsync("local/dump:db", overwrite: false);
        report.Ok.ShouldBeTrue();
        report.Notes.ShouldContain("Every statement must succeed. What the database holds afterwards is not compared with the dump.");
    }
}
