using System.Text.Json.Nodes;
using Backup.PortainerRig.Server;
using Backup.Running;
using Backup.Tests.Environments;
using Backup.Tests.Running;
using Backup.Tests.Stores;
using Shouldly;
using Xunit;

namespace Backup.Tests.Portainer;

/// <summary>
/// Two hosts, each an engine and its agent in a network namespace of their own, behind one Portainer that reaches both. Nothing leads from one to
/// the other.
/// </summary>
[Collection("engine")]
public sealed class TwoHostsTests(EngineFixture engine) : IAsyncLifetime
{
    // Whole seconds: the engine's tar has no more.
    private const string Sums = "find . -type f -print0 | sort -z | xargs -0 sha256sum; find . -print0 | sort -z | xargs -0 stat -c '%n %F %a %u %g %h %Y'";
    private const string Secret = "shared by Portainer and its agents";
    private const string Volume = "moving";

    private readonly RunningScope _scope = new(engine);
    private readonly List<IAsyncDisposable> _started = [];
    private readonly List<EngineFixture> _engines = [];

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (IAsyncDisposable part in Enumerable.Reverse(_started)) await part.DisposeAsync();
        foreach (EngineFixture host in _engines) await host.DisposeAsync();
        await _scope.DisposeAsync();
    }

    private async Task<(EngineFixture Engine, string Netns, Uri Agent)> HostAsync(char letter)
    {
        string netns = $"bt{_scope.Engine.Prefix[2..8]}{letter}";
        EngineFixture host = await EngineFixture.OwnAsync(Path.Combine(Path.GetTempPath(), netns), netns);
        _engines.Add(host);
        AgentProcess agent = await AgentProcess.StartAsync(netns, host.Address, host.SocketPath, Secret);
        _started.Add(agent);
        return (host, netns, agent.Url);
    }

    private static Task<string> DockerAsync(EngineFixture host, params string[] arguments) => HostProcess.RunAsync("docker", ["-H", host.Url, .. arguments]);

    private static async Task<string> InVolumeAsync(EngineFixture host, string script) => await HostProcess.RunAsync("bash",
        ["-euc", $"cd '{await DockerAsync(host, "volume", "inspect", "-f", "{{.Mountpoint}}", Volume)}'; {script}"]);

    [Fact(Timeout = 180_000)]
    public async Task A_volume_moves_from_one_host_to_another_behind_the_same_Portainer()
    {
        // As engine.sh does it, so that a machine which forbids it is told apart from a failure.
        string probe = "bt" + _scope.Engine.Prefix[2..8];
        Require.Command("ip", "netns", "add", probe);
        Require.Command("ip", "netns", "del", probe);
        (EngineFixture oldHost, string oldNetns, Uri oldAgent) = await HostAsync('o');
        (EngineFixture newHost, string newNetns, Uri newAgent) = await HostAsync('n');
        foreach ((string netns, Uri other) in new[] { (oldNetns, newAgent), (newNetns, oldAgent) })
            (await HostProcess.RunAsync("bash", ["-c", $"nsenter --net=/run/netns/{netns} curl -sk --max-time 5 {other}/ping; echo $?"])).ShouldBe("7", "no way leads there");
        await DockerAsync(oldHost, "volume", "create", "--label", "shop=1", Volume);
        await InVolumeAsync(oldHost, "mkdir d; head -c 3000000 /dev/urandom > d/f; ln d/f hard; ln -s d soft; chown -R 70:71 d; touch -d @1600000000 d");
        string wanted = await InVolumeAsync(oldHost, Sums);

        StrictServer server = await StrictServer.StartAsync(new ServerSettings
        {
            Https = false, AgentSecret = Secret, Environments = [new(1, "old-host", EnvironmentType.Agent, oldAgent), new(2, "new-host", EnvironmentType.Agent, newAgent)],
        });
        _started.Add(server);
        string key = Path.Combine(_scope.Folder, "key");
        await File.WriteAllTextAsync(key, ServerSettings.AdministratorKey);
        File.SetUnixFileMode(key, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        _scope.Environments.Remove(RunningScope.Local);
        foreach (string name in new[] { "old-host", "new-host" })
            _scope.Environments[name] = new JsonObject
            {
                ["connect"] = new JsonObject { ["type"] = "portainer", ["url"] = server.Url.ToString(), ["apiKey"] = "file:" + key, ["environment"] = name },
            };

        RunReport run = await _scope.RunWellAsync();
        run.Snapshots.ShouldHaveSingleItem().Snapshot.Environment.ShouldBe("old-host");
        await _scope.AllVerifyAsync();
        await _scope.RestoreWellAsync($"old-host/{Volume}", to: "new-host");

        (await InVolumeAsync(newHost, Sums)).ShouldBe(wanted);
        (await DockerAsync(newHost, "volume", "inspect", "-f", "{{.Labels.shop}}", Volume)).ShouldBe("1");
        foreach (EngineFixture host in _engines) (await DockerAsync(host, "ps", "-aq")).ShouldBeEmpty();
        await _scope.NothingIsLeftAsync();
    }
}
