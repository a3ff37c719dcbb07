using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Backup.PortainerRig.Agent;

/// <summary>Where an agent of a Swarm takes a request to: its own engine, a manager's agent, that of the node it names, or all of them (agent 1.6).</summary>
/// <param name="locally">By the agent's own engine.</param>
internal sealed class ClusterDispatch(AgentCluster cluster, AgentSettings own, Func<HttpContext, RequestPath, Task> locally) : IDisposable
{
    internal const string TargetHeader = "X-PortainerAgent-Target";
    private const string ManagerHeader = "X-PortainerAgent-ManagerOperation";

    private static readonly TimeSpan PingTime = TimeSpan.FromSeconds(3), ListTime = TimeSpan.FromSeconds(120);

    // Their certificates are nobody's (agent 1.6).
    private readonly HttpMessageInvoker _http = new(new SocketsHttpHandler
    {
        UseProxy = false, UseCookies = false, AllowAutoRedirect = false, AutomaticDecompression = DecompressionMethods.None, PooledConnectionIdleTimeout = TimeSpan.FromSeconds(2),
        SslOptions = { RemoteCertificateValidationCallback = (_, _, _, _) => true },
    });

    /// <summary>Exactly these; their parts are asked of every node.</summary>
    internal static bool IsJoined(string method, string path) =>
        path is "/containers/json" or "/images/json" || path is "/volumes" or "/networks" && HttpMethods.IsGet(method);

    internal Task DispatchAsync(HttpContext context, RequestPath path)
    {
        string target = context.Request.Headers[TargetHeader].ToString();
        // Looked at before anything else.
        if (context.Request.Headers[ManagerHeader].ToString().Length > 0) return ToManagerAsync(context, path);
        if (IsJoined(context.Request.Method, path.Path)) return target == own.NodeName ? locally(context, path) : JoinAsync(context, path);
        // Whatever node is named; with them what an engine says of itself.
        if (new[] { "/services", "/tasks", "/secrets", "/configs", "/swarm", "/info", "/nodes" }.Any(path.Under)) return ToManagerAsync(context, path);
        if (target.Length == 0 || target == own.NodeName) return locally(context, path);
        return Elsewhere(context) is { } there
            ? ForwardAsync(context, path, there)
            : AgentAnswers.ErrorAsync(context, 500, "The agent was unable to contact any other agent", "Unable to find the targeted agent");
    }

    /// <summary>The other agent that the request names.</summary>
    internal StrictAgent? Elsewhere(HttpContext context) =>
        context.Request.Headers[TargetHeader].ToString() is { Length: > 0 } target && target != own.NodeName ? cluster.Agents.FirstOrDefault(a => a.Settings.NodeName == target) : null;

    private Task ToManagerAsync(HttpContext context, RequestPath path)
    {
        if (own.Manager) return locally(context, path);
        return cluster.Agents.FirstOrDefault(a => a.Settings.Manager) is { } manager
            ? ForwardAsync(context, path, manager)
            : AgentAnswers.ErrorAsync(context, 500, "The agent was unable to contact any other agent located on a manager node", "Unable to find an agent on any manager node");
    }

    // ---- lists

    /// <summary>Status 200, with what those gave that answered: nobody is told of the others.</summary>
    private async Task JoinAsync(HttpContext context, RequestPath path)
    {
        JsonArray[] parts = await Task.WhenAll(cluster.Agents.Select(a => PartAsync(context, path, a)));
        var all = new JsonArray([.. parts.SelectMany(p => p).Select(i => i?.DeepClone())]);
        // Without the engine's warnings.
        await AgentAnswers.JsonAsync(context, 200, path.Path == "/volumes" ? new JsonObject { ["Volumes"] = all } : all);
    }

    /// <summary>Each object marked by the node; nothing where the agent or its engine does not give the list.</summary>
    private async Task<JsonArray> PartAsync(HttpContext context, RequestPath path, StrictAgent of)
    {
        string node = of.Settings.NodeName;
        try
        {
            StrictAgent asked = cluster.WhereToAsk(of);
            using var ping = new HttpRequestMessage(HttpMethod.Get, new Uri(asked.Url, "/ping"));
            if (await TextAsync(ping, PingTime, context.RequestAborted) is not (HttpStatusCode.NoContent, _)) return [];
            using var request = new HttpRequestMessage(new HttpMethod(context.Request.Method), new Uri(asked.Url, path.Target));
            CopyHead(context, request, node);
            (_, string text) = await TextAsync(request, ListTime, context.RequestAborted);
            JsonNode answer = JsonNode.Parse(text)!;
            if (answer is JsonObject whole) answer = whole.ContainsKey("message") ? new JsonArray() : whole["Volumes"] ?? new JsonArray();
            foreach (JsonObject item in answer.AsArray().OfType<JsonObject>())
                item["Portainer"] = new JsonObject { ["Agent"] = new JsonObject { ["NodeName"] = node } };
            return answer.AsArray();
        }
        catch (Exception e) when (e is HttpRequestException or IOException or JsonException or OperationCanceledException && !context.RequestAborted.IsCancellationRequested)
        {
            return [];
        }
    }

    private async Task<(HttpStatusCode Status, string Text)> TextAsync(HttpRequestMessage request, TimeSpan time, CancellationToken cancel)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        deadline.CancelAfter(time);
        using HttpResponseMessage answer = await _http.SendAsync(request, deadline.Token);
        return (answer.StatusCode, await answer.Content.ReadAsStringAsync(deadline.Token));
    }

    // ---- one node

    /// <summary>As a reverse proxy that sends on what comes at once, and tears the connection where the other side's broke. Both agents' limits hold.</summary>
    internal async Task ForwardAsync(HttpContext context, RequestPath path, StrictAgent to)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted);
        bool hasBody = context.Features.Get<IHttpRequestBodyDetectionFeature>()?.CanHaveBody == true;
        if (hasBody) deadline.CancelAfter(own.UploadLimit);
        // The query is there twice: once of the request, once of the address that was made of it.
        string query = path.Query.Length > 1 ? $"{path.Query}&{path.Query[1..]}" : "";
        using var request = new HttpRequestMessage(new HttpMethod(context.Request.Method), new Uri(to.Url, (path with { Query = query }).Target)) { Version = HttpVersion.Version11 };
        if (hasBody) request.Content = new PassedBody(context.Request.Body, context.Request.ContentLength, deadline.Token);
        else if (context.Request.ContentLength == 0) request.Content = new ByteArrayContent([]);
        CopyHead(context, request, to.Settings.NodeName);
        HttpResponseMessage answer;
        try
        {
            answer = await _http.SendAsync(request, context.RequestAborted);
        }
        catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException && !context.RequestAborted.IsCancellationRequested)
        {
            context.Response.StatusCode = 502;
            return;
        }
        using (answer) await AnswerAsync(context, answer);
    }

    private static async Task AnswerAsync(HttpContext context, HttpResponseMessage answer)
    {
        HttpResponse response = context.Response;
        response.StatusCode = (int)answer.StatusCode;
        // Beside this agent's own: what both say is there twice.
        foreach ((string name, IEnumerable<string> values) in answer.Headers.Concat(answer.Content.Headers))
            if (name is not ("Transfer-Encoding" or "Connection")) response.Headers.Append(name, values.ToArray());
        if (HttpMethods.IsHead(context.Request.Method)) return;
        try
        {
            await using Stream body = await answer.Content.ReadAsStreamAsync(context.RequestAborted);
            if (response.ContentLength is null) await response.StartAsync(context.RequestAborted);
            await body.CopyToAsync(response.Body, context.RequestAborted);
        }
        catch (Exception e) when (e is IOException or HttpRequestException && !context.RequestAborted.IsCancellationRequested)
        {
            context.Abort();
        }
    }

    private static void CopyHead(HttpContext context, HttpRequestMessage request, string node)
    {
        foreach (var (name, values) in context.Request.Headers)
        {
            if (name.StartsWith(':') || name is "Host" or "Connection" or "Transfer-Encoding" or "Content-Length" or TargetHeader) continue;
            if (!request.Headers.TryAddWithoutValidation(name, values.ToArray())) request.Content?.Headers.TryAddWithoutValidation(name, values.ToArray());
        }
        request.Headers.TryAddWithoutValidation(TargetHeader, node);
    }

    public void Dispose() => _http.Dispose();
}
