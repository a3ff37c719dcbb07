namespace Backup.Policies;

/// <summary>How an environment is reached: a text or an object with a type.</summary>
internal sealed class ConnectReader(Func<string, string> resolve)
{
    private const string Example = "\"unix:///var/run/docker.sock\", \"tcp://10.0.0.3:2376\" or \"ssh://root@10.0.0.3\"";

    private readonly PortainerConnectReader _portainer = new(resolve);

    internal ConnectPolicy? Read(PolicyNode node)
    {
        if (node.IsText) return Url(node) is { } direct ? new DockerConnectPolicy(direct, null) : null;
        string? type = node.IsObject && node.Element.TryGetProperty("type", out var t) && t.ValueKind == System.Text.Json.JsonValueKind.String ? t.GetString() : null;
        switch (type)
        {
            case null or "docker": return Docker(node);
            case "portainer-agent": return _portainer.Agent(node);
            case "portainer": return _portainer.Server(node);
            default:
                // The keys of another type cannot be judged by those of this one.
                node.Problem($"there is no connection type \"{type}\"", Nearest.Hint(type, ["docker", "portainer-agent", "portainer"]));
                return null;
        }
    }

    private DockerConnectPolicy? Docker(PolicyNode node)
    {
        if (node.Object("\"connect\"", PolicyKeys.DockerConnect) is not { } section) return null;
        _ = section.Required("type", "\"docker\"")?.Text("\"docker\"");
        PolicyNode? urlNode = section.Required("url", "\"tcp://10.0.0.3:2376\"");
        Uri? url = urlNode is null ? null : Url(urlNode);
        TlsPolicy? tls = section["tls"] is { } t ? Tls(t) : null;
        if (url is { Scheme: "unix" or "ssh" } && section["tls"] is { } useless)
            useless.Problem(url.Scheme == "unix" ? "a unix socket has no TLS" : "ssh encrypts by itself", "Remove \"tls\", or use a tcp:// url.");
        return url is null ? null : new DockerConnectPolicy(url, tls);
    }

    private TlsPolicy? Tls(PolicyNode node)
    {
        if (node.Object("\"tls\"", PolicyKeys.Tls) is not { } section) return null;
        string? File(string key) => section[key]?.Text($"\"/etc/backup/{key}.pem\"") is { } path ? resolve(path) : null;
        string? ca = File("ca"), cert = File("cert");
        Secret? key = section["key"]?.Secret(resolve);
        if (section["cert"] is null != section["key"] is null)
            node.Problem(section["key"] is null ? "\"cert\" without \"key\"" : "\"key\" without \"cert\"",
                "A client certificate needs both: \"cert\": \"client.pem\", \"key\": \"file:client-key.pem\".");
        return new TlsPolicy(ca, cert, key);
    }

    private static Uri? Url(PolicyNode node)
    {
        if (node.Text(Example) is not { } text) return null;
        if (!Uri.TryCreate(text, UriKind.Absolute, out Uri? url) || !text.Contains("://", StringComparison.Ordinal))
        {
            node.Problem($"\"{text}\" is no address of an engine", $"Write {Example}.");
            return null;
        }
        switch (url.Scheme)
        {
            case "unix" when url.Host.Length == 0 && url.AbsolutePath.Length > 1: return url;
            case "unix": node.Problem($"\"{text}\" names no socket by its absolute path", "Three slashes: \"unix:///var/run/docker.sock\"."); return null;
            case "tcp" when url.UserInfo.Length > 0: node.Problem("the address holds a user or password, which an engine does not take", "Use \"tls\" with a client certificate."); return null;
            case "tcp" when url.Host.Length > 0 && url.AbsolutePath is "" or "/": return url.Port > 0 ? url : new UriBuilder(url) { Port = 2375 }.Uri;
            case "tcp": node.Problem($"\"{text}\" is no address of an engine", "Write only host and port: \"tcp://10.0.0.3:2376\"."); return null;
            case "ssh" when url.UserInfo.Contains(':'): node.Problem("the address holds a password, which ssh does not take", "Give ssh a key without a passphrase: \"ssh://root@10.0.0.3\"."); return null;
            case "ssh" when url.Host.Length > 0 && url.Query.Length == 0 && url.Fragment.Length == 0 && !url.UserInfo.StartsWith('-'): return url;
            case "ssh": node.Problem($"\"{text}\" is no address of a host", "Write \"ssh://user@host\", \"ssh://user@host:port\" or \"ssh://user@host/path/of/docker.sock\"."); return null;
            case "http" or "https": node.Problem($"an engine's address begins with unix://, tcp:// or ssh://, not {url.Scheme}://", $"Write \"tcp://{url.Authority}\", with \"tls\" beside it for https."); return null;
            default: node.Problem($"\"{url.Scheme}://\" is no way to reach an engine", $"Write {Example}."); return null;
        }
    }
}
