using System.Globalization;
using System.Text.Json.Nodes;

namespace Backup.PortainerRig.Agent;

/// <summary>A node as the managers of the Swarm know it.</summary>
/// <param name="State">ready, down, disconnected or unknown.</param>
/// <param name="Availability">active, pause or drain.</param>
public sealed record ClusterNode(string Id, string Name, bool Manager = false, string State = "ready", string Availability = "active");

/// <summary>
/// The agents of one Swarm and its nodes. Agents find each other by a protocol of their own (agent 1.6), which is not in this rig: they know of each other
/// at once, and one that is gone stays known until a test says that they noticed.
/// </summary>
public sealed class AgentCluster
{
    private readonly Lock _lock = new();
    private readonly List<StrictAgent> _agents = [];
    private readonly List<ClusterNode> _nodes = [];
    private (string Node, string AskedAt)? _mistaken;

    /// <summary>In the order in which they came.</summary>
    internal IReadOnlyList<StrictAgent> Agents
    {
        get { lock (_lock) return [.. _agents]; }
    }

    /// <summary>The node of each agent is one of the Swarm; others are added here.</summary>
    public void Add(ClusterNode node)
    {
        lock (_lock) _nodes.Add(node);
    }

    /// <summary>The managers say something else of the node.</summary>
    public void Change(string name, Func<ClusterNode, ClusterNode> change)
    {
        lock (_lock) _nodes[_nodes.FindIndex(n => n.Name == name)] = change(_nodes.First(n => n.Name == name));
    }

    internal void Join(StrictAgent agent)
    {
        lock (_lock)
        {
            _agents.Add(agent);
            if (_nodes.All(n => n.Name != agent.Settings.NodeName))
                _nodes.Add(new ClusterNode(string.Create(CultureInfo.InvariantCulture, $"node{_nodes.Count + 1}id000000000000000000"), agent.Settings.NodeName, agent.Settings.Manager));
        }
    }

    /// <summary>The other agents noticed that it is gone.</summary>
    public void Leave(StrictAgent agent)
    {
        lock (_lock) _agents.Remove(agent);
    }

    /// <summary>
    /// In the next joined list, what is asked of one node is asked at another: the goroutines that ask share one address, and set it without a lock (agent 1.6).
    /// </summary>
    public void Mistake(string node, string askedAt)
    {
        lock (_lock) _mistaken = (node, askedAt);
    }

    /// <summary>Where a node is asked for its part of a joined list.</summary>
    internal StrictAgent WhereToAsk(StrictAgent agent)
    {
        lock (_lock)
        {
            if (_mistaken is not { } mistaken || mistaken.Node != agent.Settings.NodeName) return agent;
            _mistaken = null;
            return _agents.First(a => a.Settings.NodeName == mistaken.AskedAt);
        }
    }

    /// <summary>Nobody asked for a joined list since <see cref="Mistake"/>.</summary>
    public bool IsMistakeToCome
    {
        get { lock (_lock) return _mistaken is not null; }
    }

    /// <summary>Of <c>GET /agents</c> (agent 1.6).</summary>
    internal JsonArray AgentsJson() =>
    [
        .. Agents.Select(a => new JsonObject
        {
            ["IPAddress"] = a.Url.Host, ["Port"] = a.Url.Port.ToString(CultureInfo.InvariantCulture), ["NodeName"] = a.Settings.NodeName,
            ["NodeRole"] = a.Settings.Manager ? "manager" : "worker", ["EdgeKeySet"] = false,
        }),
    ];

    /// <summary>Of an engine's <c>GET /nodes</c>: the real engine behind an agent is in no Swarm, and would have one node at most.</summary>
    internal JsonArray NodesJson()
    {
        lock (_lock)
            return
            [
                .. _nodes.Select(n => new JsonObject
                {
                    ["ID"] = n.Id, ["Version"] = new JsonObject { ["Index"] = 10 },
                    ["Spec"] = new JsonObject { ["Labels"] = new JsonObject(), ["Role"] = n.Manager ? "manager" : "worker", ["Availability"] = n.Availability },
                    ["Description"] = new JsonObject
                    {
                        ["Hostname"] = n.Name, ["Platform"] = new JsonObject { ["Architecture"] = "x86_64", ["OS"] = "linux" },
                        ["Engine"] = new JsonObject { ["EngineVersion"] = "20.10.24" },
                    },
                    ["Status"] = new JsonObject { ["State"] = n.State, ["Addr"] = "127.0.0.1" },
                }),
            ];
    }
}
