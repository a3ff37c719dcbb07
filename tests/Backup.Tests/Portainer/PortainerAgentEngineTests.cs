using Backup.Environments;
using Backup.Environments.Connections;
using Backup.Policies;
using Backup.PortainerRig.Agent;
using Backup.Tests.Environments;
using Shouldly;

namespace Backup.Tests.Portainer;

/// <summary>The whole contract, and everything a real engine can show, through an agent.</summary>
public sealed class PortainerAgentEngineTests(EngineFixture engine) : RealEngineContract(engine)
{
    private readonly EngineFixture _engine = engine;
    private StrictAgent? _agent;

    protected override bool PassesInput => false;

    protected override async Task<IEnvironment> OpenAsync()
    {
        _agent = await StrictAgent.StartAsync(new AgentSettings(_engine.SocketPath));
        return await base.OpenAsync();
    }

    protected override DockerConnection Connect(EngineFixture engine) => PortainerAgentConnection.Create("real",
        new PortainerAgentConnectPolicy(_agent!.Url, null, null, Pair: true, TransferLimits.None), Scope.Folder("state"), Scope.Context());

    protected override async Task CloseAsync()
    {
        await base.CloseAsync();
        // Whatever a test did: nothing of it may ask for what an agent answers with silence, or speak HTTP/2.
        int upgrades = _agent!.Faults.Upgrades;
        string[] others = [.. _agent.Requests.Where(r => r.Protocol != "HTTP/1.1").Select(r => r.ToString())];
        await _agent.DisposeAsync();
        upgrades.ShouldBe(0);
        others.ShouldBeEmpty();
    }
}
