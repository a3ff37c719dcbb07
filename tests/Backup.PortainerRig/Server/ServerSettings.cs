namespace Backup.PortainerRig.Server;

/// <summary>What kind of Portainer a test wants.</summary>
public sealed record ServerSettings
{
    public const string AdministratorKey = "ptr_YWRtaW5pc3RyYXRvcitrZXkvdGhhdD1pcz0=";

    public string Version { get; init; } = "2.33.5";

    /// <summary>0 = any free one.</summary>
    public int Port { get; init; }

    /// <summary>By HTTPS with a certificate that it signed itself; else in the clear.</summary>
    public bool Https { get; init; } = true;

    /// <summary>Below this path, as behind a reverse proxy; empty, or beginning with a slash.</summary>
    public string BasePath { get; init; } = "";

    public IReadOnlyList<ServerUser> Users { get; init; } = [new(AdministratorKey, 1, Administrator: true)];

    public IReadOnlyList<ServerEnvironment> Environments { get; init; } = [];

    /// <summary>Containers with one of these labels (<c>name=value</c>) are left out of lists, also for administrators (server 2.4).</summary>
    public IReadOnlyList<string> HiddenLabels { get; init; } = [];

    /// <summary>The server's own <c>AGENT_SECRET</c>, by which it signs for every agent (agent 1.3).</summary>
    public string? AgentSecret { get; init; }

    /// <summary>Only some request headers are passed on (server 2.3).</summary>
    internal bool AllowsFewHeaders => System.Version.Parse(Version) >= new Version(2, 31);
}

/// <param name="Environments">Ids that a user who is no administrator may see.</param>
public sealed record ServerUser(string ApiKey, int Id, bool Administrator, IReadOnlyList<int>? Environments = null);

/// <summary>The types that the server numbers (server 2.2).</summary>
public enum EnvironmentType
{
    Docker = 1,
    Agent = 2,
    Azure = 3,
    EdgeAgent = 4,
    Kubernetes = 5,
    KubernetesAgent = 6,
    KubernetesEdgeAgent = 7,
}

/// <param name="Url"><c>unix:///…</c> for type 1, else the address of a test agent; of an Edge agent, the inner end of its tunnel.</param>
public sealed record ServerEnvironment(int Id, string Name, EnvironmentType Type, Uri Url)
{
    public bool Down { get; init; }
    public string? AgentVersion { get; init; } = "2.23.0";
    public bool Async { get; init; }
    public bool Trusted { get; init; } = true;
    public string EdgeId { get; init; } = "edge-id";

    /// <summary>How often an Edge agent asks whether a tunnel is wanted.</summary>
    public TimeSpan CheckIn { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>An idle tunnel is closed after this (server 2.5).</summary>
    public TimeSpan TunnelIdle { get; init; } = TimeSpan.FromSeconds(270);

    /// <summary>Full or short id of the container that Portainer itself runs in, where it runs on this engine.</summary>
    public string? PortainerContainer { get; init; }

    internal bool IsAgent => Type is EnvironmentType.Agent or EnvironmentType.EdgeAgent;
}
