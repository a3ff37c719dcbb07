using System.Net;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Backup.Policies;

namespace Backup.Environments.Connections;

/// <summary>A Portainer server itself: what is asked of it before, or instead of, the engines behind it.</summary>
internal sealed class PortainerServer(HttpMessageInvoker http, string environment, PortainerConnectPolicy policy, TimeProvider time)
{
    private readonly GatewayCall _call = new(http, environment, Display(policy), time);

    internal static string Display(PortainerConnectPolicy policy) => $"Portainer {policy.Url.OriginalString.TrimEnd('/')}";

    /// <summary>Ends in a slash.</summary>
    internal static Uri Root(PortainerConnectPolicy policy) => new(policy.Url.GetLeftPart(UriPartial.Path).TrimEnd('/') + "/");

    /// <summary>Opens connections that carry the API key, and nothing else that identifies us: with a cookie or a second credential Portainer refuses.</summary>
    /// <exception cref="BackupException">The key or the certificate authority cannot be read.</exception>
    internal static HttpMessageHandler NewHandler(PortainerConnectPolicy policy)
    {
        SocketsHttpHandler wire = DockerConnection.NewHandler();
        if (policy.CaFile is { } file) wire.SslOptions = Trusting(file);
        return new KeyHandler(policy.ApiKey) { InnerHandler = wire };
    }

    /// <summary>All that the key may see, by id.</summary>
    internal async Task<IReadOnlyList<PortainerEnvironment>> EnvironmentsAsync(CancellationToken cancel)
    {
        GatewayAnswer answer = await GetAsync("api/endpoints?excludeSnapshots=true", "list the environments of Portainer", cancel).ConfigureAwait(false);
        PortainerEnvironment[] all = answer.Json(PortainerJson.Default.PortainerEnvironmentArray)
            ?? throw Refused($"what answers at {policy.Url.OriginalString} is no Portainer", "check the URL, with the path below which Portainer stands where there is one");
        return [.. all.OrderBy(e => e.Id)];
    }

    /// <summary>Null where the server is too old to tell.</summary>
    internal async Task<PortainerUser?> UserAsync(CancellationToken cancel)
    {
        GatewayAnswer answer = await _call.GetAsync(new Uri(Root(policy), "api/users/me"), "ask who we are", DockerHttp.ShortCall, cancel).ConfigureAwait(false);
        return answer.Ok ? answer.Json(PortainerJson.Default.PortainerUser) : null;
    }

    /// <summary>An engine behind it answers a ping.</summary>
    internal Task<GatewayAnswer> PingAsync(Uri engine, TimeSpan patience, CancellationToken cancel) =>
        _call.GetAsync(new Uri(engine, "_ping"), "reach the engine", patience, cancel);

    /// <summary>What its agent is part of.</summary>
    internal AgentSwarm Swarm(PortainerEnvironment of, Uri engine) =>
        new(_call, engine, $"agent of {of.Name} in {Display(policy)}", (problem, hint) => Refused(problem, hint));

    private async Task<GatewayAnswer> GetAsync(string path, string doing, CancellationToken cancel)
    {
        GatewayAnswer answer = await _call.GetAsync(new Uri(Root(policy), path), doing, DockerHttp.ShortCall, cancel).ConfigureAwait(false);
        if (answer.Ok) return answer;
        throw answer.Status switch
        {
            HttpStatusCode.Unauthorized => Refused($"{Display(policy)} does not accept the API key {policy.ApiKey.Reference}: {answer.Words()}",
                "make one in Portainer under My account, Access tokens, as an administrator"),
            HttpStatusCode.Forbidden => Refused($"{Display(policy)} does not let the user of {policy.ApiKey.Reference} {doing}: {answer.Words()}", "use the API key of an administrator"),
            HttpStatusCode.NotFound => Refused($"what answers at {policy.Url.OriginalString} is no Portainer", "check the URL, with the path below which Portainer stands where there is one"),
            _ => Refused($"{Display(policy)} cannot {doing}: {answer.Words()}", "look at Portainer's own log"),
        };
    }

    internal EnvironmentException Refused(string problem, string hint, FailureKind kind = FailureKind.Failed) =>
        new(environment, problem, hint, kind) { Unreachable = kind == FailureKind.Failed };

    /// <summary>
    /// Trusts what the file's authorities signed, and the file's certificates themselves whatever name they are for: Portainer's own self-signed
    /// one is for no name at all.
    /// </summary>
    private static SslClientAuthenticationOptions Trusting(string file)
    {
        var trusted = new X509Certificate2Collection();
        try
        {
            trusted.ImportFromPemFile(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or CryptographicException)
        {
            throw Unusable(e.Message);
        }
        if (trusted.Count == 0) throw Unusable("it holds no certificate in PEM form");
        var chain = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        chain.CustomTrustStore.AddRange(trusted);
        return new SslClientAuthenticationOptions
        {
            CertificateChainPolicy = chain,
            RemoteCertificateValidationCallback = (_, shown, _, errors) =>
                errors == SslPolicyErrors.None || shown is not null && trusted.Any(t => t.RawDataMemory.Span.SequenceEqual(shown.GetRawCertData())),
        };

        BackupException Unusable(string why) => new($"the certificate authority {file} cannot be used: {why}",
            "check the path under \"tls\" in the policy: a PEM file that this user can read", FailureKind.Usage);
    }

    private sealed class KeyHandler(Secret key) : DelegatingHandler
    {
        // A header, not a query parameter: a key may hold + and /, and a query ends in logs.
        private readonly string _key = key.Read();

        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            request.Headers.TryAddWithoutValidation("X-API-Key", _key);
            return base.SendAsync(request, cancellationToken);
        }
    }
}
