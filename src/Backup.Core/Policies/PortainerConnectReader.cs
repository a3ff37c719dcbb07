using Backup.Environments;

namespace Backup.Policies;

/// <summary>Connections through a Portainer agent.</summary>
internal sealed class PortainerConnectReader(Func<string, string> resolve)
{
    private const int AgentPort = 9001;
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
