using System.Net;
using System.Text.Json.Nodes;
using Backup.PortainerRig.Server;

namespace Backup.Tests.Portainer;

/// <summary>A plain client of a Portainer server, written from the reference alone.</summary>
internal sealed class ServerClient(Uri url, string? key = ServerSettings.AdministratorKey) : IDisposable
{
    private readonly HttpClient _http = new(new SocketsHttpHandler
    {
        UseCookies = false, SslOptions = { RemoteCertificateValidationCallback = (_, _, _, _) => true },
    }) { Timeout = TimeSpan.FromSeconds(40) };

    public Task<HttpResponseMessage> GetAsync(string path, params (string Name, string Value)[] headers) => SendAsync(HttpMethod.Get, path, null, headers);

    public Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, HttpContent? content = null, params (string Name, string Value)[] headers)
    {
        var request = new HttpRequestMessage(method, url.ToString().TrimEnd('/') + path) { Content = content, Version = HttpVersion.Version11 };
        if (key is not null) request.Headers.TryAddWithoutValidation("X-API-Key", key);
        foreach ((string name, string value) in headers) request.Headers.TryAddWithoutValidation(name, value);
        return _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
    }

    public async Task<JsonNode> JsonAsync(string path) => JsonNode.Parse(await (await GetAsync(path)).Content.ReadAsStringAsync())!;

    public void Dispose() => _http.Dispose();
}
