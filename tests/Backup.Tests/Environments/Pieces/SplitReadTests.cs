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

    [Theory(Timeout = Limit)]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_volume_that_no_answer_can_hold_comes_as_the_very_tar_of_one_read(bool busybox)
    {
        SourceRef volume = SourceRef.Volume(await DifficultVolume.MakeAsync(_scope));
        string image = busybox ? await _scope.BusyboxImageAsync() : await _scope.ShellImageAsync("find", "stat", "dd", "sleep");
        byte[] wanted = await _scope.ReadAsync(volume);

        await using StrictAgent agent = await StartAsync(TimeSpan.FromSeconds(2));
        await using var link = new SlowLink(agent.Url.Port, 1_500_000);
        await using DockerEnvironment far = Open(new Uri($"https://127.0.0.1:{link.Port}"), TimeSpan.FromSeconds(2));
        byte[] tar = await EngineScope.ReadAsync(far, volume);

        DifficultVolume.Same(tar, wanted);
        agent.Faults.DownloadsCut.ShouldBeLessThan(2, "a stall of the machine may cut one; who does not end by himself is cut each time");
        agent.Requests.Count(r => r.Target.Contains("/archive?path=/data", StringComparison.Ordinal)).ShouldBeGreaterThan(3);
        agent.Requests.ShouldContain(r => r.Target.EndsWith("/start", StringComparison.Ordinal) && r.Target.Contains("/exec/", StringComparison.Ordinal));
        _scope.Events.OfType<RunEvent.Step>().ShouldHaveSingleItem().Text.ShouldContain("read on in pieces");
        (await far.InspectAsync(default)).Containers.ShouldNotContain(c => c.HelperOfRun != null);
        image.ShouldNotBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task An_engine_that_dies_again_and_again_under_clean_ends_is_read_on_until_nothing_is_missing()
    {
        SourceRef volume = SourceRef.Volume(await DifficultVolume.MakeAsync(_scope));
        await _scope.ShellImageAsync("find", "stat", "dd", "sleep");
        byte[] wanted = await _scope.ReadAsync(volume);

        await using StrictAgent agent = await StartAsync(AgentSettings.RealDownloadLimit);
        agent.Faults.EngineDiesAfter = 1_100_000;
        await using DockerEnvironment far = Open(agent.Url, AgentSettings.RealDownloadLimit);
        byte[] tar = await EngineScope.ReadAsync(far, volume);

        DifficultVolume.Same(tar, wanted);
        agent.Faults.Deaths.ShouldBeGreaterThan(3);
    }

    [Fact(Timeout = Limit)]
    public async Task Without_any_image_to_borrow_from_the_backup_fails_with_the_cure()
    {
        SourceRef volume = SourceRef.Volume(await DifficultVolume.MakeAsync(_scope));
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
        agent.Faults.DownloadsCut.ShouldBeLessThan(2, "a stall of the machine may cut one; who does not end by himself is cut each time");
    }
}
