using Backup.Environments;
using Backup.Planning;
using Backup.Policies;
using Shouldly;
using Xunit;
using static Backup.Tests.Planning.Facts;

namespace Backup.Tests.Planning;

public sealed class GroupingTests
{
    private const string Shop = "com.docker.compose.project=shop", Wiki = "com.docker.compose.project=wiki";

    private static RulePolicy Rule(string volume, QuiescePolicy quiesce) => new(volume, null, quiesce, null, null);

    /// <summary>Such as <c>shop: cart db | alone: alone</c>.</summary>
    private static string Groups(BackupPlan plan) => string.Join(" | ", plan.Groups.Select(g => $"{g.Name}: {string.Join(' ', g.Volumes.Select(v => v.Source))}"));

    private static string Held(IEnumerable<QuiesceStep> steps) => string.Join(" ", steps.Select(q => $"{q.Container.Name}:{q.Mode.ToString().ToLowerInvariant()}"));

    [Fact]
    public void Volumes_of_one_compose_project_are_one_point_in_time_and_others_are_alone()
    {
        BackupPlan plan = Planner.Plan(Policy(), Inventory(
            [Volume("alone"), Volume("cart", labels: Shop), Volume("db"), Volume("pages", labels: Wiki), Volume("strange")],
            Container("shop-db", "db:/d", labels: Shop), Container("shop-web", "cart:/d", labels: Shop), Container("solo", "alone:/d"), Container("other", "strange:/d")), []);
        Groups(plan).ShouldBe("alone: alone | shop: cart db | wiki: pages | strange: strange");
        plan.Groups[1].Why.ShouldBe("compose project shop");
        Held(plan.Groups[1].Quiesce).ShouldBe("shop-db:pause shop-web:pause");
        plan.Volumes.Single(v => v.Source.Name == "cart").Quiesce.ShouldHaveSingleItem().Container.Name.ShouldBe("shop-web");
    }

    [Fact]
    public void A_volume_that_two_projects_write_to_makes_them_one_group()
    {
        BackupPlan plan = Planner.Plan(Policy(), Inventory(
            [Volume("db", labels: Shop), Volume("media", labels: Shop), Volume("pages", labels: Wiki)],
            Container("shop-db", "db:/d", labels: Shop), Container("wiki", "pages:/d media:/m", labels: Wiki)), []);
        Groups(plan).ShouldBe("shop+wiki: db media pages");
        plan.Groups[0].Why.ShouldBe("compose projects shop, wiki, which share a volume or a container");
    }

    [Fact]
    public void A_project_that_only_reads_a_volume_stays_apart() =>
        Groups(Planner.Plan(Policy(), Inventory([Volume("certs", labels: Shop), Volume("pages", labels: Wiki)],
            Container("proxy", "pages:/d certs:/c:ro", labels: Wiki), Container("certbot", "certs:/c", labels: Shop)), [])).ShouldBe("shop: certs | wiki: pages");

    [Fact]
    public void A_volume_without_a_label_that_nobody_writes_to_belongs_to_who_reads_it() =>
        Groups(Planner.Plan(Policy(), Inventory([Volume("pages", labels: Wiki), Volume("static")], Container("proxy", "static:/c:ro", labels: Wiki)), []))
            .ShouldBe("wiki: pages static");

    [Fact]
    public void Volumes_without_a_project_are_joined_by_a_running_writer_that_is_held_for_both()
    {
        BackupPlan plan = Planner.Plan(Policy(), Inventory([Volume("a"), Volume("b"), Volume("c"), Volume("d")],
            Container("app", "a:/a c:/c"), Container("old", "c:/c d:/d", "exited")), []);
        Groups(plan).ShouldBe("a+1: a c | b: b | d: d");
        plan.Groups[0].Why.ShouldBe("app writes to more than one of them");
        Held(plan.Groups[0].Quiesce).ShouldBe("app:pause");
    }

    [Fact]
    public void A_container_that_is_held_for_neither_joins_nothing() =>
        Groups(Planner.Plan(Policy(QuiescePolicy.Of(QuiesceMode.None)), Inventory([Volume("a"), Volume("b")], Container("app", "a:/a b:/b")), [])).ShouldBe("a: a | b: b");

    [Fact]
    public void A_container_that_writes_to_several_volumes_is_held_once_in_the_strongest_way()
    {
        var hooks = new QuiescePolicy(false, QuiesceMode.None, ["sync"], null, TimeSpan.FromSeconds(5));
        BackupPlan plan = Planner.Plan(Policy(null, null, Rule("b", QuiescePolicy.Of(QuiesceMode.Stop)), Rule("c", hooks), Rule("d", hooks)),
            Inventory([Volume("a"), Volume("b"), Volume("c"), Volume("d")], Container("app", "a:/a b:/b c:/c d:/d")), []);
        QuiesceStep step = plan.Groups.ShouldHaveSingleItem().Quiesce.ShouldHaveSingleItem();
        step.Mode.ShouldBe(QuiesceMode.Stop);
        step.Hooks.ShouldHaveSingleItem().Before.ShouldBe(["sync"]);
        step.Reason.ShouldBe("policy: stop; policy: hooks, then none");
        plan.Volumes.ShouldAllBe(v => v.Consistency == "stop" && v.Quiesce.Single() == step);
    }

    [Fact]
    public void A_volume_for_which_nobody_is_held_comes_after_the_others_and_does_not_profit_from_them()
    {
        BackupPlan plan = Planner.Plan(Policy(null, null, Rule("a_uploads", QuiescePolicy.Of(QuiesceMode.None))),
            Inventory([Volume("a_uploads", labels: Shop), Volume("db", labels: Shop)], Container("app", "a_uploads:/a db:/b", labels: Shop)), []);
        Groups(plan).ShouldBe("shop: db a_uploads");
        (plan.Volumes[0].Consistency, plan.Volumes[1].Consistency, plan.Volumes[1].Quiesce.Count).ShouldBe(("pause", "none", 0));
        plan.Warnings.ShouldHaveSingleItem().Problem.ShouldBe("a_uploads is read while app may write to it");
    }

    [Fact]
    public void Groups_are_ordered_by_their_first_volume() =>
        Groups(Planner.Plan(Policy(), Inventory([Volume("b"), Volume("a", labels: Wiki), Volume("z", labels: Wiki), Volume("c", labels: Shop)]), []))
            .ShouldBe("wiki: a z | b: b | shop: c");

    [Fact]
    public void Groups_of_the_policy_come_first_and_leave_the_rest_to_the_projects()
    {
        EnvironmentPolicy policy = Policy() with { Groups = [new GroupPolicy("data", ["db*", "bind:/srv/shop"]), new GroupPolicy("late", ["*_late", "gone"])] };
        BackupPlan plan = Planner.Plan(policy with { Volumes = new VolumePatterns(["*", "bind:/srv/shop"], []) },
            Inventory([Volume("cart", labels: Shop), Volume("db1", labels: Shop), Volume("db2", labels: Wiki), Volume("db_late"), Volume("x_late")],
                Container("app", "cart:/c db1:/d", labels: Shop), Container("wiki", "db2:/d /srv/shop:/s", labels: Wiki)), []);
        Groups(plan).ShouldBe("data: bind:/srv/shop db1 db2 db_late | shop: cart | late: x_late", "the first group that matches has it");
        (plan.Groups[0].Why, Held(plan.Groups[0].Quiesce), Held(plan.Groups[1].Quiesce)).ShouldBe(("the policy says so", "app:pause wiki:pause", "app:pause"));
        plan.Warnings.ShouldHaveSingleItem().Problem.ShouldBe("\"gone\" in the group \"late\" matches nothing that is backed up from local");
    }

    [Fact]
    public void Grouping_by_volume_leaves_each_alone() =>
        Groups(Planner.Plan(Policy() with { Grouping = VolumeGrouping.Volume }, Inventory([Volume("a", labels: Shop), Volume("b", labels: Shop)], Container("app", "a:/a b:/b", labels: Shop)), []))
            .ShouldBe("a: a | b: b");

    [Fact]
    public void The_smallest_limit_and_the_longest_patience_of_the_volumes_hold_for_the_group()
    {
        RulePolicy Rule(string volume, int? max, int? health) =>
            new(volume, null, null, null, null) { Downtime = new DowntimeRule(max is { } m ? TimeSpan.FromSeconds(m) : null, null, health is { } h ? TimeSpan.FromSeconds(h) : null) };
        EnvironmentPolicy policy = Policy(null, null, Rule("a", 30, 90), Rule("b", 20, 5), new RulePolicy("c", null, QuiescePolicy.Of(QuiesceMode.None), null, null) { Downtime = new DowntimeRule(TimeSpan.FromSeconds(1), null, null) });
        GroupStep group = Planner.Plan(policy, Inventory([Volume("a", labels: Shop), Volume("b", labels: Shop), Volume("c", labels: Shop)], Container("app", "a:/a b:/b c:/c", labels: Shop)), []).Groups.ShouldHaveSingleItem();
        group.MaxDowntime.ShouldBe(TimeSpan.FromSeconds(20), "nobody is held for c");
        group.HealthTimeout.ShouldBe(TimeSpan.FromSeconds(90));
    }

    [Fact]
    public void The_expected_downtime_comes_from_the_last_time_that_somebody_was_held()
    {
        Backup.Snapshots.Snapshot Made(string volume, int day, double downtime) => new($"{volume}{day}", "local", volume, new DateTimeOffset(2026, 11, day, 3, 0, 0, TimeSpan.Zero), "archive", "disk", 1, 1, 1, "", "pause")
        {
            DowntimeSeconds = downtime,
        };
        Inventory inventory = Inventory([Volume("a", labels: Shop), Volume("b", labels: Shop), Volume("c", labels: Shop)], Container("app", "a:/a b:/b c:/c", labels: Shop));
        GroupStep Plan(params Backup.Snapshots.Snapshot[] known) => Planner.Plan(Policy(), inventory, known).Groups.ShouldHaveSingleItem();
        Plan().Expected.ShouldBeNull();
        Plan(Made("a", 1, 9), Made("a", 2, 2), Made("b", 2, 2), Made("c", 2, 2)).Expected.ShouldBe(new ExpectedDowntime(2, false, "as in the run of 2026-11-02 03:00Z"));
        Plan(Made("a", 1, 5), Made("b", 2, 2), Made("b", 3, 0)).Expected.ShouldBe(new ExpectedDowntime(7, true, "as in 2 windows until 2026-11-02 03:00Z"), "they were read one by one then, and c never");

        EnvironmentPolicy limited = Policy() with { Default = Policy().Default with { Downtime = new DowntimePolicy(TimeSpan.FromSeconds(1), false, TimeSpan.Zero) } };
        Planner.Plan(limited, inventory, [Made("a", 2, 2), Made("b", 2, 2), Made("c", 2, 2)]).Warnings.ShouldHaveSingleItem().Problem
            .ShouldBe("shop is expected to be down for 2 s (as in the run of 2026-11-02 03:00Z), and its maxDowntime is 1 s");
    }
}
