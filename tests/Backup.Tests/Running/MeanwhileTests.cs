using System.Text.Json.Nodes;
using Backup.Running;
using Backup.Snapshots;
using Backup.Tests.Environments;
using Shouldly;
using Xunit;

namespace Backup.Tests.Running;

/// <summary>What people and other programs do to an engine while a backup is under way.</summary>
[Collection("engine")]
public sealed class MeanwhileTests(EngineFixture engine) : IAsyncLifetime
{
    private const int Limit = 90_000;
    private readonly RunningScope _scope = new(engine);
    private int _hooked;

    public Task InitializeAsync() => Task.CompletedTask;
    public async Task DisposeAsync() => await _scope.DisposeAsync();

    [Fact(Timeout = Limit)]
    public async Task A_volume_deleted_between_plan_and_run_fails_alone_and_is_not_created_again()
    {
        string before = await _scope.VolumeAsync("a", "echo a > f"), gone = await _scope.VolumeAsync("b", "echo b > f"), after = await _scope.VolumeAsync("c", "echo c > f");
        Once<RunEvent.VolumeStarted>(e => e.Volume == gone, () => _scope.Engine.DockerAsync("volume", "rm", gone));

        RunReport report = await _scope.RunAsync();

        Hooked();
        report.Snapshots.Select(s => s.Snapshot.Volume).ShouldBe([before, after]);
        RunFailure failure = report.Failures.ShouldHaveSingleItem();
        (failure.Volume, failure.Side, failure.NeedsPerson).ShouldBe((gone, "source", false));
        failure.Problem.ShouldContain(gone);
        (await _scope.Engine.DockerAsync("volume", "ls", "-q")).Split('\n').ShouldNotContain(gone);
        (await _scope.AllVerifyAsync()).Count.ShouldBe(2);
        await _scope.NothingIsLeftAsync();
    }

    [Fact(Timeout = Limit)]
    public async Task A_container_recreated_while_it_was_stopped_is_found_by_its_compose_service_and_started()
    {
        string volume = await _scope.VolumeAsync("v", "echo 1 > f");
        _scope.Rule(volume, "quiesce", "stop");
        string old = await ComposeAsync(volume), recreated = "";
        Once<RunEvent.ContainerQuiesced>(_ => true, async () =>
        {
            await _scope.Engine.DockerAsync("rm", old);
            recreated = await ComposeAsync(volume, start: false);
        });

        RunReport report = await _scope.RunWellAsync();

        Hooked();
        report.Snapshots.ShouldHaveSingleItem().Snapshot.Consistency.ShouldBe("stop");
        await _scope.NothingIsLeftAsync(recreated);
    }

    [Fact(Timeout = Limit)]
    public async Task A_container_that_dies_of_its_start_for_want_of_memory_is_a_failure_beside_a_good_snapshot()
    {
        string volume = await _scope.VolumeAsync("v", "echo 1 > f");
        _scope.Rule(volume, "quiesce", "stop");
        string greedy = await _scope.Engine.ContainerAsync(new TestContainer("if [ -e /v/up ]; then exec tail /dev/zero; fi; touch /v/up; while :; do sleep 0.2; done")
        {
            Mounts = [new TestMount(volume, "/v")], Memory = 20 << 20,
        });
        while (await _scope.AskAsync(volume, "ls") != "f\nup") await Task.Delay(50);
        // Every snapshot is followed by a moment in which what was started may die.
        Once<RunEvent.SnapshotMade>(_ => true, async () =>
        {
            while (await _scope.StateOfAsync(greedy) == "running") await Task.Delay(50);
        });

        RunReport report = await _scope.RunAsync();

        Hooked();
        RunFailure failure = report.Failures.ShouldHaveSingleItem();
        (failure.Side, failure.NeedsPerson).ShouldBe(("quiesce", false));
        failure.Problem.ShouldEndWith("was started again and was killed because its memory was over");
        report.Snapshots.ShouldHaveSingleItem().Snapshot.Consistency.ShouldBe("stop");
    }

    [Fact(Timeout = Limit)]
    public async Task A_container_that_a_person_stopped_while_we_held_it_paused_stays_stopped()
    {
        string volume = await _scope.VolumeAsync("v", "echo 1 > f");
        string user = await _scope.UserAsync(volume);
        Once<RunEvent.ContainerQuiesced>(_ => true, async () =>
        {
            await _scope.Engine.DockerAsync("unpause", user);
            await _scope.Engine.DockerAsync("stop", user);
        });

        await _scope.RunWellAsync();

        Hooked();
        (await _scope.StateOfAsync(user)).ShouldBe("exited");
        await _scope.NothingIsLeftAsync();
    }

    [Fact(Timeout = Limit)]
    public async Task A_container_that_a_person_started_and_stopped_again_stays_stopped()
    {
        string volume = await _scope.VolumeAsync("v", "echo 1 > f");
        _scope.Rule(volume, "quiesce", "stop");
        string user = await _scope.UserAsync(volume);
        Once<RunEvent.ContainerQuiesced>(_ => true, async () =>
        {
            await _scope.Engine.DockerAsync("start", user);
            await _scope.Engine.DockerAsync("stop", user);
        });

        await _scope.RunWellAsync();

        Hooked();
        (await _scope.StateOfAsync(user)).ShouldBe("exited");
        await _scope.NothingIsLeftAsync();
    }

    [Fact(Timeout = Limit)]
    public async Task A_container_that_a_person_started_meanwhile_is_not_restarted()
    {
        string volume = await _scope.VolumeAsync("v", "echo 1 > f");
        _scope.Rule(volume, "quiesce", "stop");
        string user = await _scope.UserAsync(volume), startedAt = "";
        Once<RunEvent.ContainerQuiesced>(_ => true, async () =>
        {
            await _scope.Engine.DockerAsync("start", user);
            startedAt = await StartedAtAsync(user);
        });

        await _scope.RunWellAsync();

        Hooked();
        (await StartedAtAsync(user)).ShouldBe(startedAt);
        await _scope.NothingIsLeftAsync(user);
    }

    [Fact(Timeout = Limit)]
    public async Task Only_what_ran_when_it_was_to_be_held_is_started_again()
    {
        string volume = await _scope.VolumeAsync("v", "echo 1 > f");
        _scope.Rule(volume, "quiesce", "stop");
        string never = await _scope.Engine.ContainerAsync(new TestContainer { Mounts = [new TestMount(volume, "/v")], Start = false });
        string stopped = await _scope.UserAsync(volume), held = await _scope.UserAsync(volume);
        Once<RunEvent.VolumeStarted>(_ => true, () => _scope.Engine.DockerAsync("stop", stopped));

        await _scope.RunWellAsync();

        Hooked();
        _scope.Events.OfType<RunEvent.ContainerQuiesced>().Count().ShouldBe(1);
        (await _scope.StateOfAsync(never)).ShouldBe("created");
        (await _scope.StateOfAsync(stopped)).ShouldBe("exited");
        await _scope.NothingIsLeftAsync(held);
    }

    [Fact(Timeout = Limit)]
    public async Task An_unreachable_environment_fails_alone()
    {
        string volume = await _scope.VolumeAsync("v", "echo 1 > f");
        _scope.Environments["far"] = _scope.Environment($"unix://{_scope.Folder}/no.sock");

        ProgramResult run = await _scope.ProgramAsync("run", "--json");

        run.ExitCode.ShouldBe(3, run.ToString());
        JsonNode report = JsonNode.Parse(run.Output.TrimEnd().Split('\n')[^1])!;
        ((string)report["event"]!, (bool)report["ok"]!).ShouldBe(("report", false));
        ((string)report["failures"]!.AsArray().ShouldHaveSingleItem()!["environment"]!).ShouldBe("far");
        Snapshot made = (await _scope.AllVerifyAsync()).ShouldHaveSingleItem();
        (made.Environment, made.Volume).ShouldBe((RunningScope.Local, volume));
        await _scope.NothingIsLeftAsync();
    }

    private Task<string> ComposeAsync(string volume, bool start = true) => _scope.Engine.ContainerAsync(new TestContainer
    {
        Mounts = [new TestMount(volume, "/v")],
        Start = start,
        Labels = new Dictionary<string, string>
        {
            ["com.docker.compose.project"] = _scope.Engine.Prefix, ["com.docker.compose.service"] = "db", ["com.docker.compose.container-number"] = "1",
        },
    });

    private Task<string> StartedAtAsync(string container) => _scope.Engine.DockerAsync("inspect", "-f", "{{.State.StartedAt}}", container);

    /// <summary>Does something at the first such event, before the run goes on.</summary>
    private void Once<T>(Func<T, bool> when, Func<Task> what) where T : RunEvent => _scope.On = e =>
    {
        if (e is T wanted && when(wanted) && Interlocked.Exchange(ref _hooked, 1) == 0) Task.Run(what).GetAwaiter().GetResult();
    };

    private void Hooked() => _hooked.ShouldBe(1, "the moment of the test never came");
}
