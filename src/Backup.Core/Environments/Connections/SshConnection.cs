namespace Backup.Environments.Connections;

/// <summary>
/// An engine on a host that is reached by ssh, as the docker client does it: the host's own ssh with its configuration, keys and known hosts, never
/// with a question. Each connection is an ssh process of its own.
/// </summary>
public static class SshConnection
{
    /// <summary>Longer than ssh's own patience (<see cref="SshDialer.ConnectSeconds"/>), so that it is ssh that says what is wrong.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(40);

    /// <param name="url"><c>ssh://[user@]host[:port][/path/of/the/socket]</c>; what is left out is ssh's own choice, and the docker client's there.</param>
    /// <param name="program">The ssh client, by name or path.</param>
    public static DockerConnection Create(Uri url, string program = "ssh")
    {
        var dialer = new SshDialer(url, program);
        System.Net.Http.SocketsHttpHandler handler = DockerConnection.NewHandler();
        handler.ConnectTimeout = Patience;
        handler.ConnectCallback = async (_, cancel) => await dialer.ConnectAsync(cancel).ConfigureAwait(false);
        return new DockerConnection(handler, new Uri("http://docker/"), url.OriginalString);
    }
}
