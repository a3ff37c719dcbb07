using Backup.Environments;
using Backup.Policies;
using Backup.Tests.Golden;
using Shouldly;
using Xunit;
using static Backup.Tests.Planning.Facts;

namespace Backup.Tests.Policies;

public sealed class PolicyTemplateTests
{
    private static readonly Inventory Busy = Inventory(
        [Volume("app_pgdata"), Volume("app_uploads"), Volume(new string('b', 64), anonymous: true)],
        Container("app-db-1", "app_pgdata:/var/lib/postgresql/data") with { Image = "registry.example.com/library/postgres:16" },
        Container("app-web-1", "app_uploads:/uploads /srv/site:/site:ro /var/run/docker.sock:/sock"),
        Container("cache", "/srv/site:/x"));

    private static string Write(string url, Inventory inventory, string? zone = null) =>
        PolicyTemplate.Write([new TemplateEnvironment("local", PolicyTemplate.Quote(url), [new TemplateNode("local", inventory)])], timeZone: zone);

    [Fact]
    public void Several_environments_are_written_and_one_that_was_not_reached_keeps_its_place()
    {
        string text = PolicyTemplate.Write(
        [
            new TemplateEnvironment("a b", "\"tcp://a:1\"", [new TemplateNode("a b", Busy)]), new TemplateEnvironment("b", "\"tcp://b:1\"", [new TemplateNode("b", null, "it is\ndown")]),
        ]);
        Policy policy = PolicyFile.Parse(text, "/p.json");
        policy.Environments.Select(e => e.Name).ShouldBe(["a b", "b"]);
        policy.Environments[0].Rules.ShouldHaveSingleItem();
        text.ShouldContain("// Not reached now: it isdown");
    }

    [Fact]
    public void It_says_what_it_was_written_for()
    {
        var gone = new TemplateEnvironment("b", "\"tcp://b:1\"", [new TemplateNode("b", null, "it is down")]);
        PolicyTemplate.Write([gone]).ShouldContain("`backup init` for b.\n");
        PolicyTemplate.Write([gone, gone with { Name = "c" }]).ShouldContain("`backup init` for 2 environments.\n");
    }

    [Fact]
    public void A_Swarm_is_one_environment_for_what_all_its_nodes_have()
    {
        Inventory other = Inventory([Volume("app_uploads"), Volume("only_there")], Container("db", "only_there:/d") with { Image = "mysql:8" });
        string text = PolicyTemplate.Write(
        [
            new TemplateEnvironment("prod", "\"tcp://b:1\"", [new TemplateNode("prod.m1", Busy), new TemplateNode("prod.w1", null, "it is\ndown"), new TemplateNode("prod.w2", other)]) { IsSwarm = true },
        ]);
        PolicyFile.Parse(text, "/p.json").Environments.ShouldHaveSingleItem().Rules.Select(r => r.Volume).ShouldBe(["app_pgdata", "only_there"]);
        text.ShouldContain("for a Swarm of 3 nodes.");
        text.ShouldContain("    // prod.m1: volumes: 3\n    // prod.w1: not reached now: it isdown\n    // prod.w2: volumes: 2\n");
    }

    [Fact]
    public void A_policy_for_what_runs() => GoldenFile.Check("policy-template.txt", Write("unix:///var/run/docker.sock", Busy, "Asia/Shanghai"));

    [Fact]
    public void What_is_written_can_be_read()
    {
        Policy policy = PolicyFile.Parse(Write("tcp://10.0.0.3:2376", Busy), "/etc/backup/backup.json");
        EnvironmentPolicy local = policy.Environments.ShouldHaveSingleItem();
        local.Connect.ShouldBe(new DockerConnectPolicy(new Uri("tcp://10.0.0.3:2376"), null));
        local.Rules.ShouldHaveSingleItem().Volume.ShouldBe("app_pgdata");
        policy.Stores.ShouldHaveSingleItem().ShouldBe(new DirectoryStorePolicy("disk", "/var/backups/docker"));
    }

    [Fact]
    public void Strange_names_cannot_break_out_of_text_or_comment()
    {
        Inventory strange = Inventory([Volume("a\"b\\c")], Container("x\n\"rules\": 7", "a\"b\\c:/d /srv/a\n]:/e")  with { Image = "mysql" });
        PolicyFile.Parse(Write("unix:///s", strange with { Engine = Engine with { HostName = "h\n}" } }), "/p.json").Environments[0].Rules[0].Volume.ShouldBe("a\"b\\c");
    }

    [Fact]
    public void An_empty_engine_gets_a_policy_too() => PolicyFile.Parse(Write("unix:///s", Inventory([])), "/p.json").Environments.Count.ShouldBe(1);

    [Fact]
    public void An_address_is_checked_like_that_of_a_policy()
    {
        PolicyTemplate.Connect("\"tcp://h:2376\"").ShouldBe(new DockerConnectPolicy(new Uri("tcp://h:2376"), null));
        Should.Throw<PolicyException>(() => PolicyTemplate.Connect("\"http://h\"")).Problem.ShouldContain("--connect");
    }
}
