using System.Text.Json.Nodes;
using Backup.Environments;
using Backup.Running;
using Backup.Snapshots;
using Backup.Tests.Fakes;
using Shouldly;
using Xunit;

namespace Backup.Tests.Running;

/// <summary>Groups, their budget, and what others do meanwhile, on an engine in memory.</summary>
public sealed class GroupRunTests : IAsyncLifetime
{
    private const int Limit = 30_000;
    private static readonly Dictionary<string, string> Shop = new() { ["com.docker.compose.project"] = "shop" };
    private readonly FakeInstallation _world = new();

    public Task InitializeAsync() => Task.CompletedTask;
    public async Task DisposeAsync() => await _world.DisposeAsync();

    private FakeEnvironment Engine => _world.Engine;

    private ContainerFacts User(string name, params string[] volumes) => Engine.AddContainer(name, labels: Shop, mounts: [.. volumes.Select(v => $"{v}:/{v}")]);

    private void AllRun() => Engine.Containers.ShouldAllBe(c => c.State == "running");

    [Fact(Timeout = Limit)]
    public async Task A_group_is_held_once_read_whole_and_brought_back_before_its_snapshots_are_made()
    {
        _world.Volumes("cart", "db", "pics");
        User("app", "db", "cart");
        User("pic", "pics");

        RunReport report = await _world.RunAsync();

        report.Failures.ShouldBeEmpty();
        string[] happened = _world.Happened.Split(' ');
        happened[..2].Order().ShouldBe(["pause:app", "pause:pic"]);
        happened[2..5].ShouldBe(["open:cart", "open:db", "open:pics"]);
        happened[5..].Order().ShouldBe(["unpause:app", "unpause:pic"]);
        RunEvent[] events = [.. _world.Events];
        Array.FindLastIndex(events, e => e is RunEvent.ContainerResumed).ShouldBeLessThan(Array.FindIndex(events, e => e is RunEvent.SnapshotMade));
    }

    [Fact(Timeout = Limit)]
    public async Task What_lies_on_this_host_is_read_once_before_anybody_is_held_and_what_breaks_there_harms_nothing()
    {
        _world.Volumes("cart", "db", "pics");
        User("app", "db", "cart", "pics");
        Engine.Local = true;
        _world.Rule("pics", ("warmUp", false));
        int opened = 0;
        Engine.Fault = call => call is { Operation: "open", Subject: "db" } && ++opened == 1 ? new EnvironmentFault.Breaks(100, new EnvironmentException("local", "the stream broke", "try again")) : null;

        RunReport report = await _world.RunAsync();

        report.Failures.ShouldBeEmpty();
        _world.Warnings.ShouldBeEmpty();
        report.Snapshots.Select(s => s.Snapshot.Consistency).ShouldBe(["pause", "pause", "pause"]);
        _world.Happened.ShouldBe("open:cart open:db pause:app open:cart open:db open:pics unpause:app");
    }

    [Fact(Timeout = Limit)]
    public async Task The_snapshots_of_a_group_carry_one_time_and_the_windows_of_all()
    {
        _world.Volumes("cart", "db");
        User("app", "db", "cart");
        User("pic", "db");

        RunReport report = await _world.RunAsync();

        report.Snapshots.Select(s => s.Snapshot.TakenAt).Distinct().Count().ShouldBe(1);
        report.Snapshots.Select(s => s.DowntimeSeconds).Distinct().ShouldHaveSingleItem().ShouldBeGreaterThan(0);
        foreach (MadeSnapshot made in report.Snapshots)
        {
            QuiesceRecord quiesce = (await _world.RecordAsync(made.Snapshot)).Quiesce;
            quiesce.Windows.Select(w => w.Container).Order().ShouldBe(["app", "pic"]);
            (quiesce.Consistency, quiesce.DowntimeSeconds).ShouldBe(("pause", made.DowntimeSeconds));
        }
        GroupReport group = report.Groups.ShouldHaveSingleItem();
        (group.Environment, group.Group, string.Join(' ', group.Volumes), group.Exceeded).ShouldBe(("local", "shop", "cart db", false));
        group.DowntimeSeconds.ShouldBe(group.Containers.Max(c => c.Seconds));
        group.Containers.Select(c => (c.Container, c.How, c.Health)).Order().ShouldBe([("app", "pause", null), ("pic", "pause", null)]);
    }

    [Fact(Timeout = Limit)]
    public async Task The_next_groups_containers_run_meanwhile()
    {
        _world.Volumes("a", "b");
        ContainerFacts one = Engine.AddContainer("one", mounts: "a:/a"), two = Engine.AddContainer("two", mounts: "b:/b");
        Engine.Fault = call =>
        {
            if (call.Operation == "open") (Engine.Container(one.Id).State, Engine.Container(two.Id).State).ShouldBe(call.Subject == "a" ? ("paused", "running") : ("running", "paused"));
            return null;
        };
        (await _world.RunAsync()).Failures.ShouldBeEmpty();
        _world.Happened.ShouldBe("pause:one open:a unpause:one pause:two open:b unpause:two");
    }

    [Fact(Timeout = Limit)]
    public async Task A_volume_that_nobody_is_held_for_is_read_after_the_others_are_back()
    {
        _world.Volumes("a_uploads", "db");
        User("app", "a_uploads", "db");
        _world.Rule("a_uploads", ("quiesce", "none"));
        RunReport report = await _world.RunAsync();
        report.Failures.ShouldBeEmpty();
        _world.Happened.ShouldBe("pause:app open:db unpause:app open:a_uploads");
        report.Snapshots.Select(s => (s.Snapshot.Volume, s.Snapshot.Consistency, s.DowntimeSeconds > 0)).ShouldBe([("db", "pause", true), ("a_uploads", "none", false)]);
    }

    [Fact(Timeout = Limit)]
    public async Task A_read_that_breaks_is_done_again_within_the_same_window()
    {
        _world.Volumes("cart", "db");
        User("app", "db", "cart");
        bool broken = false;
        Engine.Fault = call => call is { Operation: "open", Subject: "cart" } && !broken && (broken = true) ? new EnvironmentFault.EndsEarly(600) : null;
        RunReport report = await _world.RunAsync();
        report.Failures.ShouldBeEmpty();
        _world.Happened.ShouldBe("pause:app open:cart open:cart open:db unpause:app");
        report.Snapshots.Count.ShouldBe(2);
        _world.Objects.Keys.Count.ShouldBe(6, "nothing of the first try is kept");
    }

    [Theory(Timeout = Limit)]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_read_that_breaks_waits_for_no_word_with_the_store_while_anybody_is_held(int breaks)
    {
        _world.Volumes("cart", "db");
        User("app", "db", "cart");
        int broken = 0;
        Engine.Fault = call => call is { Operation: "open", Subject: "cart" } && broken < breaks && ++broken > 0 ? new EnvironmentFault.EndsEarly(600) : null;
        async Task UntilAllRunAsync()
        {
            while (Engine.Containers.Any(c => c.State != "running")) await Task.Delay(10);
        }

        // Who waits for this store while a container is held waits for ever.
        RunReport report = await _world.RunAsync(wrap: inner => new FaultyObjectStore(inner, (_, _) => null) { Gate = UntilAllRunAsync }, spooled: true);

        broken.ShouldBe(breaks);
        report.Failures.Select(f => f.Volume).ShouldBe(breaks == 1 ? [] : ["cart"]);
        report.Snapshots.Select(s => s.Snapshot.Volume).ShouldBe(breaks == 1 ? ["cart", "db"] : ["db"]);
        _world.Objects.Keys.Count.ShouldBe(3 * report.Snapshots.Count, "nothing of what broke is kept");
        _world.Objects.Unfinished.ShouldBeEmpty();
        AllRun();
    }

    [Fact(Timeout = Limit)]
    public async Task A_volume_that_fails_does_not_take_the_others_with_it()
    {
        _world.Volumes("cart", "db", "pics");
        User("app", "db", "cart", "pics");
        Engine.Fault = call => call is { Operation: "open", Subject: "db" } ? new EnvironmentFault.EndsEarly(600) : null;
        RunReport report = await _world.RunAsync();
        report.Failures.ShouldHaveSingleItem().Volume.ShouldBe("db");
        report.Snapshots.Select(s => s.Snapshot.Volume).ShouldBe(["cart", "pics"]);
        AllRun();
    }

    [Fact(Timeout = Limit)]
    public async Task Nobody_is_held_for_volumes_that_could_not_be_begun()
    {
        _world.Volumes("cart", "db");
        User("app", "db", "cart");
        Engine.Fault = call => call.Operation == "prepare" ? new EnvironmentFault.Before(new EnvironmentException("local", "no helper", "", FailureKind.NotFound)) : null;
        RunReport report = await _world.RunAsync();
        report.Failures.Select(f => f.Volume).ShouldBe(["cart", "db"]);
        _world.Happened.ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task When_the_budget_is_over_all_come_back_at_once_and_only_what_was_read_before_is_good()
    {
        _world.Volumes("cart", "db", "pics");
        User("app", "db", "cart", "pics");
        _world.Environment["maxDowntime"] = "3s";
        // Only the end of the downtime, which is what is to be proved, ends this read.
        Engine.Fault = call => call is { Operation: "open", Subject: "db" } ? new EnvironmentFault.Stalls(Task.Delay(Timeout.Infinite)) : null;

        RunReport report = await _world.RunAsync();

        AllRun();
        report.Snapshots.Select(s => (s.Snapshot.Volume, s.Snapshot.Consistency)).ShouldBe([("cart", "pause")]);
        report.Failures.Select(f => f.Volume).ShouldBe(["db", "pics"]);
        report.Failures[0].Problem.ShouldBe("Its containers came back before it was read, because the maxDowntime of shop is 3 s.");
        report.Failures[0].Hint.ShouldContain("\"whenExceeded\": \"keep\"");
        _world.Happened.ShouldBe("pause:app open:cart open:db unpause:app", "the third is not begun");
        GroupReport group = report.Groups.ShouldHaveSingleItem();
        (group.Exceeded, group.MaxDowntimeSeconds).ShouldBe((true, 3));
        _world.Objects.Keys.Count.ShouldBe(3);
    }

    [Fact(Timeout = Limit)]
    public async Task What_is_to_be_kept_is_read_on_after_the_budget_and_marked()
    {
        _world.Volumes("cart", "db", "pics");
        ContainerFacts app = User("app", "db", "cart", "pics");
        _world.Environment["maxDowntime"] = "3s";
        _world.Environment["whenExceeded"] = "keep";
        Engine.Fault = call => call is { Operation: "open", Subject: "db" } ? new EnvironmentFault.Stalls(UntilBackAsync()) : null;

        RunReport report = await _world.RunAsync();

        report.Failures.ShouldBeEmpty();
        report.Snapshots.Select(s => (s.Snapshot.Volume, s.Snapshot.Consistency)).ShouldBe([("cart", "pause"), ("db", "none"), ("pics", "none")]);
        _world.Happened.ShouldBe("pause:app open:cart open:db unpause:app open:pics");
        _world.Warnings.Count(w => w.Contains("committed with consistency none", StringComparison.Ordinal)).ShouldBe(2);
        AllRun();

        async Task UntilBackAsync()
        {
            while (Engine.Container(app.Id).State != "running") await Task.Delay(10);
        }
    }

    [Theory(Timeout = Limit)]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_budget_that_is_over_before_all_are_down_brings_them_back(bool keep)
    {
        _world.Volumes("cart", "db");
        ContainerFacts app = User("app", "cart"), slow = User("slow", "db");
        _world.Environment["quiesce"] = "stop";
        _world.Environment["maxDowntime"] = "300ms";
        if (keep) _world.Environment["whenExceeded"] = "keep";
        // Its stop takes until the other one, which was down at once, is back.
        Engine.ActGoesOn = async (verb, container) =>
        {
            if (verb != "stop" || container.Id != slow.Id) return;
            while (Engine.Actions.All(a => a.Verb != ContainerVerb.Start || a.ContainerId != app.Id)) await Task.Delay(10);
        };

        RunReport report = await _world.RunAsync();

        AllRun();
        if (keep) report.Snapshots.Select(s => s.Snapshot.Consistency).ShouldBe(["none", "none"]);
        else report.Failures.Select(f => (f.Volume, f.Problem)).ShouldBe([.. new[] { "cart", "db" }.Select(v => (v, "Holding the containers took longer than maxDowntime allows: they were brought back before anything was read."))]!);
    }

    [Fact(Timeout = Limit)]
    public async Task A_container_that_comes_up_during_the_read_spoils_what_it_writes_to_and_nothing_else()
    {
        _world.Volumes("cart", "db");
        User("app", "db", "cart");
        Engine.Fault = call =>
        {
            if (call is { Operation: "open", Subject: "db" }) Engine.AddContainer("stranger", mounts: ["db:/x", "cart:/ro:ro"]);
            return null;
        };
        RunReport report = await _world.RunAsync();
        report.Failures.ShouldBeEmpty();
        report.Snapshots.Select(s => (s.Snapshot.Volume, s.Snapshot.Consistency)).ShouldBe([("cart", "pause"), ("db", "none")]);
        _world.Warnings.ShouldHaveSingleItem().ShouldBe("local/db: stranger came up while it was read and may have written to it: its snapshot is committed with consistency none.");
    }

    [Fact(Timeout = Limit)]
    public async Task A_volume_at_rest_is_not_at_rest_when_its_writer_was_started_meanwhile()
    {
        _world.Volumes("db");
        ContainerFacts off = Engine.AddContainer("off", "exited", mounts: "db:/d");
        Engine.Fault = call =>
        {
            if (call.Operation == "open") Engine.Meddle(off.Id, c => c with { State = "running" });
            return null;
        };
        (await _world.RunAsync()).Snapshots.ShouldHaveSingleItem().Snapshot.Consistency.ShouldBe("none");
    }

    [Fact(Timeout = Limit)]
    public async Task A_held_container_that_somebody_brought_back_spoils_the_read()
    {
        _world.Volumes("db");
        ContainerFacts app = User("app", "db");
        Engine.Fault = call =>
        {
            if (call.Operation == "open") Engine.Meddle(app.Id, c => c with { State = "running" });
            return null;
        };
        (await _world.RunAsync()).Snapshots.ShouldHaveSingleItem().Snapshot.Consistency.ShouldBe("none");
        _world.Warnings.ShouldHaveSingleItem().ShouldContain("somebody brought app back while it was read");
    }

    [Fact(Timeout = Limit)]
    public async Task A_container_that_was_recreated_since_the_plan_is_held_under_its_new_id()
    {
        _world.Volumes("a_first", "db");
        Engine.AddContainer("first", mounts: "a_first:/a");
        ContainerFacts app = User("app", "db"), recreated = app;
        Engine.Fault = call =>
        {
            if (call is { Operation: "open", Subject: "a_first" }) recreated = Engine.Recreate(app.Id);
            return null;
        };
        RunReport report = await _world.RunAsync();
        recreated.ShouldNotBe(app);
        report.Snapshots.Select(s => (s.Snapshot.Volume, s.Snapshot.Consistency)).ShouldBe([("a_first", "pause"), ("db", "pause")]);
        Engine.Actions.Count(a => a.ContainerId == recreated.Id).ShouldBe(2);
        _world.Warnings.ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task A_volume_that_the_policy_names_and_the_engine_lacks_is_a_failure_and_stands_in_status()
    {
        _world.Volumes("db");
        _world.Environment["volumes"] = new JsonObject { ["include"] = new JsonArray("db", "gone") };
        RunReport report = await _world.RunAsync();
        RunFailure failure = report.Failures.ShouldHaveSingleItem();
        (failure.Volume, failure.Problem).ShouldBe(("gone", "volumes.include names \"gone\", but local has no such volume: it is not backed up."));
        report.Snapshots.ShouldHaveSingleItem();
        (await _world.StatusAsync()).Volumes.Select(v => (v.Volume, v.LastSnapshot is null, v.Overdue)).ShouldBe([("db", false, false), ("gone", true, true)]);
    }

    [Fact(Timeout = Limit)]
    public async Task Who_does_not_become_healthy_again_is_a_failure_beside_a_good_snapshot()
    {
        _world.Volumes("db");
        ContainerFacts db = User("db", "db");
        Engine.Meddle(db.Id, c => c with { Health = "healthy" });
        _world.Environment["quiesce"] = "stop";
        _world.Environment["healthTimeout"] = "1s";
        RunReport report = await _world.RunAsync();
        report.Snapshots.ShouldHaveSingleItem().Snapshot.Consistency.ShouldBe("stop");
        RunFailure failure = report.Failures.ShouldHaveSingleItem();
        (failure.Problem, failure.Hint, failure.NeedsPerson).ShouldBe(("db is not healthy 1 s after it came back, but starting", "Look at its log: docker logs db", false));
        report.Groups.ShouldHaveSingleItem().Containers.ShouldHaveSingleItem().Health.ShouldBe("starting");
    }

    [Fact(Timeout = Limit)]
    public async Task A_container_that_is_down_again_when_the_run_is_over_is_a_failure_told_once()
    {
        _world.Volumes("cart", "db", "pages");
        ContainerFacts app = User("app", "cart");
        Engine.AddContainer("wiki", mounts: "pages:/p");
        // Both groups hold it, and it dies after the second.
        Engine.AddContainer("both", mounts: ["db:/d", "pages:/p"]);
        _world.Environment["groups"] = new JsonObject { ["one"] = new JsonArray("cart", "db"), ["two"] = new JsonArray("pages") };
        Engine.Fault = call =>
        {
            if (call is { Operation: "open", Subject: "pages" }) Engine.Meddle(app.Id, (ContainerFacts c) => c with { State = "exited", ExitCode = 137, OutOfMemory = true });
            return null;
        };

        RunReport report = await _world.RunAsync();

        RunFailure failure = report.Failures.ShouldHaveSingleItem();
        (failure.Problem, failure.Side, failure.NeedsPerson).ShouldBe(("app came back and was killed because its memory was over", "quiesce", false));
        failure.Hint.ShouldContain("docker logs app");
        report.Snapshots.Count.ShouldBe(3);
    }

    [Fact(Timeout = Limit)]
    public async Task A_half_restored_volume_is_left_out_of_its_group()
    {
        _world.Volumes("cart", "db");
        User("app", "db", "cart");
        await using (var journal = await _world.JournalAsync()) journal.MarkBroken("local", "cart");
        RunReport report = await _world.RunAsync();
        report.Failures.ShouldHaveSingleItem().Problem.ShouldContain("did not finish");
        report.Snapshots.ShouldHaveSingleItem().Snapshot.Volume.ShouldBe("db");
    }

    [Fact(Timeout = Limit)]
    public async Task An_interruption_in_the_middle_of_a_group_brings_all_back_and_keeps_nothing_half()
    {
        _world.Volumes("cart", "db");
        User("app", "db", "cart");
        using var stop = new CancellationTokenSource();
        Engine.Fault = call =>
        {
            if (call is { Operation: "open", Subject: "db" }) stop.Cancel();
            return null;
        };
        await Should.ThrowAsync<OperationCanceledException>(() => _world.RunAsync(stop.Token));
        AllRun();
        _world.Objects.Keys.ShouldBeEmpty();
        var report = _world.Events.OfType<RunEvent.Report>().ShouldHaveSingleItem().Result;
        report.Groups.ShouldHaveSingleItem().Containers.ShouldHaveSingleItem().Container.ShouldBe("app");
    }

    [Fact(Timeout = Limit)]
    public async Task Status_tells_the_trend_of_the_downtime()
    {
        _world.Volumes("db");
        User("app", "db");
        double[] downtimes = new double[3];
        for (int i = 0; i < downtimes.Length; i++) downtimes[i] = (await _world.RunAsync()).Snapshots[0].DowntimeSeconds;
        DowntimeTrend trend = (await _world.StatusAsync()).Volumes.ShouldHaveSingleItem().Downtime.ShouldNotBeNull();
        trend.ShouldBe(new DowntimeTrend(downtimes[^1], downtimes.Order().ElementAt(1), downtimes.Max()));
    }
}
