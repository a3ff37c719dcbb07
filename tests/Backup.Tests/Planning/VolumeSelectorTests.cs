using Backup.Environments;
using Backup.Planning;
using Backup.Policies;
using Shouldly;
using Xunit;
using static Backup.Tests.Planning.Facts;

namespace Backup.Tests.Planning;

public sealed class VolumeSelectorTests
{
    private static readonly string Anonymous = new('a', 64);

    private static Selection Select(Inventory inventory, string include = "*", string exclude = "") =>
        VolumeSelector.Select(new VolumePatterns(include.Split(' '), exclude.Split(' ', StringSplitOptions.RemoveEmptyEntries)), inventory);

    private static string Names(Selection s) => string.Join(" ", s.Selected);
    private static string Reason(Selection s, string source) => s.Skipped.Single(k => k.Source.ToString() == source).Reason;

    [Fact]
    public void Every_volume_is_selected_and_no_bind_mount_by_a_star()
    {
        Selection s = Select(Inventory([Volume("b"), Volume("a")], Container("web", "a:/a /srv/site:/site")));
        Names(s).ShouldBe("a b");
        Reason(s, "bind:/srv/site").ShouldBe("a bind mount of web; add \"bind:/srv/site\" to volumes.include to back it up");
    }

    [Fact]
    public void Patterns_include_and_exclude()
    {
        Selection s = Select(Inventory([Volume("app_db"), Volume("app_cache"), Volume("other")]), "app_*", "*_cache");
        Names(s).ShouldBe("app_db");
        Reason(s, "app_cache").ShouldBe("volumes.exclude has \"*_cache\"");
        Reason(s, "other").ShouldContain("volumes.include");
    }

    [Fact]
    public void A_pattern_is_case_sensitive_and_matches_the_whole_name() =>
        Names(Select(Inventory([Volume("app1"), Volume("app10"), Volume("App1")]), "app1")).ShouldBe("app1");

    [Fact]
    public void A_volume_whose_label_excludes_it_is_left_out()
    {
        Selection s = Select(Inventory([Volume("a", labels: "backup.exclude=true"), Volume("b", labels: "backup.exclude=false")]));
        Names(s).ShouldBe("b");
        Reason(s, "a").ShouldContain("backup.exclude=true");
    }

    [Fact]
    public void An_anonymous_volume_counts_only_while_a_container_uses_it()
    {
        Names(Select(Inventory([Volume(Anonymous, anonymous: true)], Container("db", Anonymous + ":/data", "exited")))).ShouldBe(Anonymous);
        Reason(Select(Inventory([Volume(Anonymous, anonymous: true)])), Anonymous).ShouldContain("no container uses it");
    }

    [Fact]
    public void Our_own_helpers_use_nothing()
    {
        Inventory inventory = Inventory([Volume(Anonymous, anonymous: true)], Container("h", Anonymous + ":/data /srv:/srv", "created", "backup.helper.run=1"));
        Selection s = Select(inventory, "* bind:*");
        s.Selected.ShouldBeEmpty();
        s.Skipped.Count.ShouldBe(1);
    }

    [Theory]
    [InlineData("/var/run/docker.sock")]
    [InlineData("/proc")]
    [InlineData("/sys/fs/cgroup")]
    [InlineData("/dev")]
    [InlineData("/")]
    [InlineData("/etc/localtime")]
    [InlineData("/srv/app/app.sock")]
    [InlineData("/var/lib/docker/volumes")]
    public void A_wildcard_never_selects_a_system_path(string path)
    {
        Selection s = Select(Inventory([], Container("agent", $"{path}:/x /srv/data:/data")), "bind:*");
        Names(s).ShouldBe("bind:/srv/data");
        Reason(s, "bind:" + path).ShouldContain("wildcard never");
    }

    [Fact]
    public void A_path_that_is_named_outright_is_taken_even_when_nothing_mounts_it_now() =>
        Names(Select(Inventory([Volume("a")]), "bind:/srv/data/")).ShouldBe("bind:/srv/data");

    [Fact]
    public void Excludes_reach_bind_mounts_by_their_prefix_only()
    {
        Inventory inventory = Inventory([Volume("x")], Container("web", "/srv/a:/a /srv/tmp:/tmp x:/x"));
        Names(Select(inventory, "* bind:/srv/*", "bind:*tmp /srv/a")).ShouldBe("bind:/srv/a x");
    }
}
