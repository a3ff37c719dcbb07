using Backup.Environments;
using Backup.Planning;
using Backup.Policies;
using Backup.Snapshots;
using Shouldly;
using Xunit;
using static Backup.Tests.Planning.Facts;

namespace Backup.Tests.Planning;

public sealed class PlannerTests
{
    private static VolumeStep Only(EnvironmentPolicy policy, Inventory inventory) => Planner.Plan(policy, inventory, []).Volumes.ShouldHaveSingleItem();

    private static string Held(VolumeStep step) => string.Join(" ", step.Quiesce.Select(q => $"{q.Container.Name}:{q.Mode.ToString().ToLowerInvariant()}"));

    [Fact]
    public void Running_containers_that_can_write_are_paused_by_default_and_no_others()
    {
        VolumeStep step = Only(Policy(), Inventory([Volume("data")],
            Container("writer", "data:/data"), Container("reader", "data:/data:ro"), Container("stopped", "data:/data", "exited"),
            Container("paused", "data:/data", "paused"), Container("stranger", "other:/data"), Container("helper", "data:/data", "running", "backup.helper.run=1")));
        Held(step).ShouldBe("writer:pause");
        step.Quiesce[0].Reason.ShouldBe("auto: pause");
        step.Consistency.ShouldBe("pause");
        step.Consumers.Select(c => c.Container).ShouldBe(["paused", "reader", "stopped", "writer"]);
        step.Consumers.Single(c => c.Container == "reader").Writable.ShouldBeFalse();
    }

    [Fact]
    public void Without_a_running_writer_the_data_is_at_rest()
    {
        VolumeStep step = Only(Policy(QuiescePolicy.Of(QuiesceMode.Pause)), Inventory([Volume("data")], Container("db", "data:/data", "exited"), Container("web", "data:/data:ro")));
        step.Quiesce.ShouldBeEmpty();
        step.Consistency.ShouldBe("stop");
        step.Note.ShouldBe("no running container writes to it");
    }

    [Fact]
    public void A_writer_that_somebody_paused_leaves_a_paused_state() =>
        Only(Policy(), Inventory([Volume("data")], Container("db", "data:/data", "paused"))).Consistency.ShouldBe("pause");

    [Fact]
    public void A_swarm_task_and_a_container_started_with_rm_are_paused_instead_of_stopped()
    {
        VolumeStep step = Only(Policy(QuiescePolicy.Of(QuiesceMode.Stop)), Inventory([Volume("data")],
            Container("a", "data:/data"), Container("b", "data:/data", labels: "com.docker.swarm.task.id=1"), Container("c", "data:/data", autoRemove: true)));
        Held(step).ShouldBe("a:stop b:pause c:pause");
        step.Quiesce.Select(q => q.Reason).ShouldBe(["policy: stop",
            "swarm task: paused instead of stopped, because its service is not known", "started with --rm: paused instead of stopped, because a stop would delete it"]);
        step.Consistency.ShouldBe("pause");
    }

    [Fact]
    public void Dependents_are_held_before_what_they_depend_on()
    {
        VolumeStep step = Only(Policy(QuiescePolicy.Of(QuiesceMode.Stop)), Inventory([Volume("data")],
            Container("app-a-db-1", "data:/data", labels: Compose("db")),
            Container("app-b-cache-1", "data:/data", labels: Compose("cache", "db:service_started:false")),
            Container("app-c-web-1", "data:/data", labels: Compose("web", "cache:service_healthy:true,db:service_started:false")),
            Container("solo", "data:/data")));
        step.Quiesce.Select(q => q.Container.Name).ShouldBe(["app-c-web-1", "app-b-cache-1", "app-a-db-1", "solo"]);
        step.Consistency.ShouldBe("stop");
    }

    [Fact]
    public void A_circle_of_dependencies_ends_in_the_order_of_names() =>
        Only(Policy(), Inventory([Volume("data")], Container("b", "data:/d", labels: Compose("b", "a:service_started:false")), Container("a", "data:/d", labels: Compose("a", "b:service_started:false"))))
            .Quiesce.Select(q => q.Container.Name).ShouldBe(["a", "b"]);

    [Fact]
    public void Labels_decide_where_the_policy_says_auto()
    {
        VolumeStep step = Only(Policy(), Inventory([Volume("data")],
            Container("a", "data:/d", labels: "backup.quiesce=stop"), Container("b", "data:/d", labels: "backup.before=sync; backup.after=echo ok")));
        Held(step).ShouldBe("a:stop b:none");
        Hook hook = step.Quiesce[1].Hooks.ShouldHaveSingleItem();
        hook.Before.ShouldBe(["/bin/sh", "-c", "sync"]);
        hook.After.ShouldBe(["/bin/sh", "-c", "echo ok"]);
        step.Consistency.ShouldBe("hook");
    }

    [Fact]
    public void The_policy_wins_over_labels() =>
        Held(Only(Policy(QuiescePolicy.Of(QuiesceMode.Pause)), Inventory([Volume("data")], Container("a", "data:/d", labels: "backup.quiesce=stop; backup.before=sync")))).ShouldBe("a:pause");

    [Fact]
    public void A_label_that_makes_no_sense_is_reported_and_the_container_paused()
    {
        BackupPlan plan = Planner.Plan(Policy(), Inventory([Volume("x"), Volume("y")], Container("a", "x:/x y:/y", labels: "backup.quiesce=freeze")), []);
        plan.Volumes.ShouldAllBe(v => v.Consistency == "pause");
        plan.Warnings.ShouldHaveSingleItem().Problem.ShouldContain("backup.quiesce=freeze");
    }

    [Fact]
    public void Reading_under_a_running_writer_is_a_warning()
    {
        BackupPlan plan = Planner.Plan(Policy(QuiescePolicy.Of(QuiesceMode.None)), Inventory([Volume("data")], Container("db", "data:/d")), []);
        plan.Volumes[0].Quiesce.ShouldBeEmpty();
        plan.Volumes[0].Consistency.ShouldBe("none");
        plan.Warnings.ShouldHaveSingleItem().Problem.ShouldBe("data is read while db may write to it");
    }

    [Fact]
    public void One_writer_left_running_spoils_the_consistency_of_all() =>
        Only(Policy(), Inventory([Volume("data")], Container("a", "data:/d", labels: "backup.quiesce=none"), Container("b", "data:/d"))).Consistency.ShouldBe("none");

    [Theory]
    [InlineData("/srv/app/data")]
    [InlineData("/srv")]
    [InlineData("/")]
    [InlineData("/srv/app/data/deep/er")]
    public void A_bind_mount_above_or_below_the_source_writes_to_it_too(string mount)
    {
        VolumeStep step = Only(Policy(volumes: new VolumePatterns(["bind:/srv/app/data"], [])), Inventory([],
            Container("other", $"{mount}:/x"), Container("sibling", "/srv/app/database:/x"), Container("reader", "/srv:/x:ro")));
        Held(step).ShouldBe("other:pause");
        step.Facts.ShouldBeNull();
    }

    [Fact]
    public void A_local_volume_that_is_a_bind_in_disguise_is_known_by_its_path()
    {
        Inventory inventory = Inventory([Volume("data", options: "type=none; o=rw,bind; device=/srv/data")], Container("a", "/srv:/x"), Container("b", "data:/y"));
        BackupPlan plan = Planner.Plan(Policy(volumes: new VolumePatterns(["*", "bind:/srv/data"], [])), inventory, []);
        plan.Volumes.Select(v => v.Source.ToString()).ShouldBe(["bind:/srv/data", "data"]);
        plan.Volumes.Select(Held).ShouldBe(["a:pause b:pause", "a:pause b:pause"]);
    }

    [Fact]
    public void Rules_override_field_by_field_and_idle_ones_are_reported()
    {
        EnvironmentPolicy policy = Policy(null, null,
            new RulePolicy("db_*", null, QuiescePolicy.Of(QuiesceMode.Stop), null, null),
            new RulePolicy("db_main", "vault", QuiescePolicy.Of(QuiesceMode.None), 9, null),
            new RulePolicy("gone_*", "vault", null, null, null));
        BackupPlan plan = Planner.Plan(policy, Inventory([Volume("db_main"), Volume("web")]), []);
        plan.Volumes[0].Policy.ShouldBe(policy.Default with { Store = "vault", Quiesce = QuiescePolicy.Of(QuiesceMode.Stop), CompressionLevel = 9 });
        plan.Volumes[1].Policy.ShouldBe(policy.Default);
        plan.Warnings.ShouldHaveSingleItem().Problem.ShouldContain("\"gone_*\"");
    }

    [Fact]
    public void A_volume_that_is_named_but_absent_is_missing_unless_excluded_or_not_asked_for()
    {
        EnvironmentPolicy policy = Policy(volumes: new VolumePatterns(["data", "gone", "old", "gone", "bind:/srv", "any*"], ["old"]));
        BackupPlan plan = Planner.Plan(policy, Inventory([Volume("data")]), []);
        plan.Missing.ShouldBe([SourceRef.Volume("gone")]);
        plan.Warnings.ShouldBeEmpty();
        Planner.Plan(policy, Inventory([Volume("data")]), [], ["data"]).Missing.ShouldBeEmpty();
        Planner.Plan(policy, Inventory([Volume("data")]), [], ["gone"]).Missing.ShouldHaveSingleItem();
    }

    [Fact]
    public void Globs_of_the_command_line_narrow_the_plan()
    {
        BackupPlan plan = Planner.Plan(Policy(), Inventory([Volume("a1"), Volume("a2"), Volume("b")]), [], ["a*", "a1"]);
        plan.Volumes.Select(v => v.Source.Name).ShouldBe(["a1", "a2"]);
        plan.Skipped.ShouldHaveSingleItem().ShouldBe(new SkippedSource(SourceRef.Volume("b"), "--volume leaves it out"));
    }

    [Fact]
    public void A_glob_that_matches_nothing_is_not_found_and_says_why()
    {
        Inventory inventory = Inventory([Volume("a", labels: "backup.exclude=true"), Volume("b")]);
        var nothing = Should.Throw<BackupException>(() => Planner.Plan(Policy(), inventory, [], ["b", "zzz"]));
        nothing.Kind.ShouldBe(FailureKind.NotFound);
        nothing.Problem.ShouldBe("--volume zzz matches nothing in local");
        Should.Throw<BackupException>(() => Planner.Plan(Policy(), inventory, [], ["a"])).Problem.ShouldContain("its label backup.exclude=true");
    }

    [Fact]
    public void The_expected_size_is_that_of_the_newest_snapshot_in_the_store_it_goes_to()
    {
        Snapshot Made(string environment, string store, string time, long bytes) => new(time, environment, "data",
            DateTimeOffset.Parse(time, System.Globalization.CultureInfo.InvariantCulture), "archive", store, bytes, 1, 1, "", "pause");
        VolumeStep step = Planner.Plan(Policy(), Inventory([Volume("data"), Volume("new")]),
            [Made("local", "disk", "2026-11-01T00:00:00Z", 1), Made("local", "disk", "2026-11-02T00:00:00Z", 2), Made("local", "old", "2026-11-03T00:00:00Z", 3), Made("elsewhere", "disk", "2026-11-04T00:00:00Z", 4)])
            .Volumes[0];
        step.ExpectedBytes.ShouldBe(2);
        step.ExpectedSource.ShouldBe("the snapshot of 2026-11-02 00:00Z");
    }

    [Fact]
    public void A_policy_that_selects_nothing_is_told_so()
    {
        Planner.Plan(Policy(volumes: new VolumePatterns(["nothing_*"], [])), Inventory([Volume("data")]), []).Warnings
            .ShouldContain(w => w.Problem.Contains("nothing of it is backed up"));
    }

    [Fact]
    public void Hooks_of_the_policy_go_to_every_writer()
    {
        var hooks = new QuiescePolicy(false, QuiesceMode.Pause, ["sync"], ["echo"], TimeSpan.FromSeconds(5));
        QuiesceStep step = Only(Policy(hooks), Inventory([Volume("data")], Container("a", "data:/d"))).Quiesce.ShouldHaveSingleItem();
        (step.Mode, step.Reason).ShouldBe((QuiesceMode.Pause, "policy: hooks, then pause"));
        step.Hooks.ShouldHaveSingleItem().ShouldBe(new Hook(hooks.Before, hooks.After, TimeSpan.FromSeconds(5)));
    }
}
