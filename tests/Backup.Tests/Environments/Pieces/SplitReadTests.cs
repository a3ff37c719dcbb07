using Backup.Environments;
using Backup.Environments.Connections;
using Backup.Policies;
using Backup.PortainerRig.Agent;
using Backup.Snapshots;
using Backup.Tests.Fakes;
using Shouldly;
using Xunit;

namespace Backup.Tests.Environments.Pieces;

/// <summary>A real engine behind an agent that cuts answers, over a link on which one answer cannot hold it all.</summary>
[Collection("engine")]
public sealed class SplitReadTests(EngineFixture engine) : IAsyncLifetime
{
    private const int Limit = 120_000;
    private readonly EngineScope _scope = engine.NewScope();

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync() => await _scope.DisposeAsync();

    private DockerEnvironment Open(Uri url, TimeSpan download) => _scope.NewEnvironment(PortainerAgentConnection.Create("far",
        new PortainerAgentConnectPolicy(url, null, null, Pair: true, new TransferLimits(null, download)), _scope.Folder("state"), _scope.Context()), "far");

    private Task<StrictAgent> StartAsync(TimeSpan download) => StrictAgent.StartAsync(new AgentSettings(engine.SocketPath) { DownloadLimit = download });

    /// <summary>About 7 MB with everything that is difficult: names, hard links near and far, a file that no single answer holds.</summary>
    private async Task<string> VolumeAsync()
    {
        string name = await _scope.VolumeAsync("tree");
        string mountpoint = await _scope.DockerAsync("volume", "inspect", "-f", "{{.Mountpoint}}", name);
        await HostProcess.RunAsync("bash", ["-euc", $$"""
            cd '{{mountpoint}}'
            mkdir -p a/deep/er b '.hidden dir' "$(printf 'latin1-\351\377')" z; chmod 1777 z; chown 70:71 b
            for i in 1 2 3 4 5 6; do head -c 300000 /dev/urandom > a/$i; done
            head -c 3000000 /dev/urandom > b/big; chmod 4755 b/big; touch -d @1600000000 b/big
            for i in $(seq 100 140); do head -c 2000 /dev/urandom > a/deep/er/$i; done
            head -c 200000 /dev/urandom > a/deep/linked; ln a/deep/linked b/linked; ln a/deep/linked z/linked; ln -s ../a b/symlink; ln b/symlink z/symlink
            head -c 1000000 /dev/urandom > '.hidden dir/first'
            echo 1 > "$(printf 'latin1-\351\377')/$(printf 'new\nline %% \\ "quote" \047')"; echo 2 > "z/$(printf '文件')"
            head -c 400000 /dev/urandom > "z/$(printf 'n%.0s' $(seq 200))"; ln "z/$(printf 'n%.0s' $(seq 200))" zz-late
            mkfifo z/fifo; mknod z/null c 1 3; head -c 600000 /dev/urandom > z/last
            python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("z/socket")' 2>/dev/null || true
            """]);
        return name;
    }

    private static void Same(byte[] tar, byte[] wanted)
    {
        int same = tar.AsSpan().CommonPrefixLength(wanted);
        int from = same / 512 * 512;
        if (same < wanted.Length || tar.Length != wanted.Length)
            Assert.Fail($"they differ at byte {same} of {tar.Length} and {wanted.Length}:\n{Text(tar, from)}\n{Text(wanted, from)}");

        static string Text(byte[] bytes, int from) => string.Concat(bytes.Skip(from).Take(512).Select(b => b is >= 32 and < 127 ? ((char)b).ToString() : b == 0 ? "." : $"\\{b:x2}"));
    }

    [Theory(Timeout = Limit)]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_volume_that_no_answer_can_hold_comes_as_the_very_tar_of_one_read(bool busybox)
    {
        SourceRef volume = SourceRef.Volume(await VolumeAsync());
        string image = busybox ? await _scope.BusyboxImageAsync() : await _scope.ShellImageAsync("find", "stat", "dd", "sleep");
        byte[] wanted = await _scope.ReadAsync(volume);

        await using StrictAgent agent = await StartAsync(TimeSpan.FromSeconds(2));
        await using var link = new SlowLink(agent.Url.Port, 1_500_000);
        await using DockerEnvironment far = Open(new Uri($"https://127.0.0.1:{link.Port}"), TimeSpan.FromSeconds(2));
        byte[] tar = await EngineScope.ReadAsync(far, volume);

        Same(tar, wanted);
        agent.Faults.DownloadsCut.ShouldBe(0, "each read ended by itself");
        agent.Requests.Count(r => r.Target.Contains("/archive?path=/data", StringComparison.Ordinal)).ShouldBeGreaterThan(3);
        agent.Requests.ShouldContain(r => r.Target.EndsWith("/start", StringComparison.Ordinal) && r.Target.Contains("/exec/", StringComparison.Ordinal));
        _scope.Events.OfType<RunEvent.Step>().ShouldHaveSingleItem().Text.ShouldContain("read on in pieces");
        (await far.InspectAsync(default)).Containers.ShouldNotContain(c => c.HelperOfRun != null);
        image.ShouldNotBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task An_engine_that_dies_again_and_again_under_clean_ends_is_read_on_until_nothing_is_missing()
    {
        SourceRef volume = SourceRef.Volume(await VolumeAsync());
        await _scope.ShellImageAsync("find", "stat", "dd", "sleep");
        byte[] wanted = await _scope.ReadAsync(volume);

        await using StrictAgent agent = await StartAsync(AgentSettings.RealDownloadLimit);
        agent.Faults.EngineDiesAfter = 1_100_000;
        await using DockerEnvironment far = Open(agent.Url, AgentSettings.RealDownloadLimit);
        byte[] tar = await EngineScope.ReadAsync(far, volume);

        Same(tar, wanted);
        agent.Faults.Deaths.ShouldBeGreaterThan(3);
    }

    [Fact(Timeout = Limit)]
    public async Task Without_any_image_to_borrow_from_the_backup_fails_with_the_cure()
    {
        SourceRef volume = SourceRef.Volume(await VolumeAsync());
        await using StrictAgent agent = await StartAsync(AgentSettings.RealDownloadLimit);
        agent.Faults.EngineDiesAfter = 1_100_000;
        await using DockerEnvironment far = Open(agent.Url, AgentSettings.RealDownloadLimit);
        EnvironmentException e = await Should.ThrowAsync<EnvironmentException>(EngineScope.ReadAsync(far, volume));
        e.Problem.ShouldContain("may last 30 minutes");
        e.Problem.ShouldContain("no image on that host");
        e.Hint.ShouldContain("ssh://");
        e.Hint.ShouldContain("docker pull busybox");
        agent.Faults.Deaths.ShouldBe(1);
    }

    [Fact(Timeout = Limit)]
    public async Task A_bound_file_that_no_answer_can_hold_is_read_in_ranges()
    {
        string folder = _scope.Folder("bind");
        await HostProcess.RunAsync("bash", ["-euc", $"head -c 5000000 /dev/urandom > '{folder}/.big file'"]);
        SourceRef file = SourceRef.Bind($"{folder}/.big file");
        await _scope.BusyboxImageAsync();
        byte[] wanted = await _scope.ReadAsync(file);

        await using StrictAgent agent = await StartAsync(TimeSpan.FromSeconds(2));
        await using var link = new SlowLink(agent.Url.Port, 1_500_000);
        await using DockerEnvironment far = Open(new Uri($"https://127.0.0.1:{link.Port}"), TimeSpan.FromSeconds(2));
        (await EngineScope.ReadAsync(far, file)).AsSpan().SequenceEqual(wanted).ShouldBeTrue();
        agent.Faults.DownloadsCut.ShouldBe(0);
    }
}
