using Backup.PortainerRig.Agent;

namespace Backup.Tests.Portainer;

/// <summary>A Swarm of test agents, each before an engine of its own or all before one.</summary>
internal sealed class SwarmScope : IAsyncDisposable
{
    private readonly List<StrictAgent> _agents = [];

    public AgentCluster Cluster { get; } = new();

    /// <summary>By its node's name.</summary>
    public StrictAgent this[string node] => _agents.Single(a => a.Settings.NodeName == node);

    public async Task<StrictAgent> StartAsync(string node, string socket, bool manager = false, Func<AgentSettings, AgentSettings>? like = null)
    {
        var settings = new AgentSettings(socket) { NodeName = node, Manager = manager, Cluster = Cluster };
        StrictAgent agent = await StrictAgent.StartAsync(like?.Invoke(settings) ?? settings);
        _agents.Add(agent);
        return agent;
    }

    /// <summary>It ends, and the others do not know yet.</summary>
    public async Task EndAsync(string node)
    {
        StrictAgent agent = this[node];
        _agents.Remove(agent);
        await agent.DisposeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        foreach (StrictAgent agent in _agents) await agent.DisposeAsync();
    }
}
