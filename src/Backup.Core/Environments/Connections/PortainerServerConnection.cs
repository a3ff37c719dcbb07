using System.Globalization;
using System.Net;
using Backup.Policies;

namespace Backup.Environments.Connections;

/// <summary>An engine behind a Portainer server: on a socket or port of the server's, behind an agent, or at the end of an Edge agent's tunnel.</summary>
public static class PortainerServerConnection
{
    /// <exception cref="BackupException">The API key or the certificate authority cannot be read.</exception>
    public static DockerConnection Create(string environment, PortainerConnectPolicy policy, RunContext context) =>
        new(PortainerServer.NewHandler(policy), PortainerServer.Root(policy), PortainerServer.Display(policy))
        {
            Gateway = new ServerGateway(environment, policy, context.Time),
        };

    /// <summary>Finds the environment and what stands before its engine, and opens the tunnel where there is one.</summary>
    private sealed class ServerGateway(string environment, PortainerConnectPolicy policy, TimeProvider time) : IGateway
    {
        /// <summary>Tunnels close after 4.5 minutes without a new request, whatever streams through them.</summary>
        private static readonly TimeSpan KeepAlive = TimeSpan.FromSeconds(60);

        /// <summary>Added to the two check-ins that the server waits for an Edge agent.</summary>
        private static readonly TimeSpan Margin = TimeSpan.FromSeconds(30);

        private const int TunnelTries = 2;

        public async Task<Route> OpenAsync(HttpMessageInvoker http, CancellationToken cancel)
        {
            var server = new PortainerServer(http, environment, policy, time);
            PortainerEnvironment found = await FindAsync(server, cancel).ConfigureAwait(false);
            Uri engine = Engine(found);
            GatewayAnswer ping = await PingAsync(server, found, engine, cancel).ConfigureAwait(false);
            bool agent = found.Type != PortainerEnvironment.Engine;
            SwarmNode? node = agent ? await server.Swarm(found, engine).FindAsync(policy.Node, cancel).ConfigureAwait(false) : null;
            PortainerUser? user = await server.UserAsync(cancel).ConfigureAwait(false);
            string? version = ping.Header("Portainer-Agent") ?? found.Agent?.Version;
            return new Route(engine)
            {
                Through = "through Portainer" + found.Type switch
                {
                    PortainerEnvironment.OnAgent => $" and its agent {version}",
                    PortainerEnvironment.OnEdgeAgent => $" and the tunnel of its Edge agent {version}",
                    _ => "",
                } + (node is null ? "" : " in a Swarm, where nobody can see whether Portainer hides containers") + (policy.Url.Scheme == "http" ? ", to which the API key travels unencrypted" : ""),
                Limits = policy.Limits.Or(agent ? TransferLimits.OfAgent(version) : TransferLimits.None),
                Remarks = user is null or { IsAdministrator: true } ? []
                    : [new Remark($"the API key {policy.ApiKey.Reference} is not an administrator's: volumes and containers that its user may not see are left out without a word from Portainer",
                        "Use the API key of an administrator.")],
                ThroughPortainer = true,
                ThroughServer = true,
                PortainerUser = user?.Id,
                CutsVersions = agent,
                Node = node,
                KeepAlive = found.Type == PortainerEnvironment.OnEdgeAgent ? KeepAlive : null,
            };
        }

        public async Task<IReadOnlyList<ListedNode>?> NodesAsync(HttpMessageInvoker http, CancellationToken cancel)
        {
            var server = new PortainerServer(http, environment, policy, time);
            PortainerEnvironment found = await FindAsync(server, cancel).ConfigureAwait(false);
            if (found.Type == PortainerEnvironment.Engine) return null;
            await PingAsync(server, found, Engine(found), cancel).ConfigureAwait(false);
            return await server.Swarm(found, Engine(found)).ListAsync(cancel).ConfigureAwait(false);
        }

        private async Task<PortainerEnvironment> FindAsync(PortainerServer server, CancellationToken cancel)
        {
            PortainerEnvironment found = Choose(await server.EnvironmentsAsync(cancel).ConfigureAwait(false), server);
            return found.Unusable is { } reason
                ? throw server.Refused($"{found.Name} in {PortainerServer.Display(policy)} {reason}", "leave it out of the policy, or reach its engine another way")
                : found;
        }

        private Uri Engine(PortainerEnvironment found) =>
            new(PortainerServer.Root(policy), string.Create(CultureInfo.InvariantCulture, $"api/endpoints/{found.Id}/docker/"));

        /// <summary>By name; by name in another case when only one has it; by number.</summary>
        private PortainerEnvironment Choose(IReadOnlyList<PortainerEnvironment> all, PortainerServer server)
        {
            string wanted = policy.Environment;
            if (wanted == PortainerConnectPolicy.AllEnvironments)
                throw server.Refused($"the environments of {PortainerServer.Display(policy)} could not be listed a moment ago", "it answers again: run the command once more");
            if (all.FirstOrDefault(e => e.Name == wanted) is { } exact) return exact;
            PortainerEnvironment[] similar = [.. all.Where(e => string.Equals(e.Name, wanted, StringComparison.OrdinalIgnoreCase))];
            if (similar.Length == 1) return similar[0];
            if (int.TryParse(wanted, NumberStyles.None, CultureInfo.InvariantCulture, out int id) && all.FirstOrDefault(e => e.Id == id) is { } numbered) return numbered;
            throw server.Refused($"{PortainerServer.Display(policy)} has no environment \"{wanted}\" that the API key may see",
                all.Count == 0 ? "it shows none to this key: use the API key of an administrator" : Nearest.Hint(wanted, all.Select(e => e.Name ?? "")), FailureKind.NotFound);
        }

        private async Task<GatewayAnswer> PingAsync(PortainerServer server, PortainerEnvironment found, Uri engine, CancellationToken cancel)
        {
            bool edge = found.Type == PortainerEnvironment.OnEdgeAgent;
            TimeSpan patience = edge ? 2 * TimeSpan.FromSeconds(found.EdgeCheckinInterval ?? 5) + Margin : DockerHttp.ShortCall;
            for (int attempt = 1; ; attempt++)
            {
                GatewayAnswer answer = await server.PingAsync(engine, patience, cancel).ConfigureAwait(false);
                if (answer.Ok) return answer;
                if (edge && attempt < TunnelTries && answer.Status == HttpStatusCode.InternalServerError) continue;
                if (answer.Status == HttpStatusCode.Forbidden)
                    throw server.Refused($"{PortainerServer.Display(policy)} does not let the user of {policy.ApiKey.Reference} use {found.Name}: {answer.Words()}", "use the API key of an administrator");
                string down = edge ? found.Heartbeat == false ? "; its agent has not been heard of lately" : "" : found.Status == 2 ? "; Portainer holds it to be down" : "";
                throw server.Refused($"{PortainerServer.Display(policy)} cannot reach {found.Name}{down}: {answer.Words()}", edge
                    ? "see whether the Edge agent runs, and whether it reaches the server's tunnel port (8000)"
                    : "see whether the engine, or the agent before it, runs and can be reached from Portainer's host");
            }
        }
    }
}
