using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using Backup.PortainerRig.Agent;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Backup.PortainerRig.Server;

/// <summary>What the server opens to one environment: the engine's socket, or an agent, to which it signs.</summary>
internal sealed class Upstream : IDisposable
{
    // Since about 2.31 nothing else is passed on: no Range, no Expect, no X-PortainerAgent-ManagerOperation (server 2.3).
    private static readonly HashSet<string> AllowedHeaders = new(StringComparer.OrdinalIgnoreCase)
    {
        "Accept", "Accept-Encoding", "Accept-Language", "Cache-Control", "Content-Type", "Private-Token", "Upgrade", "User-Agent",
        "X-PortainerAgent-Target", "X-Portainer-VolumeName", "X-Registry-Auth", "X-Stream-Protocol-Version",
    };

    private readonly ServerEnvironment _environment;
    private readonly ServerSettings _settings;
    private readonly ECDsa _key;
    private readonly HttpMessageInvoker _http;

    internal Upstream(ServerEnvironment environment, ServerSettings settings, ECDsa key)
    {
        (_environment, _settings, _key) = (environment, settings, key);
        var handler = new SocketsHttpHandler
        {
            UseProxy = false, UseCookies = false, AllowAutoRedirect = false, AutomaticDecompression = DecompressionMethods.None,
            PooledConnectionIdleTimeout = TimeSpan.FromSeconds(2),
        };
        handler.SslOptions.RemoteCertificateValidationCallback = (_, _, _, _) => true;
        if (environment.Url.Scheme == "unix")
            handler.ConnectCallback = async (_, cancel) =>
            {
                var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(environment.Url.AbsolutePath), cancel);
                return new NetworkStream(socket, ownsSocket: true);
            };
        _http = new HttpMessageInvoker(handler);
    }

    /// <param name="target">Path and query, the version still in it.</param>
    internal Task<HttpResponseMessage> SendAsync(HttpContext context, string target, CancellationToken cancel)
    {
        HttpRequest from = context.Request;
        string root = _environment.Url.Scheme == "unix" ? "http://unixsocket" : _environment.Url.GetLeftPart(UriPartial.Authority);
        var request = new HttpRequestMessage(new HttpMethod(from.Method), new Uri(root + target)) { Version = HttpVersion.Version11 };
        if (context.Features.Get<IHttpRequestBodyDetectionFeature>()?.CanHaveBody == true) request.Content = new PassedBody(from.Body, from.ContentLength, cancel);
        else if (from.ContentLength == 0) request.Content = new ByteArrayContent([]);
        foreach (var (name, values) in from.Headers)
        {
            if (name is "Host" or "Connection" or "Transfer-Encoding" or "Content-Length" or "X-API-Key") continue;
            if (_settings.AllowsFewHeaders && !AllowedHeaders.Contains(name)) continue;
            if (!request.Headers.TryAddWithoutValidation(name, values.ToArray())) request.Content?.Headers.TryAddWithoutValidation(name, values.ToArray());
        }
        if (_environment.IsAgent) Sign(request);
        return _http.SendAsync(request, cancel);
    }

    /// <summary>The server asks something for itself.</summary>
    internal async Task<string> AskAsync(string target, CancellationToken cancel)
    {
        string root = _environment.Url.Scheme == "unix" ? "http://unixsocket" : _environment.Url.GetLeftPart(UriPartial.Authority);
        using var request = new HttpRequestMessage(HttpMethod.Get, root + target) { Version = HttpVersion.Version11 };
        if (_environment.IsAgent) Sign(request);
        using HttpResponseMessage answer = await _http.SendAsync(request, cancel);
        return await answer.Content.ReadAsStringAsync(cancel);
    }

    private void Sign(HttpRequestMessage request)
    {
        (string publicKey, string signature) = Signatures.Sign(_key, _settings.AgentSecret);
        request.Headers.TryAddWithoutValidation(Signatures.PublicKeyHeader, publicKey);
        request.Headers.TryAddWithoutValidation(Signatures.SignatureHeader, signature);
    }

    public void Dispose() => _http.Dispose();
}
