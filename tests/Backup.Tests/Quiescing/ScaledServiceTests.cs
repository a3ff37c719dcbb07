using Backup.Environments;
using Backup.Planning;
using Backup.Policies;
using Backup.Quiescing;
using Backup.Running;
using Backup.Snapshots;
using Backup.Tests.Fakes;
using Backup.Tests.Running;
using Shouldly;
using Xunit;

namespace Backup.Tests.Quiescing;

/// <summary>A Swarm service that is scaled to 0 while its volume is read or restored.</summary>
public sealed class ScaledServiceTests : IAsyncLifetime
{
    private const int Limit = 30_000;
    private readonly FakeInstallation _installation = new();
    private string _service = "";

    private FakeEnvironment Engine => _installation.Engine;

    public Task InitializeAsync()
    {
        _installation.Volumes("data");
        _service = Engine.AddService("shop_web", 2, mounts: "data:/d");
        _installation.Rule("data", ("quiesce", "stop"), ("healthTimeout", "1s"));
        return Task.CompletedTask;
    }

    public async Task DisposeAsync() => await _installation.DisposeAsync();

    [Fact(Timeout = Limit)]
    public async Task It_is_down_for_the_read_and_back_at_its_count_and_the_report_has_its_window()
    {
        Engine.Fault = call =>
        {
            if (call.Operation == "open") Engine.Tasks(_service).ShouldBeEmpty();
            return null;
        };
        RunReport report = await _installation.RunAsync();
        report.Failures.ShouldBeEmpty();
        _installation.Happened.ShouldBe($"scale:{_service} open:data scale:{_service}");
        Engine.Tasks(_service).Count.ShouldBe(2);
        report.Snapshots.Single().Snapshot.Consistency.ShouldBe("stop");
        ContainerReport window = report.Groups.Single().Containers.ShouldHaveSingleItem();
        (window.Container, window.How).ShouldBe(("shop_web", "stop"));
        report.Groups.Single().DowntimeSeconds.ShouldBe(window.Seconds);
        (await _installation.RecordAsync(report.Snapshots[0].Snapshot)).Quiesce.Windows.Single().Container.ShouldBe("shop_web");
    }

    [Fact(Timeout = Limit)]
    public async Task What_a_person_scaled_meanwhile_is_left_alone_and_spoils_the_snapshot()
    {
        Engine.Fault = call =>
        {
            if (call.Operation == "open") Engine.Meddle(_service, s => s with { Replicas = 3 });
            return null;
        };
        RunReport report = await _installation.RunAsync();
        report.Failures.ShouldBeEmpty();
        Engine.Service(_service).Replicas.ShouldBe(3);
        report.Snapshots.Single().Snapshot.Consistency.ShouldBe("none");
        _installation.Warnings.ShouldContain(w => w.Contains("came up while it was read"));
    }

    [Fact(Timeout = Limit)]
    public async Task Tasks_that_do_not_come_back_are_a_failure_and_nobody_is_told_that_it_needs_a_person()
    {
        Engine.TasksThatStart = (_, replicas) => Math.Min(1, replicas);
        RunReport report = await _installation.RunAsync();
        RunFailure failure = report.Failures.ShouldHaveSingleItem();
        failure.Problem.ShouldBe("shop_web was scaled back to 2 and has 1 of 2 tasks running 1 s later");
        failure.Hint.ShouldContain("docker service ps shop_web");
        report.NeedsPerson.ShouldBeFalse();
        report.Snapshots.ShouldHaveSingleItem();
    }

    [Fact(Timeout = Limit)]
    public async Task What_did_not_run_before_owes_nothing()
    {
        Engine.Meddle(Engine.Tasks(_service)[0].Id, (ContainerFacts _) => null);
        Engine.TasksThatStart = (_, replicas) => Math.Min(1, replicas);
        (await _installation.RunAsync()).Failures.ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task A_service_that_cannot_be_scaled_back_needs_a_person_and_recover_does_it_later()
    {
        int scaled = 0;
        Engine.Fault = call => call.Operation == "scale" && ++scaled > 1 ? new EnvironmentFault.Before(new EnvironmentException("local", "no leader", "")) : null;
        RunReport report = await _installation.RunAsync();
        report.NeedsPerson.ShouldBeTrue();
        report.Failures.Single().Hint.ShouldBe("By hand: docker service scale shop_web=2");

        Engine.Fault = null;
        RecoverReport recovered = await _installation.RecoverAsync();
        recovered.Actions.ShouldContain("local: scaled shop_web back to 2");
        Engine.Tasks(_service).Count.ShouldBe(2);
        (await _installation.RecoverAsync()).Actions.ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task A_service_that_was_removed_meanwhile_is_nobodys_case()
    {
        Engine.Fault = call =>
        {
            if (call.Operation == "open") Engine.Meddle(_service, (FakeService _) => null);
            return null;
        };
        (await _installation.RunAsync()).Failures.ShouldBeEmpty();
        (await _installation.RecoverAsync()).Actions.ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task A_restore_scales_it_to_0_and_back_and_on_a_worker_it_is_refused()
    {
        Snapshot snapshot = (await _installation.RunAsync()).Snapshots.Single().Snapshot;
        Engine.HasShellImage = true;
        RestoreReport report = await _installation.RestoreAsync(snapshot.Id);
        report.Failures.ShouldBeEmpty();
        report.DowntimeSeconds.ShouldBeGreaterThan(0);
        Engine.Tasks(_service).Count.ShouldBe(2);

        Engine.SwarmManager = false;
        BackupException refused = await Should.ThrowAsync<BackupException>(() => _installation.RestoreAsync(snapshot.Id));
        refused.Problem.ShouldContain("because this node is not a manager of the swarm");
        refused.Hint.ShouldContain("docker service scale");
        Engine.Tasks(_service).Count.ShouldBe(2);
    }
}
