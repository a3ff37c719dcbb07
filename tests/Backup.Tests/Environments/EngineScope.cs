using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Backup.Environments;
using Backup.Environments.Connections;

namespace Backup.Tests.Environments;

/// <param name="Source">A volume's name, or an absolute host path.</param>
public sealed record TestMount(string Source, string Target, bool ReadOnly = false);

/// <summary>What a test's container is like; by default a live one that runs a shell command of the host's programs over an empty image.</summary>
public sealed record TestContainer(string Command = "while :; do sleep 0.2; done")
{
    public IReadOnlyList<TestMount> Mounts { get; init; } = [];
    public IReadOnlyDictionary<string, string> Labels { get; init; } = new Dictionary<string, string>();
    public IReadOnlyDictionary<string, string> Variables { get; init; } = new Dictionary<string, string>();
    /// <summary>Null = the empty image.</summary>
    public string? Image { get; init; }
    /// <summary>Binds the host's programs and libraries, read-only. Off for images with programs of their own.</summary>
    public bool HostPrograms { get; init; } = true;
    public bool Start { get; init; } = true;
    public bool AutoRemove { get; init; }
    public int? StopTimeout { get; init; }
    /// <summary>Bytes; beyond them its processes are killed. Null = no limit.</summary>
    public long? Memory { get; init; }
    public string? Name { get; init; }
    /// <summary>It lives in the network and the pid namespace of this container.</summary>
    public string? NamespacesOf { get; init; }
    /// <summary>Asked ten times a second whether it is well; null = no health check.</summary>
    public string? HealthCommand { get; init; }
}

/// <summary>One test's corner of the engine: unique names, and everything removed at the end.</summary>
public sealed class EngineScope : IAsyncDisposable
{
    private const string Label = "backup.test";
    private static readonly string[] HostPaths = ["/usr", "/lib", "/lib64", "/bin"];

    private readonly EngineFixture _engine;
    private readonly List<string> _images = [];
    private readonly List<string> _folders = [];
    private readonly DockerEnvironment _environment;

    internal EngineScope(EngineFixture engine)
    {
        _engine = engine;
        Prefix = "bt" + RandomNumberGenerator.GetHexString(10, lowercase: true);
        _environment = NewEnvironment(engine.UnixConnection(), "scope");
    }

    /// <summary>Begins every name of this scope.</summary>
    public string Prefix { get; }

    public List<RunEvent> Events { get; } = [];

    internal DockerApi Api => _environment.Api;

    /// <summary>A context with the real clock and real chance; events are collected in <see cref="Events"/>.</summary>
    public RunContext Context() => new(TimeProvider.System, RandomNumberGenerator.Fill, new Collector(Events));

    public DockerEnvironment NewEnvironment(DockerConnection connection, string name) => new(name, connection, Context());

    /// <summary>Creates a volume, filled from a tar when one is given. Returns its name.</summary>
    public async Task<string> VolumeAsync(string suffix = "vol", byte[]? tar = null, IReadOnlyDictionary<string, string>? options = null)
    {
        string name = $"{Prefix}_{suffix}";
        await _environment.CreateVolumeAsync(
            new VolumeFacts(name, "local", options ?? new Dictionary<string, string>(), new Dictionary<string, string> { [Label] = Prefix }, "local", false), default);
        if (tar is not null) await FillAsync(SourceRef.Volume(name), tar);
        return name;
    }

    /// <summary>Creates a volume with the content of a host folder.</summary>
    public async Task<string> VolumeFromFolderAsync(string folder, string suffix = "vol")
    {
        string tar = Path.Combine(Folder("tar"), "content.tar");
        await HostProcess.RunAsync("tar", ["-C", folder, "--numeric-owner", "-cf", tar, "."]);
        return await VolumeAsync(suffix, await File.ReadAllBytesAsync(tar));
    }

    public Task FillAsync(SourceRef target, byte[] tar) =>
        _environment.FillAsync(target, "test" + Prefix, async (stream, cancel) => await stream.WriteAsync(tar, cancel), default);

    public Task<byte[]> ReadAsync(SourceRef source) => ReadAsync(_environment, source);

    public static async Task<byte[]> ReadAsync(IEnvironment environment, SourceRef source)
    {
        await using ISourceHandle handle = await environment.PrepareSourceAsync(source, "testread", default);
        await using Stream tar = await handle.OpenAsync(default);
        using var all = new MemoryStream();
        await tar.CopyToAsync(all);
        return all.ToArray();
    }

    /// <summary>A fresh folder of the host, removed with the scope.</summary>
    public string Folder(string suffix = "dir")
    {
        string path = Path.Combine(Path.GetTempPath(), $"{Prefix}-{suffix}-{_folders.Count}");
        Directory.CreateDirectory(path);
        _folders.Add(path);
        return path;
    }

    /// <summary>Creates (and starts) a container. Returns its id.</summary>
    public async Task<string> ContainerAsync(TestContainer? container = null)
    {
        container ??= new TestContainer();
        var mounts = new List<TestMount>(container.Mounts);
        if (container.HostPrograms) mounts.AddRange(HostPaths.Where(Directory.Exists).Select(p => new TestMount(p, p, true)));
        var labels = new JsonObject { [Label] = Prefix };
        foreach ((string key, string value) in container.Labels) labels[key] = value;
        var body = new JsonObject
        {
            ["Env"] = new JsonArray([.. container.Variables.Select(v => (JsonNode)$"{v.Key}={v.Value}")]),
            ["Image"] = container.Image ?? await EmptyImageAsync(),
            ["Cmd"] = new JsonArray("/bin/sh", "-c", container.Command),
            ["Labels"] = labels,
            ["HostConfig"] = new JsonObject
            {
                ["NetworkMode"] = container.NamespacesOf is { } host ? "container:" + host : "none",
                ["AutoRemove"] = container.AutoRemove,
                ["Init"] = false,
                ["Mounts"] = new JsonArray([.. mounts.Select(m => (JsonNode)new JsonObject
                {
                    ["Type"] = m.Source.StartsWith('/') ? "bind" : "volume", ["Source"] = m.Source, ["Target"] = m.Target, ["ReadOnly"] = m.ReadOnly,
                })]),
            },
        };
        if (container.Memory is { } memory) body["HostConfig"]!["Memory"] = memory;
        if (container.NamespacesOf is not null) body["HostConfig"]!["PidMode"] = "container:" + container.NamespacesOf;
        if (container.HealthCommand is { } health)
            body["Healthcheck"] = new JsonObject { ["Test"] = new JsonArray("CMD-SHELL", health), ["Interval"] = 100_000_000, ["Timeout"] = 2_000_000_000, ["Retries"] = 3 };
        // A shell as process 1 ignores SIGTERM; the tests must not wait for the engine's patience each time.
        body["StopTimeout"] = container.StopTimeout ?? 0;
        string name = container.Name ?? $"{Prefix}-{RandomNumberGenerator.GetHexString(6, lowercase: true)}";
        JsonNode answer = await PostAsync("containers/create?name=" + name, body);
        string id = (string)answer["Id"]!;
        if (container.Start) await Api.ContainerVerbAsync(id, "start", DockerHttp.ShortCall, default);
        return id;
    }

    /// <summary>An image without any file in it.</summary>
    public Task<string> EmptyImageAsync() => ImageAsync("empty", new byte[1024]);

    /// <summary>An image with a shell, rm, more programs where they are named, and what these need, copied from the host.</summary>
    public async Task<string> ShellImageAsync(params string[] more)
    {
        string[] programs = [.. new[] { "sh", "rm" }.Concat(more).Select(p => "/bin/" + p)];
        string libraries = await HostProcess.RunAsync("sh", ["-c", $"ldd {string.Join(' ', programs)} | grep -o '/[^ ]*' | grep -v ':$' | sort -u"]);
        return await ImageOfAsync("shell", programs.Concat(libraries.Split('\n')).Select(file => (file, file)));
    }

    /// <summary>An image with busybox under the names of its programs, as nearly every small image has them.</summary>
    public Task<string> BusyboxImageAsync() =>
        ImageOfAsync("busybox", new[] { "sh", "rm", "find", "stat", "dd", "sleep", "touch", "chmod", "cat" }.Select(name => ("/bin/busybox", "/bin/" + name)));

    private async Task<string> ImageOfAsync(string tag, IEnumerable<(string From, string To)> files)
    {
        string root = Folder("image");
        foreach ((string from, string to) in files)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(root + to)!);
            await HostProcess.RunAsync("cp", ["-L", from, root + to]);
        }
        string tar = Path.Combine(Folder("tar"), "image.tar");
        await HostProcess.RunAsync("tar", ["-C", root, "-cf", tar, "."]);
        return await ImageAsync(tag, await File.ReadAllBytesAsync(tar));
    }

    /// <summary>An empty image whose name ends like a published one's, such as <c>postgres:15</c>.</summary>
    public Task<string> EmptyImageAsync(string repository, string tag) => ImageAsync(tag, new byte[1024], "/" + repository);

    /// <summary>Imports an image from a tar of its files. Returns its name.</summary>
    public async Task<string> ImageAsync(string tag, byte[] tar, string repository = "")
    {
        string name = $"{Prefix}{repository}:{tag}";
        if (_images.Contains(name)) return name;
        using var content = new ByteArrayContent(tar);
        await Api.ImportImageAsync(Prefix + repository, tag, content, default);
        _images.Add(name);
        return name;
    }

    /// <summary>Runs the stock docker client against this engine.</summary>
    public Task<string> DockerAsync(params string[] arguments) => HostProcess.RunAsync("docker", ["-H", _engine.Url, .. arguments]);

    internal async Task<JsonNode> PostAsync(string path, JsonNode body)
    {
        using var content = new StringContent(body.ToJsonString(), System.Text.Encoding.UTF8, "application/json");
        using HttpResponseMessage answer = await Api.Http.SendAsync(HttpMethod.Post, path, content, "set up a test: " + path, DockerHttp.ShortCall, default);
        string text = await answer.Content.ReadAsStringAsync();
        return text.Length == 0 ? new JsonObject() : JsonNode.Parse(text)!;
    }

    /// <summary>An engine takes a container that Swarm removed off its list a moment before it lets go of its volumes.</summary>
    private async Task DeleteVolumeAsync(string name)
    {
        for (int left = 100; ; left--)
            try
            {
                await Api.DeleteVolumeAsync(name, default);
                return;
            }
            catch (EngineRefusalException e) when (left > 0 && e.Status == System.Net.HttpStatusCode.Conflict)
            {
                await Task.Delay(100);
            }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (ContainerItem container in (await Api.ContainersAsync(default)).Where(c => c.Labels?.GetValueOrDefault(Label) == Prefix)) await Api.DeleteContainerAsync(container.Id, default);
        foreach (VolumeAnswer volume in await Api.VolumesAsync(default))
            if (volume.Name.StartsWith(Prefix, StringComparison.Ordinal)) await DeleteVolumeAsync(volume.Name);
        foreach (string image in _images) await Api.Http.DeleteAsync($"images/{Uri.EscapeDataString(image)}?force=1", "clean up after a test", default);
        // Not by Directory.Delete: it cannot remove names that are not UTF-8.
        await HostProcess.RunAsync("rm", ["-rf", "--", .. _folders]);
        await _environment.DisposeAsync();
    }

    private sealed class Collector(List<RunEvent> events) : IProgress<RunEvent>
    {
        public void Report(RunEvent value)
        {
            lock (events) events.Add(value);
        }
    }
}
