using System.Text.Json.Nodes;
using Backup.PortainerRig.Agent;
using Backup.Running;
using Backup.Tests.Environments;
using Backup.Tests.Running;
using Shouldly;
using Xunit;

namespace Backup.Tests.Portainer;

/// <summary>An engine in swarm mode behind two agents: what is on the worker is a manager's to scale.</summary>
[Collection("swarm")]
public sealed class SwarmServiceTests(SwarmFixture swarm) : IAsyncLifetime
{
    private readonly RunningScope _scope = new(swarm.Engine);
    private readonly SwarmScope _agents = new();
    private string _service = "";

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        if (_service.Length > 0) await SwarmFixture.RemoveAsync(_scope.Engine, _service);
        await _agents.DisposeAsync();
        await _scope.DisposeAsync();
    }

    [Fact(Timeout = 180_000)]
    public async Task A_service_is_scaled_to_0_and_back_by_a_manager_while_its_volume_on_a_worker_is_read()
    {
        string volume = await _scope.VolumeAsync("data", "echo 1 > f");
        _service = _scope.Engine.Prefix + "_web";
        string id = await swarm.ServiceAsync(_scope.Engine, _service, 1, volume);
        await _agents.StartAsync("m1", swarm.Engine.SocketPath, manager: true, s => s with { Secret = "s" });
        StrictAgent reached = await _agents.StartAsync("w1", swarm.Engine.SocketPath, like: s => s with { Secret = "s" });
        string secret = Path.Combine(_scope.Folder, "secret");
        await File.WriteAllTextAsync(secret, "s");
        File.SetUnixFileMode(secret, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        JsonObject prod = _scope.Environment("");
        prod["connect"] = new JsonObject { ["type"] = "portainer-agent", ["url"] = reached.Url.ToString(), ["secret"] = "file:" + secret };
        prod["quiesce"] = "stop";
        _scope.Environments["prod"] = prod;

        RunReport report = await _scope.RunAsync(default, "prod.w1");

        report.Failures.ShouldBeEmpty();
        MadeSnapshot made = report.Snapshots.ShouldHaveSingleItem();
        (made.Snapshot.Environment, made.Snapshot.Volume, made.Snapshot.Consistency).ShouldBe(("prod.w1", volume, "stop"));
        (await SwarmFixture.TasksAsync(_scope.Engine, _service)).ShouldBe(1);
        string update = $"/services/{id}/update";
        _agents["m1"].Requests.Count(r => r.Target.StartsWith(update, StringComparison.Ordinal)).ShouldBe(2, "to 0 and back");
        reached.Requests.Where(r => r.Target.Contains(update, StringComparison.Ordinal)).ShouldAllBe(r => r.Headers["X-PortainerAgent-ManagerOperation"] == "1");
        await _scope.NothingIsLeftAsync();
    }
}
