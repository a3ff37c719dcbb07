using Backup.Environments;
using Backup.Environments.Connections;
using Backup.Policies;
using Backup.PortainerRig.Agent;
using Backup.Tests.Environments;
using Shouldly;

namespace Backup.Tests.Portainer;

/// <summary>The whole contract on a node of a Swarm, reached through the agent on another one.</summary>
public sealed class PortainerSwarmEngineTests(EngineFixture engine) : RealEngineContract(engine)
{
    private readonly EngineFixture _engine = engine;
    private readonly SwarmScope _swarm = new();

    protected override bool PassesInput => false;

    protected override async Task<IEnvironment> OpenAsync()
    {
        await _swarm.StartAsync("m1", _engine.SocketPath, manager: true);
        await _swarm.StartAsync("w1", _engine.SocketPath);
        return await base.OpenAsync();
    }

    protected override DockerConnection Connect(EngineFixture engine) => PortainerAgentConnection.Create("real",
        new PortainerAgentConnectPolicy(_swarm["m1"].Url, null, null, Pair: true, TransferLimits.None) { Node = "w1" }, Scope.Folder("state"), Scope.Context());

    protected override async Task CloseAsync()
    {
        await base.CloseAsync();
        AgentRequest[] unaddressed = [.. _swarm["m1"].Requests.Where(r => r.Headers.GetValueOrDefault("X-PortainerAgent-Target") is null && r.Target is not ("/ping" or "/_ping" or "/agents" or "/nodes"))];
        int upgrades = _swarm["m1"].Faults.Upgrades + _swarm["w1"].Faults.Upgrades;
        await _swarm.DisposeAsync();
        unaddressed.ShouldBeEmpty();
        upgrades.ShouldBe(0);
    }
}
