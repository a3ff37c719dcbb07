using Backup.Environments;
using Backup.Planning;
using Backup.Policies;
using Shouldly;
using Xunit;
using static Backup.Tests.Planning.Facts;

namespace Backup.Tests.Planning;

/// <summary>Tasks of a Swarm service are stopped by scaling it to 0, or paused with the reason why not.</summary>
public sealed class ScalingPlanTests
{
    private const string Task = "com.docker.swarm.task.id=t; com.docker.swarm.service.id=s1";
    private static readonly ServiceFacts Web = new("s1", "shop_web", ServiceMode.Replicated, 2, 2);
    private static readonly QuiescePolicy Stop = QuiescePolicy.Of(QuiesceMode.Stop);

    private static Inventory Swarm(ServiceFacts service, params ContainerFacts[] containers) =>
        Inventory([Volume("data"), Volume("more")], containers) with { Swarm = new SwarmFacts(1, [service]) };

    private static ContainerFacts[] Tasks => [Container("shop_web.1.a", "data:/d", labels: Task), Container("shop_web.2.b", "data:/d", labels: Task)];

    private static string Held(GroupStep group) => string.Join(" | ", group.Quiesce.Select(q => $"{q.Name} {q.Mode.ToString().ToLowerInvariant()}: {q.Reason}"));

    [Fact]
    public void The_tasks_of_a_service_are_one_holder_that_is_scaled_to_0_and_back()
    {
        BackupPlan plan = Planner.Plan(Policy(Stop), Swarm(Web, [.. Tasks, Container("beside", "data:/d")]), []);
        VolumeStep data = plan.Volumes.Single(v => v.Source.Name == "data");
        Held(plan.Groups[0]).ShouldBe("beside stop: policy: stop | shop_web stop: policy: stop; a swarm service: scaled from 2 to 0 and back");
        data.Quiesce.Select(q => q.Service?.Id).ShouldBe([null, "s1"]);
        data.Consistency.ShouldBe("stop");
        data.Writers.Count.ShouldBe(3);
        plan.Warnings.ShouldBeEmpty();
    }

    [Fact]
    public void A_service_is_held_once_in_the_strongest_way_that_any_of_its_volumes_asks_for()
    {
        BackupPlan plan = Planner.Plan(
            Policy(QuiescePolicy.Of(QuiesceMode.Pause), null, new RulePolicy("data", null, Stop, null, null)),
            // A mount that is named after the slot: one task writes to one volume, the other to the other.
            Swarm(Web, Container("shop_web.1.a", "data:/d", labels: Task), Container("shop_web.2.b", "more:/d", labels: Task)), []);
        Held(plan.Groups[0]).ShouldBe("shop_web stop: policy: stop; a swarm service: scaled from 2 to 0 and back");
        plan.Groups[0].Volumes.ShouldAllBe(v => v.Consistency == "stop" && v.Quiesce.Single().Service == Web);
    }

    public static TheoryData<string, Inventory> Reasons => new()
    {
        { "this node is not a manager of the swarm", Inventory([Volume("data")], Tasks) with { Swarm = new SwarmFacts(null, [], "this node is not a manager of the swarm") } },
        { "its service is not known", Inventory([Volume("data")], Tasks) with { Swarm = new SwarmFacts(1, []) } },
        { "a global service has no count of tasks", Swarm(Web with { Mode = ServiceMode.Global }, Tasks) },
        { "it is a job", Swarm(Web with { Mode = ServiceMode.Job }, Tasks) },
        { "its service is being updated", Swarm(Web with { Updating = true }, Tasks) },
        { "no placement constraint ties it to this node", Inventory([Volume("data")], Tasks) with { Swarm = new SwarmFacts(3, [Web]) } },
        { "shop_web.3.c is paused", Swarm(Web, [.. Tasks, Container("shop_web.3.c", "", "paused", Task)]) },
        { "probe lives in its namespaces", Swarm(Web, [.. Tasks, Container("probe", "") with { SharesWith = ["shop_web.2.b"] }]) },
    };

    [Theory]
    [MemberData(nameof(Reasons))]
    public void Where_a_service_cannot_be_scaled_its_tasks_are_paused_and_the_plan_says_why(string why, Inventory inventory)
    {
        GroupStep group = Planner.Plan(Policy(Stop, new VolumePatterns(["data"], [])), inventory, []).Groups.Single();
        group.Quiesce.Select(q => (q.Name, q.Mode, q.Service)).ShouldBe([("shop_web.1.a", QuiesceMode.Pause, null), ("shop_web.2.b", QuiesceMode.Pause, null)]);
        group.Quiesce.ShouldAllBe(q => q.Reason.StartsWith($"swarm task: paused instead of stopped, because {why}"));
        group.Volumes.Single().Consistency.ShouldBe("pause");
    }

    [Fact]
    public void A_constraint_lets_a_service_of_many_nodes_be_scaled() =>
        Planner.Plan(Policy(Stop), Swarm(Web with { Constrained = true }, Tasks) with { Swarm = new SwarmFacts(3, [Web with { Constrained = true }]) }, [])
            .Groups[0].Quiesce.ShouldHaveSingleItem().Service.ShouldNotBeNull();

    [Fact]
    public void Hooks_belong_to_a_task_so_they_keep_the_service_from_being_scaled()
    {
        QuiescePolicy hooked = Stop with { Before = ["flush"] };
        GroupStep own = Planner.Plan(Policy(hooked), Swarm(Web, Tasks), []).Groups[0];
        own.Quiesce.ShouldAllBe(q => q.Mode == QuiesceMode.Pause && q.Hooks.Count == 1 && q.Reason.Contains("its hooks could not run in the task that comes back"));

        // Another volume of the same group asks for hooks in one of the tasks.
        GroupStep others = Planner.Plan(Policy(Stop, null, new RulePolicy("more", null, hooked with { Then = QuiesceMode.Pause }, null, null)),
            Swarm(Web, Container("shop_web.1.a", "data:/d more:/m", labels: Task), Container("shop_web.2.b", "data:/d", labels: Task)), []).Groups.Single();
        others.Quiesce.Select(q => (q.Name, q.Mode, q.Hooks.Count)).ShouldBe([("shop_web.1.a", QuiesceMode.Pause, 1), ("shop_web.2.b", QuiesceMode.Pause, 0)]);
    }

    [Fact]
    public void By_themselves_tasks_are_paused_as_before() =>
        Planner.Plan(Policy(), Swarm(Web, Tasks), []).Groups[0].Quiesce.ShouldAllBe(q => q.Mode == QuiesceMode.Pause && q.Reason == "auto: pause");

    [Fact]
    public void The_volumes_of_a_stack_are_one_point_in_time()
    {
        const string Stack = "com.docker.stack.namespace=shop";
        BackupPlan plan = Planner.Plan(Policy(), Inventory([Volume("alone"), Volume("cart"), Volume("db", labels: Stack), Volume("pages", labels: "com.docker.compose.project=shop")],
            Container("shop_web.1.a", "cart:/d", labels: $"{Task}; {Stack}"), Container("solo", "alone:/d")), []);
        plan.Groups.Select(g => $"{g.Name}: {string.Join(' ', g.Volumes.Select(v => v.Source))}").ShouldBe(["alone: alone", "shop: cart db", "shop: pages"]);
        plan.Groups.Select(g => g.Why).ShouldBe(["", "stack shop", "compose project shop"]);
    }

    [Fact]
    public void A_volume_that_a_stack_and_a_project_write_to_makes_them_one_group() =>
        Planner.Plan(Policy(), Inventory([Volume("data")], Container("a", "data:/d", labels: "com.docker.stack.namespace=shop"), Container("b", "data:/d", labels: "com.docker.compose.project=wiki")), [])
            .Groups.Single().Why.ShouldBe("compose project wiki and stack shop, which share a volume or a container");
}
