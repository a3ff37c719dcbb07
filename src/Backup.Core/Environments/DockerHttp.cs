using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Backup.Environments.Connections;

namespace Backup.Environments;

/// <summary>
/// Requests to one engine: API version, deadlines, and every failure as <see cref="EnvironmentException"/>. The caller's cancellation passes untouched.
/// </summary>
internal sealed class DockerHttp(string environment, DockerConnection connection, TimeProvider time) : IDisposable
{
    /// <summary>The newest API this client was written for (Docker 29) and the oldest (Docker 20.10).</summary>
    internal static readonly Version Newest = new(1, 52), Oldest = new(1, 41);

    /// <summary>For calls that are answered at once.</summary>
    internal static readonly TimeSpan ShortCall = TimeSpan.FromSeconds(60);

    /// <summary>A stream may take any time, but not be silent for longer than this.</summary>
    internal static readonly TimeSpan DefaultStall = TimeSpan.FromMinutes(5);

    private readonly HttpMessageInvoker _http = new(connection.Handler);
    private readonly HttpMessageInvoker? _blocking = connection.Blocking is null ? null : new(connection.Blocking);
    private readonly SemaphoreSlim _negotiating = new(1, 1);
    private Route? _route = connection.Gateway is null ? new Route(connection.BaseAddress) { Local = connection.Local } : null;
    private Version? _version;
    private TunnelKeeper? _keeper;
    private long _lastRequest;

    internal string Environment => environment;
    internal string Display => connection.Display;
    internal TimeProvider Time => time;
    internal TimeSpan Stall { get; init; } = DefaultStall;

    /// <summary>The way to the engine; looked for once.</summary>
    internal async Task<Route> RouteAsync(CancellationToken cancel)
    {
        await VersionAsync(cancel).ConfigureAwait(false);
        return _route!;
    }

    /// <summary>The newest API version that both sides speak; asked for once.</summary>
    internal async Task<Version> VersionAsync(CancellationToken cancel)
    {
        if (_version is { } known) return known;
        await _negotiating.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            _route ??= await connection.Gateway!.OpenAsync(_http, cancel).ConfigureAwait(false);
            _lastRequest = time.GetTimestamp();
            if (_route.KeepAlive is { } interval) _keeper ??= new TunnelKeeper(interval, time, () => Volatile.Read(ref _lastRequest), PingAsync);
            return _version ??= await NegotiateAsync(cancel).ConfigureAwait(false);
        }
        finally
        {
            _negotiating.Release();
        }
    }

    internal async Task<T> GetAsync<T>(string path, JsonTypeInfo<T> type, string doing, CancellationToken cancel)
    {
        using HttpResponseMessage answer = await SendAsync(HttpMethod.Get, path, null, doing, ShortCall, cancel).ConfigureAwait(false);
        return await ReadAsync(answer, type, doing, cancel).ConfigureAwait(false);
    }

    /// <summary>Null where the engine says 404.</summary>
    internal async Task<T?> FindAsync<T>(string path, JsonTypeInfo<T> type, string doing, CancellationToken cancel) where T : class
    {
        try
        {
            return await GetAsync(path, type, doing, cancel).ConfigureAwait(false);
        }
        catch (EngineRefusalException e) when (e.Status == HttpStatusCode.NotFound)
        {
            return null;
        }
    }

    internal async Task<TAnswer> PostAsync<TBody, TAnswer>(
        string path, TBody body, JsonTypeInfo<TBody> bodyType, JsonTypeInfo<TAnswer> type, string doing, CancellationToken cancel)
    {
        using HttpResponseMessage answer = await SendAsync(HttpMethod.Post, path, Json(body, bodyType), doing, ShortCall, cancel).ConfigureAwait(false);
        return await ReadAsync(answer, type, doing, cancel).ConfigureAwait(false);
    }

    internal async Task PostAsync(string path, string doing, TimeSpan timeout, CancellationToken cancel) =>
        (await SendAsync(HttpMethod.Post, path, null, doing, timeout, cancel).ConfigureAwait(false)).Dispose();

    internal async Task DeleteAsync(string path, string doing, CancellationToken cancel) =>
        (await SendAsync(HttpMethod.Delete, path, null, doing, ShortCall, cancel).ConfigureAwait(false)).Dispose();

    internal static HttpContent Json<T>(T body, JsonTypeInfo<T> type) =>
        new ByteArrayContent(JsonSerializer.SerializeToUtf8Bytes(body, type)) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } };

    /// <summary>Sends, and returns as soon as the answer's head is there; a status that is no success throws.</summary>
    /// <param name="path">Below the versioned root, such as <c>containers/json</c>.</param>
    /// <param name="timeout">Until the answer's head is there.</param>
    internal async Task<HttpResponseMessage> SendAsync(
        HttpMethod method, string path, HttpContent? body, string doing, TimeSpan timeout, CancellationToken cancel, bool blocking = false)
    {
        Version version = await VersionAsync(cancel).ConfigureAwait(false);
        if (_route!.Mangles(path) is { } reason)
            throw new EnvironmentException(environment, $"cannot {doing}: it is not addressable this way: {reason}",
                "reach the engine itself (\"tcp://…\" with TLS, or its socket), or give the volume or container another name");
        return await SendRawAsync(method, $"v{version}/{path}", body, doing, timeout, cancel, blocking: blocking).ConfigureAwait(false);
    }

    /// <summary>Asks the agent before the engine for something of its own, which has no version of the engine's.</summary>
    /// <param name="path">Such as <c>v2/browse/get</c>, with its query.</param>
    /// <param name="range">Of the answer's body; what stands in between may leave it out. Null = all of it.</param>
    internal async Task<HttpResponseMessage> AskAgentAsync(string path, RangeHeaderValue? range, string doing, CancellationToken cancel)
    {
        await RouteAsync(cancel).ConfigureAwait(false);
        return await SendRawAsync(HttpMethod.Get, path, null, doing, ShortCall, cancel, range: range).ConfigureAwait(false);
    }

    /// <summary>Sends a POST after whose answer's head both sides use the connection as they like; its content is that connection.</summary>
    internal async Task<HttpResponseMessage> UpgradeAsync(string path, HttpContent body, string doing, CancellationToken cancel)
    {
        Version version = await VersionAsync(cancel).ConfigureAwait(false);
        if (_route!.ThroughPortainer)
            throw new EnvironmentException(environment, $"cannot {doing}: Portainer does not pass standard input on",
                "reach the engine itself (its socket, tcp:// with TLS, or ssh://), or write the dump to a file with --output and load it by hand");
        return await SendRawAsync(HttpMethod.Post, $"v{version}/{path}", body, doing, ShortCall, cancel, upgrade: true).ConfigureAwait(false);
    }

    /// <summary>Whether <see cref="GetBlocking"/> can be called.</summary>
    internal bool CanBlock => _blocking is not null;

    /// <summary>
    /// Like <see cref="SendAsync"/> for a GET, by blocking calls on the caller's thread and as HTTP/1.0: the body comes bare, up to the end of the
    /// connection. Cut into chunks, each of them would cost the engine and us another system call.
    /// </summary>
    internal HttpResponseMessage GetBlocking(string path, string doing, TimeSpan timeout, CancellationToken cancel) =>
        SendAsync(HttpMethod.Get, path, null, doing, timeout, cancel, blocking: true).GetAwaiter().GetResult();

    private async Task<HttpResponseMessage> SendRawAsync(
        HttpMethod method, string path, HttpContent? body, string doing, TimeSpan timeout, CancellationToken cancel, bool upgrade = false, bool blocking = false,
        RangeHeaderValue? range = null)
    {
        Version protocol = blocking ? HttpVersion.Version10 : HttpVersion.Version11;
        using var request = new HttpRequestMessage(method, new Uri(_route!.BaseAddress, path)) { Content = body, Version = protocol };
        if (upgrade)
        {
            request.Headers.Connection.Add("Upgrade");
            request.Headers.Upgrade.Add(new ProductHeaderValue("tcp"));
        }
        request.Headers.Range = range;
        request.Headers.AcceptEncoding.Add(new StringWithQualityHeaderValue("identity"));
        if (_route.Addressee(path) is { } to) request.Headers.TryAddWithoutValidation(to.Header, to.Value);
        // An empty body with a length, never chunked: engines refuse "start" with anything that may be a body.
        if (body is null && method == HttpMethod.Post) request.Content = new ByteArrayContent([]);
        using var deadline = new CancellationTokenSource(timeout, time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(cancel, deadline.Token);
        HttpResponseMessage? answer = null;
        Volatile.Write(ref _lastRequest, time.GetTimestamp());
        try
        {
            answer = blocking ? _blocking!.Send(request, both.Token) : await _http.SendAsync(request, both.Token).ConfigureAwait(false);
            if (upgrade && answer.IsSuccessStatusCode)
                throw new EnvironmentException(environment, $"cannot {doing}: something between here and the engine does not pass standard input on",
                    "connect to the engine directly, or write the dump to a file with --output and load it by hand");
            if (answer.IsSuccessStatusCode || answer.StatusCode == HttpStatusCode.NotModified || upgrade && answer.StatusCode == HttpStatusCode.SwitchingProtocols)
                return answer;
            string text = await answer.Content.ReadAsStringAsync(both.Token).ConfigureAwait(false);
            throw EngineFailure.Refusal(environment, doing, answer.StatusCode, text);
        }
        catch (Exception e) when (!cancel.IsCancellationRequested || e is EnvironmentException)
        {
            answer?.Dispose();
            // What a body writer threw is not the engine's failure; the body keeps it and its owner asks for it.
            if (body is PushContent { Failure: not null }) throw;
            if (deadline.IsCancellationRequested)
                throw new EnvironmentException(environment,
                    $"cannot {doing}: {connection.Display} did not answer within {timeout.TotalSeconds:0} s",
                    "look at the load of the engine's host and at the engine's log (journalctl -u docker)", inner: e);
            throw EngineFailure.Translate(environment, connection.Display, doing, e);
        }
        catch (Exception) when (cancel.IsCancellationRequested)
        {
            answer?.Dispose();
            throw new OperationCanceledException(cancel);
        }
    }

    private async Task<T> ReadAsync<T>(HttpResponseMessage answer, JsonTypeInfo<T> type, string doing, CancellationToken cancel)
    {
        using var deadline = new CancellationTokenSource(ShortCall, time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(cancel, deadline.Token);
        try
        {
            await using Stream body = await answer.Content.ReadAsStreamAsync(both.Token).ConfigureAwait(false);
            return await JsonSerializer.DeserializeAsync(body, type, both.Token).ConfigureAwait(false)
                ?? throw new JsonException("the answer is null");
        }
        catch (Exception e) when (!cancel.IsCancellationRequested)
        {
            throw EngineFailure.Translate(environment, connection.Display, doing, e);
        }
    }

    private async Task PingAsync(CancellationToken cancel) =>
        (await SendRawAsync(HttpMethod.Get, "_ping", null, "keep the tunnel open", ShortCall, cancel).ConfigureAwait(false)).Dispose();

    private async Task<Version> NegotiateAsync(CancellationToken cancel)
    {
        const string Doing = "ask the engine for its version";
        using HttpResponseMessage answer = await SendRawAsync(HttpMethod.Get, "version", null, Doing, ShortCall, cancel).ConfigureAwait(false);
        VersionAnswer says = await ReadAsync(answer, DockerJson.Default.VersionAnswer, Doing, cancel).ConfigureAwait(false);
        if (!System.Version.TryParse(says.ApiVersion, out Version? offered))
            throw new EnvironmentException(environment, $"{connection.Display} does not say which version of the Docker API it speaks",
                "check that the URL is that of a Docker engine");
        Version chosen = offered < Newest ? offered : Newest;
        if (chosen < Oldest)
            throw new EnvironmentException(environment, $"the engine at {connection.Display} is too old: it speaks Docker API {offered}, at least {Oldest} is needed",
                "update it to Docker 20.10 or newer");
        if (System.Version.TryParse(says.MinApiVersion, out Version? minimum) && minimum > chosen)
            throw new EnvironmentException(environment, $"the engine at {connection.Display} is too new: it asks for Docker API {minimum} at least, this program speaks up to {Newest}",
                "update this program, or set DOCKER_MIN_API_VERSION for the engine");
        return chosen;
    }

    public void Dispose()
    {
        _keeper?.Dispose();
        _http.Dispose();
        _blocking?.Dispose();
        _negotiating.Dispose();
    }
}
