using Backup.Environments;
using Backup.Environments.Connections;
using Backup.Policies;
using Backup.PortainerRig.Agent;
using Backup.PortainerRig.Server;
using Backup.Tests.Environments;
using Shouldly;

namespace Backup.Tests.Portainer;

/// <summary>The whole contract, and everything a real engine can show, through a Portainer server.</summary>
public abstract class PortainerServerContract(EngineFixture engine) : RealEngineContract(engine)
{
    private readonly EngineFixture _engine = engine;
    private StrictAgent? _agent;

    private StrictServer Server { get; set; } = null!;

    protected override bool PassesInput => false;

    /// <summary>Null = the server reaches the engine by its socket.</summary>
    protected abstract AgentSettings? Agent(string socket);

    protected abstract ServerEnvironment Behind(Uri url);

    protected override async Task<IEnvironment> OpenAsync()
    {
        if (Agent(_engine.SocketPath) is { } settings) _agent = await StrictAgent.StartAsync(settings);
        Server = await StrictServer.StartAsync(new ServerSettings { Https = false, Environments = [Behind(_agent?.Url ?? new Uri(_engine.Url))] });
        return await base.OpenAsync();
    }

    protected override DockerConnection Connect(EngineFixture engine)
    {
        string key = Path.Combine(Scope.Folder("key"), "key");
        File.WriteAllText(key, ServerSettings.AdministratorKey);
        File.SetUnixFileMode(key, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        return PortainerServerConnection.Create("real",
            new PortainerConnectPolicy(Server.Url, new Secret("file:" + key, "$.apiKey"), "prod", null, TransferLimits.None), Scope.Context());
    }

    protected override async Task CloseAsync()
    {
        await base.CloseAsync();
        ResourceControl[] records = [.. Server.Records.All];
        int upgrades = _agent?.Faults.Upgrades ?? 0;
        string[] cookies = [.. Server.Requests.Where(r => r.Headers.ContainsKey("Cookie") || r.Headers.ContainsKey("Upgrade")).Select(r => r.ToString())];
        await Server.DisposeAsync();
        if (_agent is not null) await _agent.DisposeAsync();
        // Whatever a test did: no helper leaves a record behind, and no volume has two.
        records.Where(r => r.Kind == "container").ShouldBeEmpty();
        records.Select(r => r.Resource).ShouldBeUnique();
        upgrades.ShouldBe(0);
        cookies.ShouldBeEmpty();
    }
}

public sealed class PortainerLocalEngineTests(EngineFixture engine) : PortainerServerContract(engine)
{
    protected override AgentSettings? Agent(string socket) => null;
    protected override ServerEnvironment Behind(Uri url) => new(1, "prod", EnvironmentType.Docker, url);
}

public sealed class PortainerServerAndAgentEngineTests(EngineFixture engine) : PortainerServerContract(engine)
{
    protected override AgentSettings? Agent(string socket) => new(socket);
    protected override ServerEnvironment Behind(Uri url) => new(2, "prod", EnvironmentType.Agent, url);
}

public sealed class PortainerEdgeEngineTests(EngineFixture engine) : PortainerServerContract(engine)
{
    protected override AgentSettings? Agent(string socket) => new(socket) { Edge = true };

    protected override ServerEnvironment Behind(Uri url) => new(4, "prod", EnvironmentType.EdgeAgent, url) { CheckIn = TimeSpan.FromSeconds(0.5) };
}
