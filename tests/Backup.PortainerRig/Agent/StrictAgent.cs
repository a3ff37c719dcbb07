using System.Text.Json.Nodes;
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

namespace Backup.PortainerRig.Agent;

/// <summary>
/// A Portainer agent as strict as the real one, over a real engine: what the real one refuses, cuts, masks, mangles and holds back, so does this.
/// The comments name the paragraph of the project's notes on Portainer that states the behaviour ("agent 1.3").
/// </summary>
public sealed class StrictAgent : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly Signatures _signatures;
    private readonly EngineRelay _relay;
    private readonly VolumeBrowser _browser;
    private readonly ClusterDispatch? _cluster;
    private readonly List<AgentRequest> _requests = [];

    private StrictAgent(AgentSettings settings)
    {
        Settings = settings;
        _signatures = new Signatures(settings.Secret);
        _relay = new EngineRelay(settings.EngineSocket, Faults);
        _browser = new VolumeBrowser(settings.VolumesRoot);
        _cluster = settings.Cluster is { } cluster ? new ClusterDispatch(cluster, settings, ServeLocallyAsync) : null;
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(Configure).UseKestrelHttpsConfiguration();
        _app = builder.Build();
        _app.Run(ServeAsync);
    }

    public AgentSettings Settings { get; }

    public AgentFaults Faults { get; } = new();

    /// <summary>Such as <c>https://127.0.0.1:9001</c>.</summary>
    public Uri Url { get; private set; } = null!;

    /// <summary>Every request so far.</summary>
    public IReadOnlyList<AgentRequest> Requests
    {
        get { lock (_requests) return [.. _requests]; }
    }

    /// <summary>A key owns the agent.</summary>
    public bool Paired => _signatures.Paired;

    /// <summary>Forgets who owns it, as a restart of its container does.</summary>
    public void Restart() => _signatures.Restart();

    public static async Task<StrictAgent> StartAsync(AgentSettings settings)
    {
        var agent = new StrictAgent(settings);
        await agent._app.StartAsync();
        string address = agent._app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();
        agent.Url = new Uri(address);
        settings.Cluster?.Join(agent);
        return agent;
    }

    /// <summary>Completes when the process is told to end: whoever hosts this took over the signals.</summary>
    public Task ToldToEndAsync() => _app.WaitForShutdownAsync();

    private void Configure(KestrelServerOptions kestrel)
    {
        kestrel.AddServerHeader = false;
        kestrel.Limits.MaxRequestBodySize = null;
        kestrel.Limits.MinRequestBodyDataRate = null;
        kestrel.Limits.MinResponseDataRate = null;
        // No idle timeout of its own: a resting connection is closed after the time for reading (agent 1.1).
        kestrel.Limits.KeepAliveTimeout = Settings.UploadLimit;
        kestrel.Listen(Settings.Address, Settings.Port, listen =>
        {
            listen.Protocols = Settings.Edge ? HttpProtocols.Http1 : HttpProtocols.Http1AndHttp2;
            if (!Settings.Edge) listen.UseHttps(SelfSigned.Certificate());
        });
    }

    private async Task ServeAsync(HttpContext context)
    {
        lock (_requests)
            _requests.Add(new AgentRequest(context.Request.Method, context.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget, context.Request.Protocol,
                context.Request.Headers.ToDictionary(h => h.Key, h => h.Value.ToString(), StringComparer.OrdinalIgnoreCase)));
        if (Faults.LosesTarget) context.Request.Headers.Remove(ClusterDispatch.TargetHeader);
        // From the end of the request's head to the last byte of the answer; then the connection is torn, not ended (0.3, agent 1.2).
        using var limit = new Timer(_ =>
        {
            Faults.DownloadLimitReached();
            context.Abort();
        }, null, Settings.DownloadLimit, Timeout.InfiniteTimeSpan);
        try
        {
            await DispatchAsync(context, RequestPath.Of(context));
        }
        catch (Exception e) when (context.RequestAborted.IsCancellationRequested && e is OperationCanceledException or IOException or InvalidOperationException)
        {
            // The client went away, or the limit cut it off.
        }
    }

    /// <summary>In this order, after the version's removal (agent 1.5).</summary>
    private async Task DispatchAsync(HttpContext context, RequestPath path)
    {
        if (path.Under("/key"))
        {
            await AgentAnswers.ErrorAsync(context, 503, "Edge key management is disabled on non Edge agent", "Edge key management is disabled");
            return;
        }
        // On every answer, also on 403 and to the ping (agent 1.4).
        context.Response.Headers["Portainer-Agent"] = Settings.Version;
        context.Response.Headers["Portainer-Agent-API-Version"] = "2";
        // Since 2.1 (agent 1.4).
        if (System.Version.Parse(Settings.Version) >= new Version(2, 1)) context.Response.Headers["Portainer-Agent-Platform"] = "1";
        if (path.Under("/ping"))
        {
            context.Response.StatusCode = 204;
            return;
        }
        if (_signatures.Refuse(context.Request.Headers[Signatures.PublicKeyHeader], context.Request.Headers[Signatures.SignatureHeader]) is { } refused)
        {
            await AgentAnswers.ErrorAsync(context, 403, refused.Message, refused.Details);
            return;
        }
        if (path.Under("/v1") || path.Under("/v2")) await DispatchAgentAsync(context, path with { Path = path.Path[3..] }, path.Under("/v1"));
        else if (path.Under("/agents") || path.Under("/browse")) await DispatchAgentAsync(context, path, old: false);
        else if (path.Under("/host") || path.Under("/websocket") || path.Under("/kubernetes")) await NotHereAsync(context, path);
        else if (_cluster is not null) await _cluster.DispatchAsync(context, path);
        else await ServeLocallyAsync(context, path);
    }

    /// <summary>By this agent's own engine.</summary>
    private Task ServeLocallyAsync(HttpContext context, RequestPath path) =>
        Faults.EngineRefusesLists && ClusterDispatch.IsJoined(context.Request.Method, path.Path)
            ? AgentAnswers.JsonAsync(context, 500, new JsonObject { ["message"] = "planted: the engine does not list" })
            : Settings.Cluster is not null && path.Path == "/nodes"
                ? AgentAnswers.JsonAsync(context, 200, Settings.Cluster.NodesJson())
                : _relay.RelayAsync(context, path, Settings.UploadLimit);

    /// <summary>The agent's own API (agent 1.7).</summary>
    private Task DispatchAgentAsync(HttpContext context, RequestPath path, bool old)
    {
        string[] parts = path.Path.Split('/', StringSplitOptions.RemoveEmptyEntries);
        return parts switch
        {
            ["agents"] when Settings.Cluster is { } cluster => AgentAnswers.JsonAsync(context, 200, cluster.AgentsJson()),
            ["agents"] => AgentAnswers.ErrorAsync(context, 503,
                "Agent management is not available when running the agent on a standalone engine", "Agent management is disabled"),
            ["browse", ..] when _cluster?.Elsewhere(context) is { } there => _cluster.ForwardAsync(context, path, there),
            ["browse", "ls" or "get"] when !old => _browser.BrowseAsync(context, null, parts[1]),
            ["browse", var volume, "ls" or "get"] when old => _browser.BrowseAsync(context, volume, parts[2]),
            _ => NotHereAsync(context, path),
        };
    }

    /// <summary>What a real agent has and this one has not: a test that comes here asks for something that nothing was proved about.</summary>
    private static Task NotHereAsync(HttpContext context, RequestPath path) =>
        AgentAnswers.ErrorAsync(context, 501, "Not in this rig", path.Path);

    public async ValueTask DisposeAsync()
    {
        // Not waiting for whoever still streams.
        using var now = new CancellationTokenSource(TimeSpan.Zero);
        await _app.StopAsync(now.Token);
        await _app.DisposeAsync();
        _relay.Dispose();
        _cluster?.Dispose();
    }
}
