using Backup.Environments;
using Backup.Planning;
using Backup.Policies;
using Shouldly;
using Xunit;
using static Backup.Tests.Planning.Facts;

namespace Backup.Tests.Planning;

public sealed class DependenciesTests
{
    private static QuiesceStep Step(ContainerFacts container, QuiesceMode mode = QuiesceMode.Stop) => new(container, mode, [], "test");

    /// <summary>Such as <c>web:stop(db!) db:stop</c>: web needs db, healthy.</summary>
    private static string Arranged(IReadOnlyList<ContainerFacts> all, params QuiesceStep[] asked) =>
        string.Join(" ", new Dependencies(all).Arrange(asked).Select(s => $"{s.Container.Name}:{s.Mode.ToString().ToLowerInvariant()}"
            + (s.Needs.Count == 0 ? "" : $"({string.Join(' ', s.Needs.Select(n => all.Single(c => c.Id == n.ContainerId).Name + (n.Healthy ? "!" : "")))})")));

    [Fact]
    public void Compose_says_who_needs_whom_and_whether_healthy()
    {
        ContainerFacts web = Container("a-web", "", labels: Compose("web", "cache:service_started:false,db:service_healthy:true")), db = Container("b-db", "", labels: Compose("db")),
            cache = Container("c-cache", "", labels: Compose("cache"));
        Arranged([web, db, cache], Step(cache), Step(db), Step(web)).ShouldBe("a-web:stop(b-db! c-cache) b-db:stop c-cache:stop");
    }

    [Fact]
    public void Labels_of_older_compose_versions_name_the_service_alone() =>
        Arranged([Container("web", "", labels: Compose("web", "db")), Container("db", "", labels: Compose("db"))],
            Step(Container("db", "", labels: Compose("db"))), Step(Container("web", "", labels: Compose("web", "db")))).ShouldBe("web:stop(db) db:stop");

    [Fact]
    public void A_need_reaches_through_containers_that_are_not_held()
    {
        ContainerFacts web = Container("web", "", labels: Compose("web", "app:service_healthy:false")), app = Container("app", "", labels: Compose("app", "db:service_started:false")),
            db = Container("db", "", labels: Compose("db"));
        Arranged([web, app, db], Step(db), Step(web)).ShouldBe("web:stop(db) db:stop");
    }

    [Fact]
    public void The_same_service_name_in_another_project_is_nobody()
    {
        ContainerFacts web = Container("web", "", labels: Compose("web", "db:service_started:false")), other = Container("a-db", "", labels: "com.docker.compose.project=other; com.docker.compose.service=db");
        Arranged([web, other], Step(web), Step(other)).ShouldBe("a-db:stop web:stop");
    }

    [Fact]
    public void In_a_circle_each_needs_only_those_that_go_down_after_it()
    {
        ContainerFacts a = Container("a", "", labels: Compose("a", "b:service_started:false")), b = Container("b", "", labels: Compose("b", "a:service_started:false"));
        Arranged([a, b], Step(b), Step(a)).ShouldBe("a:stop(b) b:stop");
    }

    [Fact]
    public void Who_depends_with_restart_true_is_stopped_before_and_started_after_what_is_stopped()
    {
        ContainerFacts db = Container("db", "", labels: Compose("db")), web = Container("web", "", labels: Compose("web", "db:service_healthy:true")),
            front = Container("front", "", labels: Compose("front", "web:service_started:true")), loose = Container("loose", "", labels: Compose("loose", "db:service_started:false")),
            off = Container("off", "", "exited", Compose("off", "db:service_started:true"));
        ContainerFacts[] all = [db, web, front, loose, off];
        Arranged(all, Step(db)).ShouldBe("front:stop(db web) web:stop(db!) db:stop");
        new Dependencies(all).Arrange([Step(db)])[1].Reason.ShouldBe("depends on db with restart: true, so it is stopped before and started after it");
        Arranged(all, Step(db, QuiesceMode.Pause)).ShouldBe("db:pause", "what is only paused is not restarted");
    }

    [Fact]
    public void Who_cannot_be_restarted_with_what_it_depends_on_is_named()
    {
        ContainerFacts db = Container("db", "", labels: Compose("db")), web = Container("web", "", labels: Compose("web", "db:service_started:true"), autoRemove: true);
        QuiesceStep step = new Dependencies([db, web]).Arrange([Step(db)]).ShouldHaveSingleItem();
        (step.Mode, step.Reason).ShouldBe((QuiesceMode.Stop, "test; web is not restarted with it, because a stop would delete web (--rm)"));
    }

    [Fact]
    public void Who_lives_in_the_namespaces_of_a_stopped_container_is_stopped_before_it()
    {
        ContainerFacts vpn = Container("vpn", "v:/v"), torrent = Container("torrent", "") with { SharesWith = [vpn.Id] }, watcher = Container("watcher", "") with { SharesWith = ["torrent"] },
            off = Container("off", "", "exited") with { SharesWith = [vpn.Id] };
        IReadOnlyList<QuiesceStep> steps = new Dependencies([vpn, torrent, watcher, off]).Arrange([Step(vpn), Step(torrent, QuiesceMode.Pause)]);
        steps.Select(s => $"{s.Container.Name}: {s.Mode}, {s.Reason}").ShouldBe([
            "watcher: Stop, lives in the namespaces of vpn, which is stopped", "torrent: Stop, lives in the namespaces of vpn, which is stopped", "vpn: Stop, test"]);
        Arranged([vpn, torrent], Step(vpn, QuiesceMode.Pause)).ShouldBe("vpn:pause", "a pause keeps the namespaces");
    }

    [Fact]
    public void A_container_is_not_stopped_when_a_neighbour_would_be_deleted_by_that()
    {
        ContainerFacts vpn = Container("vpn", "v:/v"), fleeting = Container("fleeting", "", autoRemove: true) with { SharesWith = [vpn.Id] };
        QuiesceStep step = new Dependencies([vpn, fleeting]).Arrange([Step(vpn)]).ShouldHaveSingleItem();
        (step.Mode, step.Reason).ShouldBe((QuiesceMode.Pause, "paused instead of stopped, because fleeting lives in its namespaces, and a stop would delete that one (--rm)"));
    }
}
