using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Backup.PortainerRig.Agent;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Backup.PortainerRig.Server;

/// <summary>One environment's engine behind the server: who may do what, and what becomes of the answers (server 2.3, 2.4).</summary>
internal sealed partial class DockerGateway(ServerEnvironment environment, ServerSettings settings, ResourceControls records, Upstream upstream, EdgeTunnel tunnel)
{
    private string? _engineId;

    // Only to see what is asked for: a version is passed on (server 2.3).
    [GeneratedRegex(@"/v[0-9]\.[0-9]*")]
    private static partial Regex Version();

    /// <param name="target">Path and query below <c>/docker</c>.</param>
    internal async Task ServeAsync(HttpContext context, ServerUser user, string target)
    {
        CancellationToken tunnelClosed = default;
        if (environment.Type == EnvironmentType.EdgeAgent)
        {
            if (environment.EdgeId.Length == 0)
            {
                await AgentAnswers.ErrorAsync(context, 500, "No Edge agent registered with the environment", "No agent available");
                return;
            }
            string? impossible = environment.Async ? "cannot open a tunnel for async edge environments" : environment.Trusted ? null : "cannot open a tunnel for an invalid environment";
            // Blocks until the agent comes (server 2.5).
            if (impossible is not null || await tunnel.UseAsync(context.RequestAborted) is not { } open)
            {
                await AgentAnswers.ErrorAsync(context, 500, "Unable to get the active tunnel", impossible ?? "unable to open the tunnel");
                return;
            }
            tunnelClosed = open;
        }
        using var both = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, tunnelClosed);
        // The last one registered is called first: the cut is counted before the client can see it.
        using CancellationTokenRegistration counted = tunnelClosed.Register(tunnel.WasCut);
        try
        {
            await DispatchAsync(context, user, target, both.Token);
        }
        catch (Exception e) when (e is IOException or HttpRequestException or OperationCanceledException && (tunnelClosed.IsCancellationRequested || !context.RequestAborted.IsCancellationRequested))
        {
            // A reverse proxy tears the client's connection where its own broke; before the head it has an answer (server 2.3).
            if (context.Response.HasStarted) context.Abort();
            else await AgentAnswers.ErrorAsync(context, 502, "Bad gateway", e.Message);
        }
    }

    private async Task DispatchAsync(HttpContext context, ServerUser user, string target, CancellationToken cancel)
    {
        int query = target.IndexOf('?');
        string[] parts = Version().Replace(Uri.UnescapeDataString(query < 0 ? target : target[..query]), "").Split('/', StringSplitOptions.RemoveEmptyEntries);
        bool get = HttpMethods.IsGet(context.Request.Method), delete = HttpMethods.IsDelete(context.Request.Method);
        switch (parts)
        {
            case ["containers", "json"]:
                await RewriteAsync(context, target, async body => await ListAsync("container", body.AsArray(), user, cancel), cancel);
                break;
            case ["containers", "create"]:
                await CreateAsync(context, target, "container", made => Task.FromResult((string)made["Id"]!), user, cancel);
                break;
            case ["containers", var id, "json"]:
                await RewriteAsync(context, target, async body => await InspectAsync("container", body.AsObject(), user, cancel), cancel);
                break;
            case ["containers", var id] when delete:
                await DeleteAsync(context, target, "container", id, user, cancel);
                break;
            case ["containers", var id, ..]:
                if (Allowed("container", id, user)) await PassAsync(context, target, cancel);
                else await DenyAsync(context);
                break;
            case ["volumes"] when get:
                await RewriteAsync(context, target, async body =>
                {
                    if (body["Volumes"] is JsonArray volumes) body["Volumes"] = (await ListAsync("volume", volumes, user, cancel))!.DeepClone();
                    return body;
                }, cancel);
                break;
            case ["volumes", "create"]:
                // Docker says 201 also for one that existed, and then it gets a second, private record (server 2.4).
                await CreateAsync(context, target, "volume", made => VolumeIdAsync((string)made["Name"]!, cancel), user, cancel);
                break;
            case ["volumes", var name] when get:
                await RewriteAsync(context, target, async body => await InspectAsync("volume", body.AsObject(), user, cancel), cancel);
                break;
            case ["volumes", var name] when delete:
                await DeleteAsync(context, target, "volume", await VolumeIdAsync(name, cancel), user, cancel);
                break;
            case ["volumes" or "containers" or "nodes" or "swarm", _, ..] when !user.Administrator:
                await DenyAsync(context);
                break;
            default:
                await PassAsync(context, target, cancel);
                break;
        }
    }

    private async Task<string> VolumeIdAsync(string name, CancellationToken cancel)
    {
        _engineId ??= (string)JsonNode.Parse(await upstream.AskAsync("/info", cancel))!["ID"]!;
        return $"{name}_{_engineId}";
    }

    private bool Allowed(string kind, string resource, ServerUser user) => user.Administrator || records.Find(kind, resource) is { } record && record.User == user.Id;

    private static Task DenyAsync(HttpContext context) => AgentAnswers.JsonAsync(context, 403, new JsonObject { ["message"] = "access denied to resource" });

    // ---- answers that are taken apart and written anew (server 2.4)

    private async Task<JsonNode?> ListAsync(string kind, JsonArray list, ServerUser user, CancellationToken cancel)
    {
        var kept = new JsonArray();
        foreach (JsonObject item in list.OfType<JsonObject>())
        {
            if (kind == "container" && item["Labels"] is JsonObject labels && labels.Any(l => settings.HiddenLabels.Contains($"{l.Key}={l.Value}"))) continue;
            if (await InspectAsync(kind, item, user, cancel) is { } seen) kept.Add(seen.DeepClone());
        }
        return kept;
    }

    /// <summary>Null = not for this user.</summary>
    private async Task<JsonNode?> InspectAsync(string kind, JsonObject item, ServerUser user, CancellationToken cancel)
    {
        string resource = kind == "container" ? (string)item["Id"]! : await VolumeIdAsync((string)item["Name"]!, cancel);
        if (!Allowed(kind, resource, user)) return null;
        if (kind == "volume") item["ResourceID"] = resource;
        if (kind == "container" && environment.PortainerContainer is { } own && resource.StartsWith(own, StringComparison.Ordinal)) item["IsPortainer"] = true;
        if (records.Find(kind, resource) is { } record)
        {
            // Beside what an agent of a Swarm wrote there (agent 1.6).
            item["Portainer"] ??= new JsonObject();
            item["Portainer"]!["ResourceControl"] = record.ToJson();
        }
        return item;
    }

    private async Task RewriteAsync(HttpContext context, string target, Func<JsonNode, Task<JsonNode?>> rewrite, CancellationToken cancel)
    {
        using HttpResponseMessage answer = await upstream.SendAsync(context, target, cancel);
        tunnel.Active();
        if ((int)answer.StatusCode != 200)
        {
            await CopyAsync(context, answer, cancel);
            return;
        }
        if (await rewrite(JsonNode.Parse(await answer.Content.ReadAsStringAsync(cancel))!) is { } body) await AgentAnswers.JsonAsync(context, 200, body);
        else await DenyAsync(context);
    }

    /// <summary>200 in place of 201, and a private record for the key's user (server 2.4).</summary>
    private async Task CreateAsync(HttpContext context, string target, string kind, Func<JsonObject, Task<string>> resource, ServerUser user, CancellationToken cancel)
    {
        using HttpResponseMessage answer = await upstream.SendAsync(context, target, cancel);
        tunnel.Active();
        if ((int)answer.StatusCode != 201)
        {
            await CopyAsync(context, answer, cancel);
            return;
        }
        JsonObject made = JsonNode.Parse(await answer.Content.ReadAsStringAsync(cancel))!.AsObject();
        string id = await resource(made);
        ResourceControl record = records.Add(kind, id, user.Id);
        if (kind == "volume") made["ResourceID"] = id;
        made["Portainer"] = new JsonObject { ["ResourceControl"] = record.ToJson() };
        await AgentAnswers.JsonAsync(context, 200, made);
    }

    private async Task DeleteAsync(HttpContext context, string target, string kind, string resource, ServerUser user, CancellationToken cancel)
    {
        if (!Allowed(kind, resource, user))
        {
            await DenyAsync(context);
            return;
        }
        using HttpResponseMessage answer = await upstream.SendAsync(context, target, cancel);
        tunnel.Active();
        if ((int)answer.StatusCode is 204 or 200) records.Remove(kind, resource);
        await CopyAsync(context, answer, cancel);
    }

    // ---- answers that are passed on

    private async Task PassAsync(HttpContext context, string target, CancellationToken cancel)
    {
        using HttpResponseMessage answer = await upstream.SendAsync(context, target, cancel);
        tunnel.Active();
        await CopyAsync(context, answer, cancel);
    }

    private async Task CopyAsync(HttpContext context, HttpResponseMessage answer, CancellationToken cancel)
    {
        HttpResponse response = context.Response;
        response.StatusCode = (int)answer.StatusCode;
        foreach (var (name, values) in answer.Headers.Concat(answer.Content.Headers))
            if (name is not ("Transfer-Encoding" or "Connection")) response.Headers.Append(name, values.ToArray());
        if (HttpMethods.IsHead(context.Request.Method)) return;
        await using Stream body = await answer.Content.ReadAsStreamAsync(cancel);
        if (environment.Url.Scheme == "unix")
        {
            // Copied without flushing, and an error of the copy is ignored: cut short looks like complete (server 2.3).
            var writer = new UnflushedWriter(response);
            try
            {
                await writer.CopyAsync(body, cancel);
            }
            catch (Exception e) when (e is IOException or HttpRequestException && !context.RequestAborted.IsCancellationRequested)
            {
                // masked
            }
            await writer.EndAsync(cancel);
            return;
        }
        if (response.ContentLength is null) await response.StartAsync(cancel);
        await body.CopyToAsync(response.Body, cancel);
    }
}
