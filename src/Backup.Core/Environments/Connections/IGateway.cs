namespace Backup.Environments.Connections;

/// <summary>What stands between us and an engine and has to be talked to first.</summary>
internal interface IGateway
{
    /// <summary>Finds the way to the engine. Called before the first request, and again when it failed.</summary>
    /// <param name="http">Over the connection's own handler.</param>
    /// <exception cref="EnvironmentException">There is no way; problem and cure.</exception>
    Task<Route> OpenAsync(HttpMessageInvoker http, CancellationToken cancel);

    /// <summary>The nodes of the Swarm that it stands before; null = it stands before one engine.</summary>
    /// <exception cref="EnvironmentException">It does not answer, or does not say.</exception>
    Task<IReadOnlyList<ListedNode>?> NodesAsync(HttpMessageInvoker http, CancellationToken cancel);
}
