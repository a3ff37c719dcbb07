using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Primitives;

namespace Backup.PortainerRig.Agent;

/// <summary>Passes requests to the engine's socket and its answers back, with everything that goes wrong on the way in a real agent.</summary>
internal sealed class EngineRelay : IDisposable
{
    /// <summary>A Go server lets a client that is still sending read its answer before it closes.</summary>
    private static readonly TimeSpan Linger = TimeSpan.FromMilliseconds(500);

    private readonly HttpMessageInvoker _engine;
    private readonly AgentFaults _faults;

    internal EngineRelay(string socket, AgentFaults faults)
    {
        _faults = faults;
        _engine = new HttpMessageInvoker(new SocketsHttpHandler
        {
            UseProxy = false,
            UseCookies = false,
            AllowAutoRedirect = false,
            AutomaticDecompression = DecompressionMethods.None,
            ConnectCallback = async (_, cancel) =>
            {
                var connection = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                try
                {
                    await connection.ConnectAsync(new UnixDomainSocketEndPoint(socket), cancel);
                    return new NetworkStream(connection, ownsSocket: true);
                }
                catch
                {
                    connection.Dispose();
                    throw;
                }
            },
        });
    }

    internal async Task RelayAsync(HttpContext context, RequestPath path, TimeSpan uploadLimit)
    {
        if (context.Request.Headers.Upgrade.Count > 0)
        {
            await SwallowAsync(context);
            return;
        }
        using var uploadDeadline = new CancellationTokenSource(uploadLimit);
        using var upload = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, uploadDeadline.Token);
        using HttpRequestMessage request = ToEngine(context, path, upload.Token);
        HttpResponseMessage answer;
        try
        {
            answer = await _engine.SendAsync(request, context.RequestAborted);
        }
        catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException && !context.RequestAborted.IsCancellationRequested)
        {
            // The engine's side of the upload was cut, so what it had got is extracted and stays (0.2, agent 1.2).
            if (uploadDeadline.IsCancellationRequested) _faults.UploadLimitReached();
            context.Response.Headers.Connection = "close";
            await AgentAnswers.ErrorAsync(context, 500, "Unable to proxy the request via the Docker socket",
                uploadDeadline.IsCancellationRequested ? "readfrom unix @->/var/run/docker.sock: read tcp: i/o timeout" : e.Message);
            await context.Response.CompleteAsync();
            await Task.Delay(Linger, context.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            return;
        }
        using (answer) await AnswerAsync(context, answer, path);
    }

    private HttpRequestMessage ToEngine(HttpContext context, RequestPath path, CancellationToken upload)
    {
        HttpRequest from = context.Request;
        var request = new HttpRequestMessage(new HttpMethod(from.Method), new Uri("http://unixsocket" + path.Target)) { Version = HttpVersion.Version11 };
        bool hasBody = context.Features.Get<IHttpRequestBodyDetectionFeature>()?.CanHaveBody == true;
        if (hasBody) request.Content = new PassedBody(from.Body, from.ContentLength, upload);
        else if (from.ContentLength == 0) request.Content = new ByteArrayContent([]);
        // Over h2 the engine sees a chunked body where there is none, and refuses to start containers (0.4).
        if (!hasBody && HttpProtocol.IsHttp2(from.Protocol) && HttpMethods.IsPost(from.Method)) request.Content = new PassedBody(Stream.Null, null, upload);
        foreach ((string name, StringValues values) in from.Headers)
        {
            if (name.StartsWith(':') || name is "Host" or "Connection" or "Transfer-Encoding" or "Content-Length") continue;
            if (!request.Headers.TryAddWithoutValidation(name, values.ToArray())) request.Content?.Headers.TryAddWithoutValidation(name, values.ToArray());
        }
        return request;
    }

    private async Task AnswerAsync(HttpContext context, HttpResponseMessage answer, RequestPath path)
    {
        HttpResponse response = context.Response;
        response.StatusCode = (int)answer.StatusCode;
        foreach ((string name, IEnumerable<string> values) in answer.Headers.Concat(answer.Content.Headers))
            if (name is not ("Transfer-Encoding" or "Connection")) response.Headers.Append(name, values.ToArray());
        if (HttpMethods.IsHead(context.Request.Method)) return;
        var writer = new UnflushedWriter(response);
        try
        {
            await using Stream body = _faults.Plant(await answer.Content.ReadAsStreamAsync(context.RequestAborted), path.Path);
            await writer.CopyAsync(body, context.RequestAborted);
        }
        catch (Exception e) when (e is IOException or HttpRequestException && !context.RequestAborted.IsCancellationRequested)
        {
            // The copy's error is ignored: status 200 and a correct end, whatever is missing (0.1). A length that was promised betrays it.
        }
        await writer.EndAsync(context.RequestAborted);
    }

    /// <summary>Says that it switches protocols and is silent from then on (0.5).</summary>
    private async Task SwallowAsync(HttpContext context)
    {
        _faults.Upgraded();
        await using Stream nothing = await context.Features.GetRequiredFeature<IHttpUpgradeFeature>().UpgradeAsync();
        await nothing.CopyToAsync(Stream.Null, context.RequestAborted);
    }

    public void Dispose() => _engine.Dispose();
}
