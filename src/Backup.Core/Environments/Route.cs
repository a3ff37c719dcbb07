using System.Text.RegularExpressions;

namespace Backup.Environments;

/// <summary>Something a user should know about an environment although it works.</summary>
public sealed record Remark(string Problem, string Hint);

/// <summary>The way to an engine, once it is known: where its API begins, and what stands in between.</summary>
/// <param name="BaseAddress">Ends in a slash; the engine's paths are relative to it.</param>
internal sealed partial record Route(Uri BaseAddress)
{
    /// <summary>Names the node of a Swarm that a request is for. Without it, it is for whichever agent was reached.</summary>
    internal const string NodeHeader = "X-PortainerAgent-Target";

    private const string ManagerHeader = "X-PortainerAgent-ManagerOperation";

    /// <summary>For people: what the way leads through; empty = nothing.</summary>
    internal string Through { get; init; } = "";

    /// <summary>The engine is on this host: what it reads stays in this host's memory for a while, and costs no traffic.</summary>
    internal bool Local { get; init; }

    internal TransferLimits Limits { get; init; } = TransferLimits.None;

    /// <summary>What is wrong with the way itself.</summary>
    internal IReadOnlyList<Remark> Remarks { get; init; } = [];

    /// <summary>Requests pass through containers of Portainer, which may run on this very engine.</summary>
    internal bool ThroughPortainer { get; init; }

    /// <summary>An agent cuts everything that looks like an API version out of a request's path, also out of names.</summary>
    internal bool CutsVersions { get; init; }

    /// <summary>A Portainer server takes some paths for itself, and hides containers.</summary>
    internal bool ThroughServer { get; init; }

    /// <summary>The user at a Portainer server that our API key is of; null = none, or the server is too old to tell.</summary>
    internal int? PortainerUser { get; init; }

    /// <summary>The node of a Swarm to which it leads, among others; null = there is one engine at its end.</summary>
    internal SwarmNode? Node { get; init; }

    /// <summary>The way closes when no request was begun for a while; null = it does not.</summary>
    internal TimeSpan? KeepAlive { get; init; }

    [GeneratedRegex(@"/v[0-9]\.[0-9]*", RegexOptions.CultureInvariant)]
    private static partial Regex VersionText();

    [GeneratedRegex(@"^(v[0-9]+\.[0-9]+/)?(services|tasks|nodes|swarm)\b", RegexOptions.CultureInvariant)]
    private static partial Regex OfSwarm();

    /// <summary>
    /// The header by which the agents of a Swarm know where a request belongs: what is about the Swarm itself (services, tasks, nodes) goes to any
    /// manager, everything else to the node. Null where there is one engine.
    /// </summary>
    /// <param name="path">As for <see cref="Mangles"/>, with or without the version before it.</param>
    internal (string Header, string Value)? Addressee(string path) =>
        Node is null ? null : OfSwarm().IsMatch(path) ? (ManagerHeader, "1") : (NodeHeader, Node.Name);

    /// <summary>Null when a path arrives as it is sent, else why it does not.</summary>
    /// <param name="path">Below the versioned root, with its query, escaped.</param>
    internal string? Mangles(string path)
    {
        int query = path.IndexOf('?');
        string names = "/" + Uri.UnescapeDataString(query < 0 ? path : path[..query]);
        if (CutsVersions && VersionText().IsMatch(names))
            return "Portainer agents cut what looks like an API version (v1.0) out of every request, also at the beginning of a name";
        if (ThroughServer && (names.Contains("/edge/", StringComparison.Ordinal) || names.Contains("/kubernetes/helm", StringComparison.Ordinal)))
            return "Portainer takes a path with this name in it for one of its own";
        return null;
    }
}
