using Backup.Cli.Systemd;
using Backup.Policies;
using Backup.Tests.Golden;
using Shouldly;
using Xunit;

namespace Backup.Tests.Systemd;

public sealed class SystemdUnitsTests
{
    private const string Text = """
        { "stores": { "disk": { "type": "directory", "path": "/var/backups/docker" },
                      "oss": { "type": "s3", "provider": "aws", "region": "r", "bucket": "b", "accessKeyId": "cred:oss-id", "secretAccessKey": "cred:oss-key" } },
          "defaults": { "store": "disk", "schedule": "0 3 * * *", "timeZone": "Asia/Shanghai" },
          "environments": {
            "local": { "connect": "unix:///var/run/docker.sock" },
            "front end": { "connect": "tcp://10.0.0.3:2375", "schedule": "30 2 13 * FRI", "store": "oss" },
            "by-hand": { "connect": "tcp://10.0.0.4:2375", "schedule": null },
          } }
        """;

    private static IReadOnlyList<UnitFile> Render(string text = Text, string path = "/etc/backup/backup.json", string binary = "/usr/local/bin/backup", string? state = null)
    {
        Policy policy = PolicyFile.Parse(text, path);
        return SystemdUnits.Render(policy, policy.Environments, new UnitSettings(binary, state));
    }

    private static string Unit(IReadOnlyList<UnitFile> units, string name) => units.Single(u => u.Name == name).Text;

    [Fact]
    public void The_units_of_a_policy() =>
        GoldenFile.Check("systemd-units.txt", string.Concat(Render().Select(u => $"=== {u.Name}\n{u.Text}")));

    [Fact]
    public void An_environment_without_a_schedule_has_no_units()
    {
        Render().Select(u => u.Name).ShouldBe(["backup-local.service", "backup-local.timer", "backup-front\\x20end.service", "backup-front\\x20end.timer", "backup-recover.service"]);
        Render("""{ "stores": { "d": { "type": "directory", "path": "/d" } }, "environments": { "e": { "connect": "unix:///s" } } }""").ShouldBeEmpty();
    }

    [Fact]
    public void An_environment_called_recover_keeps_its_own_unit() =>
        Render(Text.Replace("\"local\"", "\"recover\"")).Select(u => u.Name).Distinct().Count().ShouldBe(5);

    [Fact]
    public void Nothing_of_a_policy_is_expanded_by_systemd()
    {
        IReadOnlyList<UnitFile> units = Render(Text.Replace("\"front end\"", "\"50% $HOME \\\" x\"").Replace("/var/backups/docker", "/var/back ups/%h"), "/etc/ba ckup/$x%n.json");
        string service = units.Single(u => u.Name.StartsWith("backup-50") && u.Name.EndsWith(".service")).Text;
        service.ShouldContain("""--policy "/etc/ba ckup/$$x%%n.json" run "50%% $$HOME \" x" --wait 6h""");
        Unit(units, "backup-local.service").ShouldContain("""ReadWritePaths="-/var/back ups/%%h" """.TrimEnd());
    }

    [Fact]
    public void A_private_tmp_never_hides_what_the_policy_names()
    {
        Unit(Render(), "backup-local.service").ShouldContain("PrivateTmp=true");
        Unit(Render(Text.Replace("/var/backups/docker", "/tmp/b")), "backup-local.service").ShouldNotContain("PrivateTmp");
        Unit(Render(path: "/tmp/x/backup.json"), "backup-local.service").ShouldNotContain("PrivateTmp");
        Unit(Render(Text.Replace("/var/run/docker.sock", "/tmp/d.sock")), "backup-local.service").ShouldNotContain("PrivateTmp");
    }

    [Fact]
    public void The_runtime_is_not_sandboxed_to_death()
    {
        foreach (UnitFile unit in Render().Where(u => u.Name.EndsWith(".service")))
        {
            unit.Text.ShouldNotContain("MemoryDenyWriteExecute");
            unit.Text.ShouldNotContain("ProcSubset");
            unit.Text.ShouldContain("RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6");
        }
    }

    [Fact]
    public void A_state_directory_of_ones_own_is_writable_and_named()
    {
        string service = Unit(Render(state: "/srv/state"), "backup-local.service");
        service.ShouldContain("Environment=BACKUP_STATE_DIR=/srv/state");
        service.ShouldContain("ReadWritePaths=-/srv/state -/var/backups/docker");
        service.ShouldNotContain("StateDirectory=");
    }

    [Fact]
    public void High_compression_gets_the_memory_it_needs() =>
        Unit(Render(Text.Replace("\"defaults\": {", "\"defaults\": { \"compression\": { \"level\": 19 },")), "backup-local.service").ShouldContain("MemoryMax=2G");

    [Fact(Timeout = 120_000)]
    public async Task systemd_itself_finds_nothing_wrong()
    {
        if (!Analyze.Available()) return;
        string folder = Directory.CreateTempSubdirectory("backup-units-").FullName;
        try
        {
            // systemd asks whether the program is there.
            IReadOnlyList<UnitFile> units = Render(Text.Replace("\"local\"", "\"50% $HOME \\\" x\""), "/etc/backup/a b.json", "/bin/true");
            foreach (UnitFile unit in units) await File.WriteAllTextAsync(Path.Combine(folder, unit.Name), unit.Text);
            foreach (UnitFile unit in units)
            {
                (int code, string output) = await Analyze.RunAsync("verify", "--man=no", Path.Combine(folder, unit.Name));
                string ours = string.Join('\n', output.Split('\n').Where(l => l.Contains("backup-") || l.Contains(folder)));
                ours.ShouldBeEmpty(unit.Name);
                code.ShouldBe(0, output);
            }
            // And the judge is awake: a misspelt key is noticed.
            string bad = Path.Combine(folder, "backup-bad.service");
            await File.WriteAllTextAsync(bad, Unit(units, "backup-recover.service").Replace("ExecStart=", "ExceStart="));
            (await Analyze.RunAsync("verify", "--man=no", bad)).Output.ShouldContain("ExceStart");
        }
        finally
        {
            Directory.Delete(folder, true);
        }
    }
}
