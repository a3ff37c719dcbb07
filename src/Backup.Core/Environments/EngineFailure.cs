using System.Net;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Text.Json;

namespace Backup.Environments;

/// <summary>The engine answered a request with an error status.</summary>
internal sealed class EngineRefusalException(string environment, string problem, string hint, HttpStatusCode status)
    : EnvironmentException(environment, problem, hint, status == HttpStatusCode.NotFound ? FailureKind.NotFound : FailureKind.Failed)
{
    internal HttpStatusCode Status { get; } = status;
}

/// <summary>A connection could not be made, and the transport itself knows why and what to do about it.</summary>
internal sealed class UnreachedException(string why, string hint, Exception? inner = null) : IOException(why, inner)
{
    internal string Hint { get; } = hint;
}

/// <summary>Turns what a transport throws and what an engine answers into failures that people can act on.</summary>
internal static class EngineFailure
{
    /// <param name="doing">What was tried, such as "list the volumes".</param>
    internal static EnvironmentException Translate(string environment, string engine, string doing, Exception cause)
    {
        if (cause is EnvironmentException already) return already;
        if (Find<UnreachedException>(cause) is { } known) return Unreached(known.Message, known.Hint);
        var request = Find<HttpRequestException>(cause);
        var socket = Find<SocketException>(cause);
        bool tls = request?.HttpRequestError == HttpRequestError.SecureConnectionError || Find<AuthenticationException>(cause) is not null
            || Chain(cause).Any(e => e.GetType().Name.Contains("Ssl", StringComparison.Ordinal));
        if (tls)
            return Unreached("TLS with the engine failed: " + Innermost(cause).Message.TrimEnd('.'),
                "check the CA and the client certificate under \"tls\" in the policy, and that the URL names the host that the engine's certificate is for");
        if (request?.HttpRequestError == HttpRequestError.NameResolutionError)
            return Unreached("the host name cannot be resolved", "check the host name in the environment's \"connect\"");
        if (cause is TimeoutException or OperationCanceledException)
            return Unreached("no answer in time", "check that the host is up and that no firewall is in between");
        if (socket is not null && request?.HttpRequestError is null or HttpRequestError.ConnectionError or HttpRequestError.Unknown)
            switch (socket?.SocketErrorCode)
            {
                case SocketError.ConnectionRefused:
                    return Unreached("the connection was refused",
                        engine.StartsWith("Portainer", StringComparison.Ordinal) ? "is it running, and is this its port?" : "is the Docker engine running?");
                case SocketError.AddressNotAvailable when engine.StartsWith("unix:", StringComparison.Ordinal):
                    return Unreached("there is no such socket", "is the Docker engine running? check the path in the environment's \"connect\"");
                case SocketError.AccessDenied:
                    return Unreached("permission denied", "run as root or join the docker group");
                case SocketError.HostUnreachable or SocketError.NetworkUnreachable or SocketError.TimedOut or SocketError.HostDown:
                    return Unreached(socket.Message, "check the address, and that no firewall is in between");
            }
        if (request?.HttpRequestError == HttpRequestError.ConnectionError)
            return Unreached(Innermost(cause).Message, "check the address in the environment's \"connect\", and that the engine listens there");
        if (cause is JsonException)
            return new EnvironmentException(environment, $"cannot {doing}: {engine} answered something that is not the Docker API: {cause.Message}",
                "check that the URL is that of a Docker engine", inner: cause);
        return new EnvironmentException(environment, $"cannot {doing}: the connection to {engine} broke: {Innermost(cause).Message}",
            "the engine may have stopped or restarted; see its log (journalctl -u docker) and try again", inner: cause);

        EnvironmentException Unreached(string why, string hint) =>
            new(environment, $"cannot reach environment {environment} at {engine}: {why}", hint, inner: cause) { Unreachable = true };
    }

    /// <summary>An error status. The body is JSON with a message, or plain text, or nothing.</summary>
    internal static EngineRefusalException Refusal(string environment, string doing, HttpStatusCode status, string body)
    {
        string message = Message(body) ?? $"the engine answered {(int)status} {status}";
        string hint = status switch
        {
            HttpStatusCode.NotFound => "it may have been removed meanwhile; run the command again to see what is there now",
            HttpStatusCode.Conflict => "something else is using it or works on it; look with docker ps -a and try again",
            HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden => "the engine, or a proxy before it, does not allow this; check the credentials in the policy",
            _ when message.Contains("no space left", StringComparison.OrdinalIgnoreCase) => "free some space on the engine's host and try again",
            _ => "see the engine's log (journalctl -u docker) for the cause",
        };
        return new EngineRefusalException(environment, $"cannot {doing}: {message}", hint, status)
        {
            // Through a gateway this may be the wrong key; nothing else will work either.
            Unreachable = status is HttpStatusCode.Unauthorized,
        };
    }

    private static string? Message(string body)
    {
        string text = body.Trim();
        if (text.StartsWith('{'))
            try
            {
                text = JsonSerializer.Deserialize(text, DockerJson.Default.ErrorAnswer)?.Message?.Trim() ?? text;
            }
            catch (JsonException)
            {
                // Some proxies cut long bodies: what is there is still the best explanation.
            }
        return text.Length == 0 ? null : text.Length > 600 ? text[..600] + "…" : text;
    }

    private static IEnumerable<Exception> Chain(Exception e)
    {
        for (Exception? at = e; at is not null; at = at.InnerException) yield return at;
    }

    private static T? Find<T>(Exception e) where T : Exception => Chain(e).OfType<T>().FirstOrDefault();

    private static Exception Innermost(Exception e) => Chain(e).Last();
}
