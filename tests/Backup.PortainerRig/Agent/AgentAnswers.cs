using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Backup.PortainerRig.Agent;

/// <summary>The shapes in which an agent itself answers.</summary>
internal static class AgentAnswers
{
    /// <summary>All errors of an agent have a message and details; an engine's have only a message (agent 1.3).</summary>
    internal static Task ErrorAsync(HttpContext context, int status, string message, string details) =>
        JsonAsync(context, status, new JsonObject { ["message"] = message, ["details"] = details });

    internal static async Task JsonAsync(HttpContext context, int status, JsonNode body)
    {
        byte[] bytes = JsonSerializer.SerializeToUtf8Bytes(body);
        context.Response.StatusCode = status;
        context.Response.ContentType = "application/json";
        context.Response.ContentLength = bytes.Length;
        if (!HttpMethods.IsHead(context.Request.Method)) await context.Response.Body.WriteAsync(bytes, context.RequestAborted);
    }
}
