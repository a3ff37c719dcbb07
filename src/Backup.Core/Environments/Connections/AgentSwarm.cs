using System.Net;
using System.Text.Json.Serialization.Metadata;

namespace Backup.Environments.Connections;

/// <summary>A node of a Swarm behind an agent.</summary>
/// <param name="Name">Its host's name; not always one of its own.</param>
/// <param name="LeftOut">Why it is not backed up although it is one; null = it is.</param>
public sealed record ListedNode(string Name, string Id, string? LeftOut);

/// <summary>
/// The Swarm that an agent is part of: its nodes, as a manager knows them, and the agents on them, as they know each other. An agent alone would show
/// fewer nodes than there are, and say nothing.
/// </summary>
/// <param name="agent">Where its API begins; ends in a slash.</param>
/// <param name="refused">Makes a failure of a problem and a cure.</param>
internal sealed class AgentSwarm(GatewayCall call, Uri agent, string display, Func<string, string, EnvironmentException> refused)
{
    /// <summary>No host has this name.</summary>
    private const string Nobody = "?";

    /// <summary>Its nodes by name; null = the agent stands before one engine, of no Swarm.</summary>
    internal async Task<IReadOnlyList<ListedNode>?> ListAsync(CancellationToken cancel) =>
        await MembersAsync(cancel).ConfigureAwait(false) is { } members
            ? [.. members.Select(m => new ListedNode(m.Node.Name, m.Node.Id, m is { HasAgent: false, Drained: true } ? m.Absence(members).Problem : null))]
            : null;

    /// <summary>The one that is wanted, proved to be where requests for it go; null where there is no Swarm and none is wanted.</summary>
    /// <exception cref="EnvironmentException">It has no agent; or requests would go to another node.</exception>
    internal async Task<SwarmNode?> FindAsync(string? wanted, CancellationToken cancel)
    {
        IReadOnlyList<Member>? members = await MembersAsync(cancel).ConfigureAwait(false);
        if (wanted is null)
            return members is null ? null : throw refused($"the {display} is one of a Swarm, whose nodes could not be listed a moment ago", "it answers again: run the command once more");
        if (members is null) throw refused($"the {display} stands before one engine, not before a Swarm with a node {wanted}", "it was one of a Swarm a moment ago: run the command once more");
        Member[] found = [.. members.Where(m => m.Node.Name == wanted)];
        if (found.Length == 0) throw refused($"the Swarm behind the {display} has no node {wanted}", $"it has: {string.Join(", ", members.Select(m => m.Node.Name))}");
        if (found.Length > 1)
            throw refused($"{found.Length} nodes of the Swarm behind the {display} are called {wanted}, and an agent cannot tell them apart",
                "give their hosts different names, and restart their engines and agents; what is no node any more: docker node rm ID");
        if (!found[0].HasAgent)
        {
            (string problem, string hint) = found[0].Absence(members);
            throw refused(problem, hint);
        }
        await ProveAsync(wanted, cancel).ConfigureAwait(false);
        return found[0].Node;
    }

    /// <summary>Where the header is lost on the way, every request would be answered, by whichever node it reaches.</summary>
    private async Task ProveAsync(string node, CancellationToken cancel)
    {
        const string Doing = "reach the node";
        var ping = new Uri(agent, "_ping");
        if ((await call.GetAsync(ping, Doing, DockerHttp.ShortCall, cancel, Nobody).ConfigureAwait(false)).Ok)
            throw refused($"the header {Route.NodeHeader} does not arrive at the {display}: requests would go to any node of the Swarm, not to {node}",
                "let the reverse proxy in between pass this header on");
        GatewayAnswer answer = await call.GetAsync(ping, Doing, DockerHttp.ShortCall, cancel, node).ConfigureAwait(false);
        if (!answer.Ok)
            throw refused($"the agent on node {node} does not answer the other agents: {answer.Words()}",
                $"see whether it runs (docker service ps, on a manager) and whether the nodes reach each other on its overlay network");
    }

    private async Task<IReadOnlyList<Member>?> MembersAsync(CancellationToken cancel)
    {
        GatewayAnswer answer = await call.GetAsync(new Uri(agent, "agents"), "ask for the agents of the Swarm", DockerHttp.ShortCall, cancel).ConfigureAwait(false);
        // The agent's own word, not that of something in between.
        if (answer.Status is HttpStatusCode.ServiceUnavailable or HttpStatusCode.NotFound && answer.Header("Portainer-Agent") is not null) return null;
        AgentMember[] agents = Read(answer, PortainerJson.Default.AgentMemberArray, "which other agents there are", "see the agent's log");
        answer = await call.GetAsync(new Uri(agent, "nodes"), "ask for the nodes of the Swarm", DockerHttp.ShortCall, cancel).ConfigureAwait(false);
        NodeAnswer[] nodes = Read(answer, PortainerJson.Default.NodeAnswerArray, "which nodes the Swarm has",
            "only a manager knows: an agent has to run on one, which it does as a global service without constraints");
        return [.. nodes.Select(n => new Member(n, agents)).OrderBy(m => m.Node.Name, StringComparer.Ordinal).ThenBy(m => m.Node.Id, StringComparer.Ordinal)];
    }

    private T Read<T>(GatewayAnswer answer, JsonTypeInfo<T> type, string what, string hint) where T : class =>
        (answer.Ok ? answer.Json(type) : null) ?? throw refused($"the {display} does not tell {what}: {answer.Words()}", hint);

    private sealed class Member
    {
        private readonly NodeAnswer _node;

        internal Member(NodeAnswer node, AgentMember[] agents)
        {
            _node = node;
            NodeDescription? about = node.Description;
            Node = new SwarmNode(node.Id, about?.Hostname ?? node.Id, about?.Engine?.EngineVersion ?? "", about?.Platform?.Os ?? "", about?.Platform?.Architecture ?? "");
            HasAgent = agents.Any(a => a.NodeName == Node.Name);
        }

        internal SwarmNode Node { get; }
        internal bool HasAgent { get; }
        internal bool Drained => _node.Spec?.Availability == "drain" && _node.Status?.State == "ready";

        /// <summary>Why there is no agent, and what helps.</summary>
        internal (string Problem, string Hint) Absence(IEnumerable<Member> all)
        {
            if (_node.Status?.State is { } state and not "ready")
                return ($"node {Node.Name} of the Swarm is {state}", $"start its host or its engine; when it is gone for good, on a manager: docker node rm {Node.Id}");
            if (Drained)
                return ($"node {Node.Name} of the Swarm is drained, and the agent on it stopped with its other tasks", $"on a manager: docker node update --availability active {Node.Id}");
            string[] others = [.. all.Where(m => m.HasAgent).Select(m => m.Node.Name)];
            return ($"node {Node.Name} of the Swarm is ready, but has no Portainer agent",
                $"the agent has to be a global service, which has a task on each node: see docker service ps, on a manager; there are agents on {(others.Length > 0 ? string.Join(", ", others) : "none")}");
        }
    }
}
