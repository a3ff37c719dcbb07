namespace Backup.Environments.Connections;

/// <summary>What there is behind an agent.</summary>
public static class SwarmListing
{
    /// <summary>The nodes of the Swarm behind a connection, by name; null = one engine is. Uses the connection up.</summary>
    /// <exception cref="EnvironmentException">It does not answer, or does not say.</exception>
    public static async Task<IReadOnlyList<ListedNode>?> ReadAsync(DockerConnection connection, CancellationToken cancel)
    {
        using var http = new HttpMessageInvoker(connection.Handler);
        return connection.Gateway is { } gateway ? await gateway.NodesAsync(http, cancel).ConfigureAwait(false) : null;
    }
}
