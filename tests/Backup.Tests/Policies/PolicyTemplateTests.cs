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

    [Fact]
    public void A_policy_for_what_runs() => GoldenFile.Check("policy-template.txt", PolicyTemplate.Write("unix:///var/run/docker.sock", Busy, timeZone: "Asia/Shanghai"));

    [Fact]
    public void What_is_written_can_be_read()
    {
        Policy policy = PolicyFile.Parse(PolicyTemplate.Write("tcp://10.0.0.3:2376", Busy), "/etc/backup/backup.json");
        EnvironmentPolicy local = policy.Environments.ShouldHaveSingleItem();
        local.Connect.ShouldBe(new DockerConnectPolicy(new Uri("tcp://10.0.0.3:2376"), null));
        local.Rules.ShouldHaveSingleItem().Volume.ShouldBe("app_pgdata");
        policy.Stores.ShouldHaveSingleItem().ShouldBe(new DirectoryStorePolicy("disk", "/var/backups/docker"));
    }

    [Fact]
    public void Strange_names_cannot_break_out_of_text_or_comment()
    {
        Inventory strange = Inventory([Volume("a\"b\\c")], Container("x\n\"rules\": 7", "a\"b\\c:/d /srv/a\n]:/e")  with { Image = "mysql" });
        PolicyFile.Parse(PolicyTemplate.Write("unix:///s", strange with { Engine = Engine with { HostName = "h\n}" } }), "/p.json").Environments[0].Rules[0].Volume.ShouldBe("a\"b\\c");
    }

    [Fact]
    public void An_empty_engine_gets_a_policy_too() => PolicyFile.Parse(PolicyTemplate.Write("unix:///s", Inventory([])), "/p.json").Environments.Count.ShouldBe(1);

    [Fact]
    public void An_address_is_checked_like_that_of_a_policy()
    {
        PolicyTemplate.Connect("tcp://h:2376").Url.ShouldBe(new Uri("tcp://h:2376"));
        Should.Throw<PolicyException>(() => PolicyTemplate.Connect("http://h")).Problem.ShouldContain("--connect");
    }
}
