using System.Security.Cryptography;
using Xunit;

namespace Backup.Tests.Environments;

/// <summary>An engine of its own in swarm mode, as its only manager: other tests' engine stays as it is.</summary>
public sealed class SwarmFixture : IAsyncLifetime
{
    public EngineFixture Engine { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        Engine = await EngineFixture.OwnAsync(Path.Combine(Path.GetTempPath(), "bt" + RandomNumberGenerator.GetHexString(8, lowercase: true)));
        await HostProcess.RunAsync("docker", ["-H", Engine.Url, "swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:0"]);
    }

    public async Task DisposeAsync()
    {
        await HostProcess.RunAsync("docker", ["-H", Engine.Url, "swarm", "leave", "--force"]);
        await Engine.DisposeAsync();
    }

    /// <summary>A service of the host's programs over an empty image, made by the stock client. Returns its id when its tasks run.</summary>
    /// <param name="replicas">Null = a global one.</param>
    /// <param name="mount">A volume that is mounted at /v; null = none.</param>
    public async Task<string> ServiceAsync(EngineScope scope, string name, int? replicas, string? mount = null, params string[] options)
    {
        string[] binds = [.. new[] { "/usr", "/lib", "/lib64", "/bin" }.Where(Directory.Exists).SelectMany(p => new[] { "--mount", $"type=bind,source={p},target={p},readonly" })];
        string[] count = replicas is { } n ? ["--replicas", $"{n}"] : ["--mode", "global"];
        string id = await scope.DockerAsync(["service", "create", "--detach", "--no-resolve-image", "--name", name, "--stop-grace-period", "1s", .. count, .. binds,
            .. mount is null ? Array.Empty<string>() : ["--mount", $"type=volume,source={mount},target=/v"], .. options,
            await scope.EmptyImageAsync(), "/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]);
        while (await TasksAsync(scope, name) != (replicas ?? 1)) await Task.Delay(100);
        return id.Split('\n')[0];
    }

    /// <summary>How many tasks of a service run.</summary>
    public static async Task<int> TasksAsync(EngineScope scope, string name) =>
        (await scope.DockerAsync("ps", "-q", "--filter", $"label=com.docker.swarm.service.name={name}")).Split('\n', StringSplitOptions.RemoveEmptyEntries).Length;

    public static Task<string> SpecAsync(EngineScope scope, string name) => scope.DockerAsync("service", "inspect", "--format", "{{json .Spec}}", name);

    /// <summary>Returns when its containers are gone, which use volumes until then.</summary>
    public static async Task RemoveAsync(EngineScope scope, string name)
    {
        await scope.DockerAsync("service", "rm", name);
        while ((await scope.DockerAsync("ps", "-aq", "--filter", $"label=com.docker.swarm.service.name={name}")).Length > 0) await Task.Delay(100);
    }
}

[CollectionDefinition("swarm")]
public sealed class SwarmCollection : ICollectionFixture<SwarmFixture>;
