using System.Net;
using Backup.Policies;

namespace Backup.Environments.Connections;

/// <summary>How one engine is reached: a handler that opens connections, and the address that requests are made relative to.</summary>
/// <param name="Handler">Owned by whoever is given the connection, and so is <see cref="Blocking"/>.</param>
/// <param name="BaseAddress">Ends in a slash; may hold a path, where the engine's API lies below one.</param>
/// <param name="Display">For messages, such as <c>unix:///var/run/docker.sock</c>.</param>
public sealed record DockerConnection(HttpMessageHandler Handler, Uri BaseAddress, string Display)
{
    /// <summary>Null = the engine itself answers at the base address.</summary>
    internal IGateway? Gateway { get; init; }

    /// <summary>The engine is on this host.</summary>
    public bool Local { get; init; }

    /// <summary>
    /// For requests that are sent and read by blocking calls, each on a connection of its own: where the engine is on this host they spare much of
    /// the processor. Null where they would gain nothing.
    /// </summary>
    public HttpMessageHandler? Blocking { get; init; }

    /// <summary>Chooses the connection kind by the URL's scheme. Reads certificates, opens nothing.</summary>
    /// <exception cref="BackupException">The scheme is not known, or a certificate or key cannot be read.</exception>
    public static DockerConnection For(DockerConnectPolicy policy) => policy.Url.Scheme switch
    {
        "unix" => UnixSocketConnection.Create(policy.Url),
        "ssh" => SshConnection.Create(policy.Url),
        "tcp" or "http" or "https" => TcpConnection.Create(policy.Url, policy.Tls),
        string scheme => throw new BackupException(
            $"cannot connect to {policy.Url.OriginalString}: the scheme '{scheme}' is not known",
            "use unix:///path/of/the/socket, tcp://host:port or ssh://user@host", FailureKind.Usage),
    };

    /// <summary>What all kinds share: nothing of the machine's proxy settings, nothing decompressed on the way, no cookies, no redirects.</summary>
    internal static SocketsHttpHandler NewHandler() => new()
    {
        UseProxy = false,
        UseCookies = false,
        AllowAutoRedirect = false,
        AutomaticDecompression = DecompressionMethods.None,
        ConnectTimeout = TimeSpan.FromSeconds(15),
        PooledConnectionIdleTimeout = TimeSpan.FromSeconds(30),
        // A read that is given up is cut at once: the engine holds the container's lock for as long as it sends.
        MaxResponseDrainSize = 0,
        PlaintextStreamFilter = (context, _) => ValueTask.FromResult<Stream>(new ReadAheadStream(context.PlaintextStream)),
    };
}
