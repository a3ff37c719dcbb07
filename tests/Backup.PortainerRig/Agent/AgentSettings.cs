using System.Net;

namespace Backup.PortainerRig.Agent;

/// <summary>What kind of agent a test wants. The defaults are those of agent 2.23 on a standalone engine.</summary>
/// <param name="EngineSocket">The unix socket of the real engine behind it.</param>
public sealed record AgentSettings(string EngineSocket)
{
    /// <summary>What the real agent takes for one upload: headers and body (agent 1.2, <c>ReadTimeout</c>).</summary>
    public static readonly TimeSpan RealUploadLimit = TimeSpan.FromSeconds(120);

    /// <summary>What the real agent takes for one answer (agent 1.2, <c>WriteTimeout</c>).</summary>
    public static readonly TimeSpan RealDownloadLimit = TimeSpan.FromMinutes(30);

    public string Version { get; init; } = "2.23.0";

    /// <summary><c>AGENT_SECRET</c>; null = the first key owns the agent (agent 1.3).</summary>
    public string? Secret { get; init; }

    public TimeSpan UploadLimit { get; init; } = RealUploadLimit;
    public TimeSpan DownloadLimit { get; init; } = RealDownloadLimit;

    /// <summary>The host's <c>…/volumes</c>, where the agent's container has it mounted; null = it has not, and nothing can be browsed (agent 1.7).</summary>
    public string? VolumesRoot { get; init; }

    /// <summary>Of this host, or of the network namespace that it runs in.</summary>
    public IPAddress Address { get; init; } = IPAddress.Loopback;

    /// <summary>0 = any free one.</summary>
    public int Port { get; init; }

    /// <summary>An Edge agent speaks plain HTTP, at the inner end of its tunnel (agent 1.1).</summary>
    public bool Edge { get; init; }

    /// <summary>Its name in the cluster, which is the engine's host name in the real one.</summary>
    public string NodeName { get; init; } = "node-1";

    public bool Manager { get; init; } = true;

    /// <summary>The other agents of its Swarm; null = it stands alone before its engine.</summary>
    public AgentCluster? Cluster { get; init; }
}
