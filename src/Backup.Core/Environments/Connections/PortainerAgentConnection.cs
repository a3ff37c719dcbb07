using System.Net;
using Backup.Policies;

namespace Backup.Environments.Connections;

/// <summary>An engine behind a Portainer agent, reached without Portainer.</summary>
public static class PortainerAgentConnection
{
    /// <summary>Agents before 2.11 close a resting connection after 5 s.</summary>
    private static readonly TimeSpan IdleTimeout = TimeSpan.FromSeconds(4);

    /// <param name="stateDirectory">Where our own key is kept, where one is needed.</param>
    public static DockerConnection Create(string environment, PortainerAgentConnectPolicy policy, string stateDirectory, RunContext context)
    {
        SocketsHttpHandler wire = DockerConnection.NewHandler();
        wire.PooledConnectionIdleTimeout = IdleTimeout;
        // Each start of an agent makes a new self-signed certificate without a name: there is nothing that could be checked.
        wire.SslOptions.RemoteCertificateValidationCallback = (_, _, _, _) => true;
        var identity = new Lazy<AgentIdentity>(() => AgentIdentity.Of(policy, stateDirectory, context));
        var address = new Uri($"https://{policy.Url.Host}:{policy.Url.Port}/");
        string display = $"Portainer agent {address.Authority}";
        return new DockerConnection(new SigningHandler(identity) { InnerHandler = wire }, address, display)
        {
            Gateway = new AgentGateway(environment, policy, identity, address, display, context.Time),
        };
    }

    /// <summary>Signs everything but the ping: whatever else an unowned agent gets first decides to whom it belongs.</summary>
    private sealed class SigningHandler(Lazy<AgentIdentity> identity) : DelegatingHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            if (request.RequestUri!.AbsolutePath != AgentGateway.PingPath)
            {
                request.Headers.TryAddWithoutValidation("X-PortainerAgent-PublicKey", identity.Value.PublicKey);
                request.Headers.TryAddWithoutValidation("X-PortainerAgent-Signature", identity.Value.Signature);
            }
            return base.SendAsync(request, cancellationToken);
        }
    }

    /// <summary>Sees what answers, refuses to pair by accident, and learns the agent's limits.</summary>
    private sealed class AgentGateway(
        string environment, PortainerAgentConnectPolicy policy, Lazy<AgentIdentity> identity, Uri address, string display, TimeProvider time) : IGateway
    {
        internal const string PingPath = "/ping";

        public async Task<Route> OpenAsync(HttpMessageInvoker http, CancellationToken cancel)
        {
            var call = new GatewayCall(http, environment, display, time);
            string version = await GreetAsync(call, cancel).ConfigureAwait(false);
            SwarmNode? node = await Swarm(call).FindAsync(policy.Node, cancel).ConfigureAwait(false);
            return new Route(address)
            {
                Through = $"through Portainer agent {version}{(node is null ? "" : " in a Swarm")}, whose certificate is self-signed as every agent's and was not checked",
                Limits = policy.Limits.Or(TransferLimits.OfAgent(version)),
                ThroughPortainer = true,
                CutsVersions = true,
                Node = node,
            };
        }

        public async Task<IReadOnlyList<ListedNode>?> NodesAsync(HttpMessageInvoker http, CancellationToken cancel)
        {
            var call = new GatewayCall(http, environment, display, time);
            await GreetAsync(call, cancel).ConfigureAwait(false);
            return await Swarm(call).ListAsync(cancel).ConfigureAwait(false);
        }

        private AgentSwarm Swarm(GatewayCall call) => new(call, address, display, Refused);

        /// <summary>Its version, once it is seen to be an agent, and ours to use.</summary>
        private async Task<string> GreetAsync(GatewayCall call, CancellationToken cancel)
        {
            GatewayAnswer ping = await call.GetAsync(new Uri(address, PingPath), "see what answers", DockerHttp.ShortCall, cancel).ConfigureAwait(false);
            if (ping.Header("Portainer-Agent") is not { } version || ping.Status != HttpStatusCode.NoContent)
                throw Refused($"what answers at {address.Authority} is no Portainer agent", "check host and port; an agent listens on 9001 unless AGENT_PORT says otherwise");
            if (ping.Header("Portainer-Agent-Platform") is { } platform && platform != "1")
                throw Refused($"the {display} does not stand before a Docker engine", "only Docker environments have volumes to back up");
            if (policy is { Secret: null, Key: null, Pair: false })
                throw Refused($"the {display} was not asked anything yet: without a secret it belongs for good to the first key that reaches it, and would then refuse Portainer",
                    "set AGENT_SECRET for the agent and \"secret\": \"env:AGENT_SECRET\" here; or give Portainer's own key, \"key\": \"file:portainer.key\"; or connect by \"type\": \"portainer\"; "
                    + "only if no Portainer uses this agent: \"pair\": true");

            // A secret or key that cannot be read is told as such, before anything is sent with it.
            _ = identity.Value;
            GatewayAnswer signed = await call.GetAsync(new Uri(address, "/_ping"), "reach the engine", DockerHttp.ShortCall, cancel).ConfigureAwait(false);
            if (signed.Status == HttpStatusCode.Forbidden) throw NotOurs(signed.Words());
            return version;
        }

        private EnvironmentException NotOurs(string words) => policy switch
        {
            { Secret: { } secret } => Refused($"the {display} does not accept {secret.Reference}: {words}", "it must be the AGENT_SECRET that the agent's container was started with"),
            { Key: { } key } => Refused($"the {display} does not belong to {key.Reference}: {words}",
                "take portainer.key from the Portainer that uses the agent; if the agent has an AGENT_SECRET, give it as \"secret\""),
            _ => Refused($"the {display} belongs to another key, probably Portainer's, or has a secret: {words}",
                "give its AGENT_SECRET as \"secret\", or Portainer's key as \"key\": \"file:portainer.key\", or connect by \"type\": \"portainer\"; an agent that nothing else uses forgets its owner when its container is restarted"),
        };

        private EnvironmentException Refused(string problem, string hint) => new(environment, problem, hint) { Unreachable = true };
    }
}
