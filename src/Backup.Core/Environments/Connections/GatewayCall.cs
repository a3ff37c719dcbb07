using System.Net;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Backup.Environments.Connections;

/// <summary>A gateway's answer to one of our questions.</summary>
/// <param name="Body">Empty for anything longer than what an error or a question needs.</param>
internal sealed record GatewayAnswer(HttpStatusCode Status, string Body, Func<string, string?> Header)
{
    internal bool Ok => (int)Status is >= 200 and < 300;

    /// <summary>Null when the body is not what was asked for.</summary>
    internal T? Json<T>(JsonTypeInfo<T> type) where T : class
    {
        try
        {
            return JsonSerializer.Deserialize(Body, type);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    /// <summary>What it says is wrong: Portainer's errors have a message and details.</summary>
    internal string Words()
    {
        if (Body.TrimStart().StartsWith('{') && Json(PortainerJson.Default.PortainerError) is { Message.Length: > 0 } error)
            return error.Details is { Length: > 0 } details && details != error.Message ? $"{error.Message} ({details})" : error.Message;
        string text = Body.Trim();
        return text.Length is 0 or > 300 || text.StartsWith('<') ? $"{(int)Status} {Status}" : text;
    }
}

/// <summary>Asks a gateway itself, not the engine behind it.</summary>
internal sealed class GatewayCall(HttpMessageInvoker http, string environment, string display, TimeProvider time)
{
    /// <param name="node">Of a Swarm; null = whichever is reached.</param>
    /// <exception cref="EnvironmentException">It could not be reached.</exception>
    internal async Task<GatewayAnswer> GetAsync(Uri address, string doing, TimeSpan patience, CancellationToken cancel, string? node = null)
    {
        using var deadline = new CancellationTokenSource(patience, time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(cancel, deadline.Token);
        using var request = new HttpRequestMessage(HttpMethod.Get, address) { Version = HttpVersion.Version11 };
        if (node is not null) request.Headers.TryAddWithoutValidation(Route.NodeHeader, node);
        try
        {
            using HttpResponseMessage answer = await http.SendAsync(request, both.Token).ConfigureAwait(false);
            string body = await answer.Content.ReadAsStringAsync(both.Token).ConfigureAwait(false);
            Dictionary<string, string> headers = answer.Headers.ToDictionary(h => h.Key, h => h.Value.First(), StringComparer.OrdinalIgnoreCase);
            return new GatewayAnswer(answer.StatusCode, body, headers.GetValueOrDefault);
        }
        catch (Exception e) when (!cancel.IsCancellationRequested)
        {
            throw EngineFailure.Translate(environment, display, doing, e);
        }
        catch (Exception e) when (cancel.IsCancellationRequested)
        {
            throw new OperationCanceledException(e.Message, e, cancel);
        }
    }
}
