using System.Globalization;
using Backup.Policies;

namespace Backup.Environments.Connections;

/// <summary>One Docker environment of a Portainer server.</summary>
/// <param name="Name">As Portainer has it; not empty.</param>
/// <param name="Id">Its number there.</param>
/// <param name="Unusable">Why it cannot be backed up; null = it can.</param>
public sealed record ListedEnvironment(string Name, string Id, string? Unusable);

/// <summary>What there is behind a Portainer server.</summary>
public static class PortainerListing
{
    /// <summary>The Docker environments that the API key may see, by number; those without Docker are left out.</summary>
    /// <param name="environment">The policy's name for it, for messages.</param>
    /// <exception cref="BackupException">The server does not answer, or the key cannot be read.</exception>
    public static async Task<IReadOnlyList<ListedEnvironment>> ReadAsync(string environment, PortainerConnectPolicy policy, RunContext context, CancellationToken cancel)
    {
        using var http = new HttpMessageInvoker(PortainerServer.NewHandler(policy));
        var server = new PortainerServer(http, environment, policy, context.Time);
        return [.. from e in await server.EnvironmentsAsync(cancel).ConfigureAwait(false)
                   where e.IsDocker
                   let id = e.Id.ToString(CultureInfo.InvariantCulture)
                   select new ListedEnvironment(string.IsNullOrWhiteSpace(e.Name) ? id : e.Name, id, e.Unusable)];
    }
}
