using System.Text.Json;
using System.Text.Json.Serialization;

namespace Backup.Environments.Connections;

// What is read from Portainer, member names as on the wire; almost every member may be missing.

internal sealed record PortainerError([property: JsonPropertyName("message")] string? Message, [property: JsonPropertyName("details")] string? Details);

/// <summary>One environment ("endpoint") of a Portainer server.</summary>
/// <param name="Type">1 engine, 2 agent, 4 Edge agent; others have no Docker API.</param>
/// <param name="Status">1 up, 2 down, as of the last look; for Edge agents there is <paramref name="Heartbeat"/>.</param>
/// <param name="EdgeCheckinInterval">Seconds.</param>
internal sealed record PortainerEnvironment(
    int Id, string? Name, int Type, int? Status, [property: JsonPropertyName("EdgeID")] string? EdgeId, int? EdgeCheckinInterval, bool? Heartbeat,
    bool? UserTrusted, PortainerEdge? Edge, PortainerAgentFacts? Agent)
{
    internal const int Engine = 1, OnAgent = 2, OnEdgeAgent = 4;

    /// <summary>Null = it has a Docker API that can be reached; else why not.</summary>
    internal string? Unusable => Type switch
    {
        OnEdgeAgent when Edge?.AsyncMode == true => "is an Edge environment in async mode, which has no tunnel: Portainer only leaves orders there and cannot pass data",
        OnEdgeAgent when string.IsNullOrEmpty(EdgeId) => "is an Edge environment whose agent never connected",
        OnEdgeAgent when UserTrusted == false => "is an Edge environment that nobody has accepted yet (Portainer: Edge Compute, Waiting Room)",
        Engine or OnAgent or OnEdgeAgent => null,
        3 => "is an Azure Container Instances environment, which has no volumes of Docker",
        5 or 6 or 7 => "is a Kubernetes environment, which has no volumes of Docker",
        _ => $"is of type {Type}, which this program does not know",
    };

    /// <summary>Docker runs there, whether or not it can be reached.</summary>
    internal bool IsDocker => Type is Engine or OnAgent or OnEdgeAgent;
}

internal sealed record PortainerEdge(bool? AsyncMode);

internal sealed record PortainerAgentFacts(string? Version);

/// <param name="Role">1 administrator, 2 standard.</param>
internal sealed record PortainerUser(int Id, int? Role)
{
    internal bool IsAdministrator => Role == 1;
}

/// <summary>An agent, as another one of the same Swarm knows it.</summary>
/// <param name="NodeName">Its host's name.</param>
internal sealed record AgentMember(string? NodeName);

// A node, as a manager of the Swarm knows it: Docker's own words, asked through an agent.

internal sealed record NodeAnswer([property: JsonPropertyName("ID")] string Id, NodeSpec? Spec, NodeDescription? Description, NodeStatus? Status);

/// <param name="Availability">active, pause or drain.</param>
internal sealed record NodeSpec(string? Availability);

internal sealed record NodeDescription(string? Hostname, NodePlatform? Platform, NodeEngine? Engine);

internal sealed record NodePlatform(string? Architecture, [property: JsonPropertyName("OS")] string? Os);

internal sealed record NodeEngine(string? EngineVersion);

/// <param name="State">ready, down, disconnected or unknown.</param>
internal sealed record NodeStatus(string? State);

[JsonSourceGenerationOptions(UnmappedMemberHandling = JsonUnmappedMemberHandling.Skip)]
[JsonSerializable(typeof(PortainerError))]
[JsonSerializable(typeof(PortainerEnvironment[]))]
[JsonSerializable(typeof(PortainerUser))]
[JsonSerializable(typeof(AgentMember[]))]
[JsonSerializable(typeof(NodeAnswer[]))]
internal sealed partial class PortainerJson : JsonSerializerContext;
