using System.Text.Json;
using Backup.Environments;

namespace Backup.Policies;

/// <summary>Connections through Portainer: an agent alone, or a server.</summary>
internal sealed class PortainerConnectReader(Func<string, string> resolve)
{
    private const int AgentPort = 9001;
    private const string ServerExample = "\"https://portainer.example.com\"";
    private const string AgentExample = "\"https://10.0.0.2:9001\"";
    private static readonly TimeSpan LongestLimit = TimeSpan.FromHours(24);

    internal ConnectPolicy? Agent(PolicyNode node)
    {
        PolicyObject section = node.Object("a portainer-agent connection", PolicyKeys.PortainerAgentConnect)!;
        Uri? url = section.Required("url", AgentExample) is { } u ? AgentUrl(u) : null;
        Secret? secret = section["secret"]?.Secret(resolve);
        Secret? key = section["key"]?.Secret(resolve);
        bool pair = section["pair"]?.YesOrNo() ?? false;
        TransferLimits limits = section["limits"] is { } l ? Limits(l) : TransferLimits.None;
        if (pair && (section["secret"] ?? section["key"]) is not null)
            section["pair"]!.Problem("\"pair\" has no meaning beside \"secret\" or \"key\"", "Remove it: an agent with a secret is nobody's, and one of Portainer's key is Portainer's.");
        return url is null ? null : new PortainerAgentConnectPolicy(url, secret, key, pair, limits);
    }

    internal ConnectPolicy? Server(PolicyNode node)
    {
        PolicyObject section = node.Object("a portainer connection", PolicyKeys.PortainerConnect)!;
        Uri? url = section.Required("url", ServerExample) is { } u ? ServerUrl(u) : null;
        Secret? key = section.Required("apiKey", "\"env:PORTAINER_API_KEY\"")?.Secret(resolve);
        string? environment = section.Required("environment", "\"prod-db\"") is { } e ? e.Element.ValueKind == JsonValueKind.Number ? Number(e) : e.Text("\"prod-db\"") : null;
        string? ca = section["tls"]?.Object("\"tls\"", PolicyKeys.PortainerTls)?["ca"]?.Text("\"/etc/backup/portainer.pem\"") is { } path ? resolve(path) : null;
        TransferLimits limits = section["limits"] is { } l ? Limits(l) : TransferLimits.None;
        if (url is { Scheme: "http" } && section["tls"] is { } useless) useless.Problem("http:// has no TLS", "Write https:// in \"url\", or remove \"tls\".");
        return url is null || key is null || environment is null ? null : new PortainerConnectPolicy(url, key, environment, ca, limits);
    }

    private static string? Number(PolicyNode node) => node.Whole(1, int.MaxValue)?.ToString(System.Globalization.CultureInfo.InvariantCulture);

    private static Uri? ServerUrl(PolicyNode node)
    {
        if (node.Text(ServerExample) is not { } text) return null;
        if (!Uri.TryCreate(text, UriKind.Absolute, out Uri? url) || url.Scheme is not ("https" or "http") || url.Host.Length == 0)
            node.Problem($"\"{text}\" is no address of a Portainer", $"Write {ServerExample}.");
        else if (url.UserInfo.Length > 0)
            node.Problem("the address holds a user or password, which Portainer's API does not take", "Use \"apiKey\".");
        else if (url.Query.Length > 0 || url.Fragment.Length > 0 || url.AbsolutePath.TrimEnd('/').EndsWith("/api", StringComparison.Ordinal))
            node.Problem($"\"{text}\" is more than the address of a Portainer", $"Write it as far as it is the same for all its pages: {ServerExample}.");
        else
            return url;
        return null;
    }

    private static Uri? AgentUrl(PolicyNode node)
    {
        if (node.Text(AgentExample) is not { } text) return null;
        if (!Uri.TryCreate(text, UriKind.Absolute, out Uri? url) || !text.Contains("://", StringComparison.Ordinal) || url.Host.Length == 0)
            node.Problem($"\"{text}\" is no address of an agent", $"Write {AgentExample}.");
        else if (url.Scheme != "https")
            node.Problem($"an agent's address begins with https://, not {url.Scheme}://", $"Write \"https://{url.Host}:{(url.Port > 0 && !url.IsDefaultPort ? url.Port : AgentPort)}\".");
        else if (url.AbsolutePath is not ("" or "/") || url.UserInfo.Length > 0 || url.Query.Length > 0)
            node.Problem($"\"{text}\" is no address of an agent", $"Write only host and port: {AgentExample}.");
        else
            // 443 is what the parser makes of no port; an agent that really listens there is told by its own words.
            return url.IsDefaultPort && !text.TrimEnd('/').EndsWith(":443", StringComparison.Ordinal) ? new UriBuilder(url) { Port = AgentPort }.Uri : url;
        return null;
    }

    private static TransferLimits Limits(PolicyNode node)
    {
        if (node.Object("\"limits\"", PolicyKeys.Limits) is not { } section) return TransferLimits.None;
        return new TransferLimits(Limit(section["upload"], "100s"), Limit(section["download"], "25m"));
    }

    private static TimeSpan? Limit(PolicyNode? node, string example)
    {
        if (node?.Text($"\"{example}\"") is not { } text) return null;
        if (Quantities.Duration(text) is { } time && time > TimeSpan.Zero && time <= LongestLimit) return time;
        node.Problem($"\"{text}\" is no time limit", $"Write for example \"{example}\": 500ms to 24h.");
        return null;
    }
}
