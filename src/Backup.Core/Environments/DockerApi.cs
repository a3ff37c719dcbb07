using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Backup.Environments.Connections;
using Backup.Environments.Pieces;

namespace Backup.Environments;

/// <summary>The endpoints of the Docker Engine API that are used, typed, one method each; no decisions.</summary>
internal sealed class DockerApi(string environment, DockerConnection connection, TimeProvider time) : IDisposable
{
    private const string StatHeader = "X-Docker-Container-Path-Stat";

    /// <summary>Time for the engine to answer after the last byte of an upload: it may still be writing to its disk.</summary>
    private static readonly TimeSpan UploadAnswer = TimeSpan.FromMinutes(10);

    internal DockerHttp Http { get; init; } = new(environment, connection, time);

    private NodeLists OfNode => new(Http);

    internal Task<Version> VersionAsync(CancellationToken cancel) => Http.VersionAsync(cancel);

    internal Task<InfoAnswer> InfoAsync(CancellationToken cancel) => Http.GetAsync("info", DockerJson.Default.InfoAnswer, "read the engine's facts", cancel);

    // ---- volumes

    internal async Task<IReadOnlyList<VolumeAnswer>> VolumesAsync(CancellationToken cancel)
    {
        VolumeList list = await Http.GetAsync("volumes", DockerJson.Default.VolumeList, "list the volumes", cancel).ConfigureAwait(false);
        return await OfNode.VolumesAsync(list.Volumes ?? [], cancel).ConfigureAwait(false);
    }

    /// <summary>Whether a volume of this name can be asked for, on a way to the engine.</summary>
    internal static bool CanFindVolume(Route route, string name) => route.Mangles("volumes/" + Escape(name)) is null;

    internal Task<VolumeAnswer?> FindVolumeAsync(string name, CancellationToken cancel) =>
        Http.FindAsync("volumes/" + Escape(name), DockerJson.Default.VolumeAnswer, $"look at volume {name}", cancel);

    /// <summary>Also succeeds, and changes nothing, when the volume exists.</summary>
    internal Task<VolumeAnswer> CreateVolumeAsync(VolumeRequest volume, CancellationToken cancel) =>
        Http.PostAsync("volumes/create", volume, DockerJson.Default.VolumeRequest, DockerJson.Default.VolumeAnswer, $"create volume {volume.Name}", cancel);

    internal Task DeleteVolumeAsync(string name, CancellationToken cancel) => Http.DeleteAsync("volumes/" + Escape(name), $"remove volume {name}", cancel);

    // ---- images

    internal Task<ImageAnswer?> FindImageAsync(string idOrName, CancellationToken cancel) =>
        Http.FindAsync($"images/{Escape(idOrName)}/json", DockerJson.Default.ImageAnswer, $"look at image {idOrName}", cancel);

    internal async Task<IReadOnlyList<ImageAnswer>> ImagesAsync(CancellationToken cancel) =>
        await OfNode.ImagesAsync(await Http.GetAsync("images/json", DockerJson.Default.ImageAnswerArray, "list the images", cancel).ConfigureAwait(false), cancel)
            .ConfigureAwait(false);

    /// <summary>Makes an image of the given tar. Its errors come under status 200, in the lines that tell the progress.</summary>
    internal async Task ImportImageAsync(string repository, string tag, HttpContent tar, CancellationToken cancel)
    {
        string doing = $"import the image {repository}:{tag}";
        string path = $"images/create?fromSrc=-&repo={Escape(repository)}&tag={Escape(tag)}";
        using HttpResponseMessage answer = await Http.SendAsync(HttpMethod.Post, path, tar, doing, Http.Stall, cancel).ConfigureAwait(false);
        await using GuardedStream body = await OpenAsync(answer, doing, cancel).ConfigureAwait(false);
        using var lines = new StreamReader(body);
        while (await lines.ReadLineAsync(cancel).ConfigureAwait(false) is { } line)
            if (line.Length > 0 && Deserialize(line)?.Error is { } error)
                throw EngineFailure.Refusal(Http.Environment, doing, HttpStatusCode.InternalServerError, error);

        ProgressLine? Deserialize(string line)
        {
            try
            {
                return JsonSerializer.Deserialize(line, DockerJson.Default.ProgressLine);
            }
            catch (JsonException e)
            {
                throw EngineFailure.Translate(Http.Environment, Http.Display, doing, e);
            }
        }
    }

    // ---- containers

    internal async Task<IReadOnlyList<ContainerItem>> ContainersAsync(CancellationToken cancel) => await OfNode.ContainersAsync(
        await Http.GetAsync("containers/json?all=1", DockerJson.Default.ContainerItemArray, "list the containers", cancel).ConfigureAwait(false), cancel).ConfigureAwait(false);

    internal Task<ContainerAnswer?> FindContainerAsync(string idOrName, CancellationToken cancel) =>
        Http.FindAsync($"containers/{Escape(idOrName)}/json", DockerJson.Default.ContainerAnswer, $"look at container {idOrName}", cancel);

    internal async Task<string> CreateContainerAsync(string name, ContainerRequest container, CancellationToken cancel) =>
        (await Http.PostAsync("containers/create?name=" + Escape(name), container, DockerJson.Default.ContainerRequest, DockerJson.Default.IdAnswer,
            $"create helper container {name}", cancel).ConfigureAwait(false)).Id;

    /// <param name="verb">start, stop, pause or unpause, with a query where one is needed.</param>
    internal Task ContainerVerbAsync(string id, string verb, TimeSpan timeout, CancellationToken cancel) =>
        Http.PostAsync($"containers/{Escape(id)}/{verb}", $"{verb.Split('?')[0]} container {Short(id)}", timeout, cancel);

    /// <summary>Kills it when it runs; its anonymous volumes go with it.</summary>
    internal Task DeleteContainerAsync(string id, CancellationToken cancel) =>
        Http.DeleteAsync($"containers/{Escape(id)}?force=1&v=1", $"remove helper container {Short(id)}", cancel);

    /// <summary>The last lines that a container without a terminal wrote.</summary>
    internal async Task<ExecOutput> LogsAsync(string id, CancellationToken cancel)
    {
        string doing = $"read the log of container {Short(id)}";
        using HttpResponseMessage answer = await Http.SendAsync(
            HttpMethod.Get, $"containers/{Escape(id)}/logs?stdout=1&stderr=1&tail=20", null, doing, DockerHttp.ShortCall, cancel).ConfigureAwait(false);
        await using GuardedStream body = await OpenAsync(answer, doing, cancel).ConfigureAwait(false);
        return await ExecOutput.ReadAsync(body, Http.Environment, doing, cancel).ConfigureAwait(false);
    }

    // ---- services of a swarm

    /// <param name="id">Null = all. An engine takes a prefix for an id, so others may be in the answer.</param>
    internal async Task<IReadOnlyList<ServiceAnswer>> ServicesAsync(string? id, CancellationToken cancel)
    {
        string path = "services?status=true";
        if (id is not null)
        {
            var filters = new Dictionary<string, string[]> { ["id"] = [id] };
            path += "&filters=" + Escape(JsonSerializer.Serialize(filters, DockerJson.Default.DictionaryStringStringArray));
        }
        return await Http.GetAsync(path, DockerJson.Default.ServiceAnswerArray, "list the services of the swarm", cancel).ConfigureAwait(false);
    }

    /// <summary>Gives a service a new spec; refused when it was changed since it was read.</summary>
    internal async Task UpdateServiceAsync(ServiceAnswer read, JsonObject spec, string doing, CancellationToken cancel) =>
        (await Http.SendAsync(HttpMethod.Post, string.Create(CultureInfo.InvariantCulture, $"services/{Escape(read.Id)}/update?version={read.Version.Index}"),
            DockerHttp.Json(spec, DockerJson.Default.JsonObject), doing, DockerHttp.ShortCall, cancel).ConfigureAwait(false)).Dispose();

    // ---- archive

    /// <summary>What is at a path inside a container, running or not; null when there is nothing.</summary>
    internal Task<PathStat?> StatAsync(string id, string path, CancellationToken cancel) => StatRawAsync(id, RawPath.Of(path), cancel);

    /// <param name="path">Bytes, each a char: names in a volume need not be UTF-8.</param>
    internal async Task<PathStat?> StatRawAsync(string id, string path, CancellationToken cancel)
    {
        string doing = $"look at {Snapshots.FileEntry.Display(path)} in container {Short(id)}";
        try
        {
            using HttpResponseMessage answer = await Http.SendAsync(
                HttpMethod.Head, ArchivePath(id, path), null, doing, DockerHttp.ShortCall, cancel).ConfigureAwait(false);
            if (!answer.Headers.TryGetValues(StatHeader, out IEnumerable<string>? values)) return null;
            string json = Encoding.UTF8.GetString(Convert.FromBase64String(values.First()));
            return JsonSerializer.Deserialize(json, DockerJson.Default.PathStat);
        }
        catch (EngineRefusalException e) when (e.Status == HttpStatusCode.NotFound)
        {
            return null;
        }
        catch (Exception e) when (e is FormatException or JsonException)
        {
            throw EngineFailure.Translate(Http.Environment, Http.Display, doing, new JsonException(e.Message, e));
        }
    }

    /// <summary>The tar of a path; only its own end proves it whole. Disposing the stream before its end cuts the connection.</summary>
    internal Task<Stream> ReadArchiveAsync(string id, string path, string doing, CancellationToken cancel) =>
        ReadArchiveRawAsync(id, RawPath.Of(path), doing, cancel);

    /// <param name="path">As <see cref="StatRawAsync"/> takes it.</param>
    internal async Task<Stream> ReadArchiveRawAsync(string id, string path, string doing, CancellationToken cancel)
    {
        if (Http.CanBlock)
            return await BlockingBody.OpenAsync(() =>
            {
                HttpResponseMessage bare = Http.GetBlocking(ArchivePath(id, path), doing, Http.Stall, cancel);
                return new GuardedStream(bare.Content.ReadAsStream(CancellationToken.None), Http, doing, bare);
            }).ConfigureAwait(false);
        HttpResponseMessage answer = await Http.SendAsync(HttpMethod.Get, ArchivePath(id, path), null, doing, Http.Stall, cancel).ConfigureAwait(false);
        return await OpenOrDisposeAsync(answer, doing, cancel).ConfigureAwait(false);
    }

    /// <summary>
    /// Extracts a pushed tar into a directory, owners and modes as in the tar. The engine loses setuid and setgid on a file that also has a hard link
    /// in the same tar (it sets the owner once more for the link).
    /// </summary>
    /// <exception cref="Exception">What <paramref name="write"/> threw, after the request was cut.</exception>
    internal async Task WriteArchiveAsync(string id, string path, string doing, Func<Stream, CancellationToken, Task> write, CancellationToken cancel)
    {
        using var answerDeadline = new CancellationTokenSource(Timeout.InfiniteTimeSpan, Http.Time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(cancel, answerDeadline.Token);
        using var body = new PushContent(
            async (stream, token) =>
            {
                await write(stream, token).ConfigureAwait(false);
                await stream.FlushAsync(token).ConfigureAwait(false);
                answerDeadline.CancelAfter(UploadAnswer);
            },
            stream => new GuardedStream(stream, Http, doing));
        try
        {
            (await Http.SendAsync(HttpMethod.Put, ArchivePath(id, RawPath.Of(path)), body, doing, Timeout.InfiniteTimeSpan, both.Token).ConfigureAwait(false)).Dispose();
        }
        catch (OperationCanceledException e) when (answerDeadline.IsCancellationRequested && !cancel.IsCancellationRequested)
        {
            throw new EnvironmentException(Http.Environment, $"cannot {doing}: no answer {UploadAnswer.TotalMinutes:0} minutes after the last byte",
                "look at the load and the disks of the engine's host, and at the engine's log", inner: e);
        }
        catch (Exception) when (body.Failure is not null && !cancel.IsCancellationRequested)
        {
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(body.Failure);
            throw;
        }
    }

    // ---- exec

    /// <param name="input">It will be given standard input.</param>
    /// <param name="variable"><c>NAME=value</c>, beside the container's own; null = none.</param>
    internal async Task<string> CreateExecAsync(
        string containerId, IReadOnlyList<string> command, bool input, string? variable, string doing, CancellationToken cancel) =>
        (await Http.PostAsync($"containers/{Escape(containerId)}/exec", new ExecRequest(command, input, true, true, false, variable is null ? null : [variable]),
            DockerJson.Default.ExecRequest, DockerJson.Default.IdAnswer, doing, cancel).ConfigureAwait(false)).Id;

    /// <summary>Starts it and reads what it writes until it ends. Without an upgrade of the connection, so that it passes every proxy.</summary>
    internal async Task<ExecOutput> StartExecAsync(string execId, string doing, CancellationToken cancel)
    {
        HttpContent body = DockerHttp.Json(new ExecStartRequest(false, false), DockerJson.Default.ExecStartRequest);
        using HttpResponseMessage answer = await Http.SendAsync(
            HttpMethod.Post, $"exec/{execId}/start", body, doing, Timeout.InfiniteTimeSpan, cancel).ConfigureAwait(false);
        // No limit for the head either: a gateway may hold it back until there is enough to send.
        await using Stream frames = await answer.Content.ReadAsStreamAsync(cancel).ConfigureAwait(false);
        return await ReadExecAsync(frames, doing, cancel).ConfigureAwait(false);
    }

    /// <summary>Without a stall limit: a command may be silent for as long as its own timeout allows.</summary>
    internal async Task<ExecOutput> ReadExecAsync(Stream frames, string doing, CancellationToken cancel)
    {
        try
        {
            return await ExecOutput.ReadAsync(frames, Http.Environment, doing, cancel).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or HttpRequestException && !cancel.IsCancellationRequested)
        {
            throw EngineFailure.Translate(Http.Environment, Http.Display, doing, e);
        }
    }

    /// <summary>Starts it and hands out the engine's frames as they come. Disposing cuts the connection, the command goes on.</summary>
    internal async Task<Stream> OpenExecAsync(string execId, string doing, CancellationToken cancel)
    {
        HttpContent body = DockerHttp.Json(new ExecStartRequest(false, false), DockerJson.Default.ExecStartRequest);
        HttpResponseMessage answer = await Http.SendAsync(HttpMethod.Post, $"exec/{execId}/start", body, doing, Http.Stall, cancel).ConfigureAwait(false);
        return await OpenOrDisposeAsync(answer, doing, cancel).ConfigureAwait(false);
    }

    /// <summary>Starts it over a connection that from then on carries its input, unframed, and its output, in frames; the answer's content is both.</summary>
    internal Task<HttpResponseMessage> AttachExecAsync(string execId, string doing, CancellationToken cancel) =>
        Http.UpgradeAsync($"exec/{execId}/start", DockerHttp.Json(new ExecStartRequest(false, false), DockerJson.Default.ExecStartRequest), doing, cancel);

    internal Task<ExecState> ExecStateAsync(string execId, string doing, CancellationToken cancel) =>
        Http.GetAsync($"exec/{execId}/json", DockerJson.Default.ExecState, doing, cancel);

    /// <summary>The first 12 characters of an id, as docker prints it; a name stays whole.</summary>
    internal static string Short(string id) => id.Length == 64 ? id[..12] : id;

    private static string ArchivePath(string id, string rawPath) => $"containers/{Escape(id)}/archive?path={RawPath.Escape(rawPath)}";

    private static string Escape(string text) => Uri.EscapeDataString(text);

    private async Task<GuardedStream> OpenAsync(HttpResponseMessage answer, string doing, CancellationToken cancel)
    {
        Stream body = await answer.Content.ReadAsStreamAsync(cancel).ConfigureAwait(false);
        return new GuardedStream(body, Http, doing, answer);
    }

    private async Task<GuardedStream> OpenOrDisposeAsync(HttpResponseMessage answer, string doing, CancellationToken cancel)
    {
        try
        {
            return await OpenAsync(answer, doing, cancel).ConfigureAwait(false);
        }
        catch
        {
            answer.Dispose();
            throw;
        }
    }

    public void Dispose() => Http.Dispose();
}
