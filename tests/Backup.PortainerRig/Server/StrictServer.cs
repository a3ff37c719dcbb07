using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;
using Backup.PortainerRig.Agent;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Backup.PortainerRig.Server;

/// <summary>
/// A Portainer server as strict as the real one, over real engines and test agents. The comments name the paragraph of the project's notes on
/// Portainer that states the behaviour ("server 2.4").
/// </summary>
public sealed class StrictServer : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly X509Certificate2 _certificate = SelfSigned.Certificate(forLoopback: true);
    private readonly ECDsa _agentKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private readonly Dictionary<int, DockerGateway> _gateways = [];
    private readonly List<Upstream> _upstreams = [];
    private readonly List<AgentRequest> _requests = [];
    private int _archives;

    private StrictServer(ServerSettings settings)
    {
        Settings = settings;
        foreach (ServerEnvironment environment in settings.Environments)
        {
            var upstream = new Upstream(environment, settings, _agentKey);
            var tunnel = new EdgeTunnel(environment.CheckIn, environment.TunnelIdle);
            _upstreams.Add(upstream);
            Tunnels[environment.Id] = tunnel;
            _gateways[environment.Id] = new DockerGateway(environment, settings, Records, upstream, tunnel);
        }
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(Configure).UseKestrelHttpsConfiguration();
        _app = builder.Build();
        _app.Run(ServeAsync);
    }

    public ServerSettings Settings { get; }

    public ResourceControls Records { get; } = new();

    /// <summary>By the environment's id; of no interest for any but Edge agents.</summary>
    public Dictionary<int, EdgeTunnel> Tunnels { get; } = [];

    /// <summary>With the base path, without a slash at its end.</summary>
    public Uri Url { get; private set; } = null!;

    /// <summary>What it proves itself with, for a client that is told to trust it.</summary>
    public string CertificatePem => _certificate.ExportCertificatePem();

    /// <summary>By which agents know this server (agent 1.3).</summary>
    public string AgentKeyPem => _agentKey.ExportECPrivateKeyPem();

    /// <summary>Called before an archive is asked of an engine; the request waits for it. Null = nobody wants to know.</summary>
    public Func<Task>? ArchiveAsked { get; set; }

    /// <summary>The most archives that were on their way at a time.</summary>
    public int MostArchives { get; private set; }

    public IReadOnlyList<AgentRequest> Requests
    {
        get { lock (_requests) return [.. _requests]; }
    }

    public static async Task<StrictServer> StartAsync(ServerSettings settings)
    {
        var server = new StrictServer(settings);
        await server._app.StartAsync();
        string address = server._app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();
        server.Url = new Uri(address + settings.BasePath);
        return server;
    }

    /// <summary>Completes when the process is told to end: whoever hosts this took over the signals.</summary>
    public Task ToldToEndAsync() => _app.WaitForShutdownAsync();

    private void Configure(KestrelServerOptions kestrel)
    {
        kestrel.AddServerHeader = false;
        kestrel.Limits.MaxRequestBodySize = null;
        // No time limits of its own (server 2.1).
        kestrel.Limits.MinRequestBodyDataRate = null;
        kestrel.Limits.MinResponseDataRate = null;
        kestrel.Listen(IPAddress.Loopback, Settings.Port, listen =>
        {
            listen.Protocols = HttpProtocols.Http1;
            if (Settings.Https) listen.UseHttps(_certificate);
        });
    }

    private async Task ServeAsync(HttpContext context)
    {
        string target = context.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
        lock (_requests)
            _requests.Add(new AgentRequest(context.Request.Method, target, context.Request.Protocol,
                context.Request.Headers.ToDictionary(h => h.Key, h => h.Value.ToString(), StringComparer.OrdinalIgnoreCase)));
        if (!target.StartsWith(Settings.BasePath + "/", StringComparison.Ordinal))
        {
            await NoPageAsync(context);
            return;
        }
        try
        {
            await DispatchAsync(context, target[Settings.BasePath.Length..]);
        }
        catch (Exception e) when (context.RequestAborted.IsCancellationRequested && e is OperationCanceledException or IOException or InvalidOperationException)
        {
            // The client went away.
        }
    }

    private async Task DispatchAsync(HttpContext context, string target)
    {
        string[] parts = target.Split('?')[0].Split('/', StringSplitOptions.RemoveEmptyEntries);
        if (parts is ["api", "system", "status"] or ["api", "status"])
        {
            // The longer one is newer (server 2.1).
            if (parts.Length == 3 && System.Version.Parse(Settings.Version) < new Version(2, 17)) await NoPageAsync(context);
            else await AgentAnswers.JsonAsync(context, 200, new JsonObject { ["Version"] = Settings.Version, ["InstanceID"] = "rig" });
            return;
        }
        if (parts is not ["api", ..])
        {
            // The web pages of the user interface.
            context.Response.ContentType = "text/html";
            await context.Response.WriteAsync("<!doctype html><title>Portainer</title>");
            return;
        }
        if (await UserAsync(context) is not { } user) return;
        switch (parts)
        {
            case ["api", "users", "me"] when System.Version.Parse(Settings.Version) >= new Version(2, 20):
                await AgentAnswers.JsonAsync(context, 200, new JsonObject { ["Id"] = user.Id, ["Role"] = user.Administrator ? 1 : 2 });
                break;
            case ["api", "endpoints"]:
                await AgentAnswers.JsonAsync(context, 200, new JsonArray([.. Settings.Environments.Where(e => Sees(user, e)).Select(Json)]));
                break;
            // Captured by another handler, wherever it stands (server 2.3).
            case ["api", "endpoints", _, "docker", ..] when target.Split('?')[0].Contains("/edge/", StringComparison.Ordinal):
                await NoPageAsync(context);
                break;
            case ["api", "endpoints", var id, "docker", ..]:
                await ProxyAsync(context, user, id, target);
                break;
            default:
                await NoPageAsync(context);
                break;
        }
    }

    /// <summary>An API key, and nothing beside it; null = refused (server 2.1).</summary>
    private async Task<ServerUser?> UserAsync(HttpContext context)
    {
        IHeaderDictionary headers = context.Request.Headers;
        string? key = headers["X-API-Key"];
        if (headers.Cookie.Count > 0)
            await AgentAnswers.ErrorAsync(context, 403, "CSRF token invalid", "a client of the API has no use for cookies");
        else if (key is not null && headers.Authorization.Count > 0)
            await AgentAnswers.ErrorAsync(context, 403, "api key and auth header are not allowed at the same time", "Forbidden");
        else if (Settings.Users.FirstOrDefault(u => u.ApiKey == key) is { } user)
            return user;
        else
            await AgentAnswers.ErrorAsync(context, 401, key is null ? "A valid authorization token is missing" : "Invalid API key", "Unauthorized");
        return null;
    }

    private static bool Sees(ServerUser user, ServerEnvironment environment) => user.Administrator || user.Environments?.Contains(environment.Id) == true;

    private static JsonObject Json(ServerEnvironment e) => new()
    {
        ["Id"] = e.Id, ["Name"] = e.Name, ["Type"] = (int)e.Type, ["ContainerEngine"] = "docker", ["URL"] = e.Url.ToString(), ["Status"] = e.Down ? 2 : 1,
        ["EdgeID"] = e.EdgeId, ["EdgeCheckinInterval"] = (int)Math.Ceiling(e.CheckIn.TotalSeconds), ["Heartbeat"] = !e.Down, ["UserTrusted"] = e.Trusted,
        ["Edge"] = new JsonObject { ["AsyncMode"] = e.Async }, ["Agent"] = new JsonObject { ["Version"] = e.IsAgent ? e.AgentVersion : "" },
        ["Snapshots"] = new JsonArray(), ["TLSConfig"] = new JsonObject { ["TLS"] = false },
    };

    private async Task ProxyAsync(HttpContext context, ServerUser user, string id, string target)
    {
        if (Settings.Environments.FirstOrDefault(e => e.Id.ToString(System.Globalization.CultureInfo.InvariantCulture) == id) is not { } environment)
            await AgentAnswers.ErrorAsync(context, 404, "Unable to find an environment with the specified identifier inside the database", "object not found");
        else if (!Sees(user, environment))
            await AgentAnswers.ErrorAsync(context, 403, "Permission denied to access environment", "Access denied to resource");
        else if (environment.Type is not (EnvironmentType.Docker or EnvironmentType.Agent or EnvironmentType.EdgeAgent))
            await NoPageAsync(context);
        else if (HttpMethods.IsGet(context.Request.Method) && target.Contains("/archive?", StringComparison.Ordinal))
            await CountAsync(() => _gateways[environment.Id].ServeAsync(context, user, target[$"/api/endpoints/{id}/docker".Length..]));
        else
            await _gateways[environment.Id].ServeAsync(context, user, target[$"/api/endpoints/{id}/docker".Length..]);
    }

    private async Task CountAsync(Func<Task> serve)
    {
        lock (_requests) MostArchives = Math.Max(MostArchives, ++_archives);
        try
        {
            if (ArchiveAsked is { } asked) await asked();
            await serve();
        }
        finally
        {
            lock (_requests) _archives--;
        }
    }

    /// <summary>What is no route of the server's is said in plain text (server 2.1).</summary>
    private static async Task NoPageAsync(HttpContext context)
    {
        context.Response.StatusCode = 404;
        context.Response.ContentType = "text/plain";
        await context.Response.WriteAsync("404 page not found\n");
    }

    public async ValueTask DisposeAsync()
    {
        using var now = new CancellationTokenSource(TimeSpan.Zero);
        await _app.StopAsync(now.Token);
        await _app.DisposeAsync();
        foreach (Upstream upstream in _upstreams) upstream.Dispose();
        _certificate.Dispose();
        _agentKey.Dispose();
    }
}
