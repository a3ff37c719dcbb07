using System.Text.Json.Nodes;
using Backup.Environments;
using Backup.Environments.Connections;
using Backup.Policies;
using Backup.PortainerRig.Agent;
using Backup.PortainerRig.Server;
using Backup.Running;
using Backup.Snapshots;
using Backup.Streams;
using Backup.Tests.Environments;
using Backup.Tests.Environments.Pieces;
using Backup.Tests.Fakes;
using Backup.Tests.Running;
using Shouldly;
using Xunit;

namespace Backup.Tests.Portainer;

/// <summary>A host with nothing but images without a shell: what no single answer holds is read on by the agent's own file browser.</summary>
[Collection("engine")]
public sealed class BrowsedReadTests(EngineFixture engine) : IAsyncLifetime
{
    private const int Limit = 90_000;
    private static readonly TimeSpan Download = TimeSpan.FromSeconds(3);
    /// <summary>A read of 2.4 s holds half of the large file.</summary>
    private const double Rate = 3_000_000;

    private readonly RunningScope _scope = new(engine);
    private readonly List<IAsyncDisposable> _started = [];

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (IAsyncDisposable part in Enumerable.Reverse(_started)) await part.DisposeAsync();
        await _scope.DisposeAsync();
    }

    /// <summary>No names that are not UTF-8. Either with hard links, or with a file that no read holds.</summary>
    private async Task<SourceRef> VolumeAsync(bool links)
    {
        string name = await DifficultVolume.MakeAsync(_scope.Engine);
        await _scope.ShellAsync(name, "rm -r latin1*; " + (links ? ":" : "head -c 14000000 /dev/urandom > b/big; rm b/linked z/linked z/symlink zz-late"));
        return SourceRef.Volume(name);
    }

    /// <summary>An agent, and its container, whose mount says what it sees.</summary>
    private async Task<StrictAgent> AgentAsync(TimeSpan download, bool sees = true)
    {
        string volumes = (await _scope.Engine.DockerAsync("info", "-f", "{{.DockerRootDir}}")) + "/volumes";
        StrictAgent agent = await StrictAgent.StartAsync(new AgentSettings(engine.SocketPath) { DownloadLimit = download, VolumesRoot = sees ? volumes : null });
        _started.Add(agent);
        await _scope.Engine.ContainerAsync(new TestContainer
        {
            Image = await _scope.Engine.EmptyImageAsync("portainer/agent", "2.23.0"),
            Mounts = sees ? [new TestMount(volumes, "/var/lib/docker/volumes", ReadOnly: true)] : [],
        });
        return agent;
    }

    private int Slowly(Uri url, double rate)
    {
        var link = new SlowLink(url.Port, rate);
        _started.Add(link);
        return link.Port;
    }

    /// <param name="port">Null = over the slow link.</param>
    private DockerEnvironment Open(StrictAgent agent, int? port = null) => _scope.Engine.NewEnvironment(PortainerAgentConnection.Create("far",
        new PortainerAgentConnectPolicy(new Uri($"https://127.0.0.1:{port ?? Slowly(agent.Url, Rate)}"), null, null, Pair: true, new TransferLimits(null, agent.Settings.DownloadLimit)),
        _scope.Engine.Folder("state"), _scope.Engine.Context()), "far");

    private async Task<DockerEnvironment> OpenAsync(StrictAgent agent, string serverVersion)
    {
        StrictServer server = await StrictServer.StartAsync(
            new ServerSettings { Https = false, Version = serverVersion, Environments = [new(1, "far", EnvironmentType.Agent, agent.Url)] });
        _started.Add(server);
        string key = Path.Combine(_scope.Folder, "key");
        await File.WriteAllTextAsync(key, ServerSettings.AdministratorKey);
        File.SetUnixFileMode(key, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        var policy = new PortainerConnectPolicy(new Uri($"http://127.0.0.1:{Slowly(server.Url, Rate)}"), new Secret("file:" + key, "$.apiKey"), "far", null, new TransferLimits(null, Download));
        return _scope.Engine.NewEnvironment(PortainerServerConnection.Create("far", policy, _scope.Engine.Context()), "far");
    }

    private IEnumerable<string> Warnings => _scope.Engine.Events.OfType<RunEvent.Warning>().Select(w => w.Problem);

    [Fact(Timeout = Limit)]
    public async Task A_volume_comes_as_the_very_tar_of_one_read_also_through_a_server_that_passes_ranges()
    {
        SourceRef volume = await VolumeAsync(links: false);
        byte[] wanted = await _scope.Engine.ReadAsync(volume);
        StrictAgent agent = await AgentAsync(Download);
        await using DockerEnvironment far = await OpenAsync(agent, "2.30.1");

        DifficultVolume.Same(await EngineScope.ReadAsync(far, volume), wanted);

        agent.Requests.ShouldContain(r => r.Target.StartsWith("/v2/browse/ls", StringComparison.Ordinal));
        agent.Requests.ShouldContain(r => r.Target.StartsWith("/v2/browse/get", StringComparison.Ordinal) && r.Headers.ContainsKey("Range"));
        agent.Requests.ShouldNotContain(r => r.Target.Contains("/exec", StringComparison.Ordinal));
        (await far.InspectAsync(default)).Containers.ShouldNotContain(c => c.HelperOfRun != null);
    }

    [Fact(Timeout = Limit)]
    public async Task Names_of_one_file_may_come_as_files_of_their_own_which_is_said()
    {
        SourceRef volume = await VolumeAsync(links: true);
        byte[] wanted = await _scope.Engine.ReadAsync(volume);
        StrictAgent agent = await AgentAsync(AgentSettings.RealDownloadLimit);
        agent.Faults.EngineDiesAfter = 1_100_000;
        await using DockerEnvironment far = Open(agent, agent.Url.Port);

        byte[] tar = await EngineScope.ReadAsync(far, volume);

        agent.Faults.Deaths.ShouldBeGreaterThan(3);
        Warnings.Count(w => w.Contains("tells no hard links", StringComparison.Ordinal)).ShouldBe(1);
        // Nothing is missing, nothing is more: what is another name of a file there is one, or has its content, here.
        Contents(tar).ShouldBe(Contents(wanted));
    }

    /// <summary>By path, the content that is found under it.</summary>
    private static Dictionary<string, string> Contents(byte[] tar)
    {
        var entries = new List<FileEntry>();
        var scan = new TarScan(entries.Add);
        scan.Push(tar);
        scan.Complete();
        var contents = new Dictionary<string, string>();
        foreach (FileEntry e in entries)
            contents[e.RawPath] = e.Type == FileType.HardLink ? contents[e.RawLink!] : $"{e.Type} {e.RawLink} {e.Size} {Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(tar.AsSpan((int)e.DataOffset, (int)e.Size)))}";
        return contents;
    }

    [Fact(Timeout = Limit)]
    public async Task A_server_that_drops_which_part_is_wanted_and_an_agent_that_sees_nothing_are_told_with_the_cure()
    {
        SourceRef volume = await VolumeAsync(links: false);
        StrictAgent seeing = await AgentAsync(Download);
        await using (DockerEnvironment far = await OpenAsync(seeing, "2.33.5"))
        {
            EnvironmentException e = await Should.ThrowAsync<EnvironmentException>(EngineScope.ReadAsync(far, volume));
            e.Problem.ShouldContain("'b/big' takes longer than one answer may last");
            e.Problem.ShouldContain("as Portainer servers since 2.31 do");
            e.Hint.ShouldContain("docker pull busybox");
        }
        foreach (string id in (await _scope.Engine.DockerAsync("ps", "-q", "--filter", $"ancestor={_scope.Engine.Prefix}/portainer/agent:2.23.0")).Split('\n'))
            await _scope.Engine.DockerAsync("rm", "-f", id);
        StrictAgent blind = await AgentAsync(Download, sees: false);
        await using (DockerEnvironment far = Open(blind))
        {
            EnvironmentException e = await Should.ThrowAsync<EnvironmentException>(EngineScope.ReadAsync(far, volume));
            e.Problem.ShouldContain("no image on that host");
            e.Problem.ShouldContain("does not see the host's volumes");
            e.Problem.ShouldContain("/volumes:/var/lib/docker/volumes");
            e.Hint.ShouldContain("docker pull busybox");
        }
    }

    /// <summary>At 30 MB/s a read of 8 s holds four fifths of it.</summary>
    [Fact(Timeout = 180_000)]
    public async Task A_file_of_300_MB_passes_an_agent_that_cuts_answers_after_10_s()
    {
        string volume = await _scope.VolumeAsync("huge", "head -c 300000000 /dev/urandom > one; echo 2 > two");
        StrictAgent agent = await AgentAsync(TimeSpan.FromSeconds(10));
        JsonNode near = _scope.Environments[RunningScope.Local]!;
        JsonNode far = near.DeepClone();
        far["connect"] = new JsonObject
        {
            ["type"] = "portainer-agent", ["url"] = $"https://127.0.0.1:{Slowly(agent.Url, 30_000_000)}", ["pair"] = true, ["limits"] = new JsonObject { ["download"] = "10s" },
        };
        _scope.Environments["far"] = far;

        RunReport report = await _scope.RunWellAsync();

        Snapshot[] made = [.. report.Snapshots.Select(s => s.Snapshot)];
        made.Select(s => s.Environment).Order().ShouldBe(["far", RunningScope.Local]);
        made[0].Sha256.ShouldBe(made[1].Sha256);
        made.ShouldAllBe(s => s.Volume == volume && s.Bytes > 300_000_000);
        agent.Requests.ShouldContain(r => r.Target.StartsWith("/v2/browse/get", StringComparison.Ordinal));
        await _scope.NothingIsLeftAsync();
    }
}
