using Backup.Environments;
using Backup.Environments.Connections;
using Backup.Policies;
using Backup.PortainerRig.Agent;
using Backup.Tests.Fakes;
using Shouldly;
using Xunit;

namespace Backup.Tests.Environments.Pieces;

/// <summary>A real engine behind an agent that cuts uploads, over a link on which one upload cannot carry it all.</summary>
[Collection("engine")]
public sealed class SplitFillTests(EngineFixture engine) : IAsyncLifetime
{
    private const int Limit = 120_000;
    private static readonly TimeSpan Upload = TimeSpan.FromSeconds(3);
    private readonly EngineScope _scope = engine.NewScope();
    private StrictAgent _agent = null!;
    private SlowLink _link = null!;
    private DockerEnvironment _far = null!;

    public async Task InitializeAsync()
    {
        _agent = await StrictAgent.StartAsync(new AgentSettings(engine.SocketPath) { UploadLimit = Upload });
        _link = new SlowLink(_agent.Url.Port, 1_000_000);
        var policy = new PortainerAgentConnectPolicy(new Uri($"https://127.0.0.1:{_link.Port}"), null, null, Pair: true, new TransferLimits(Upload, null));
        _far = _scope.NewEnvironment(PortainerAgentConnection.Create("far", policy, _scope.Folder("state"), _scope.Context()), "far");
    }

    public async Task DisposeAsync()
    {
        await _far.DisposeAsync();
        await _link.DisposeAsync();
        await _agent.DisposeAsync();
        await _scope.DisposeAsync();
    }

    private Task FillFarAsync(SourceRef target, byte[] tar) => _far.FillAsync(target, "farrun", async (stream, cancel) =>
    {
        foreach (byte[] piece in tar.Chunk(100_000)) await stream.WriteAsync(piece, cancel);
    }, default);

    private async Task NoHelpersAsync() => (await _far.InspectAsync(default)).Containers.ShouldNotContain(c => c.HelperOfRun != null);

    [Theory(Timeout = Limit)]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_volume_that_no_upload_can_carry_comes_back_byte_for_byte(bool busybox)
    {
        byte[] tar = await _scope.ReadAsync(SourceRef.Volume(await DifficultVolume.MakeAsync(_scope)));
        _ = busybox ? await _scope.BusyboxImageAsync() : await _scope.ShellImageAsync("dd", "touch", "chmod", "sleep");
        SourceRef target = SourceRef.Volume(await _scope.VolumeAsync("target"));

        await FillFarAsync(target, tar);

        DifficultVolume.Same(await _scope.ReadAsync(target), tar);
        _agent.Faults.UploadsCut.ShouldBeLessThan(2, "a stall of the machine may cut one; who does not end by himself is cut each time");
        _agent.Requests.Count(r => r.Method == "PUT").ShouldBeGreaterThan(8);
        await NoHelpersAsync();
    }

    [Fact(Timeout = Limit)]
    public async Task A_link_that_becomes_slower_costs_a_piece_and_not_the_restore()
    {
        byte[] tar = await _scope.ReadAsync(SourceRef.Volume(await DifficultVolume.MakeAsync(_scope)));
        await _scope.BusyboxImageAsync();
        SourceRef target = SourceRef.Volume(await _scope.VolumeAsync("target"));
        _link.BytesPerSecond = 8_000_000;

        await _far.FillAsync(target, "farrun", async (stream, cancel) =>
        {
            int written = 0;
            foreach (byte[] piece in tar.Chunk(100_000))
            {
                await stream.WriteAsync(piece, cancel);
                written += piece.Length;
                if (written > 2_500_000) _link.BytesPerSecond = 400_000;
                if (written > 4_000_000 && _agent.Faults.UploadsCut > 0) _link.BytesPerSecond = 1_500_000;
            }
        }, default);

        DifficultVolume.Same(await _scope.ReadAsync(target), tar);
        _agent.Faults.UploadsCut.ShouldBeGreaterThan(0, "the fault was never hit");
    }

    [Fact(Timeout = Limit)]
    public async Task Without_any_image_to_borrow_from_whole_files_pass_and_the_one_that_fits_no_upload_is_refused_by_name()
    {
        var random = new Random(1);
        TarItem File(string name, int size) => new(name, Content: string.Create(size, random, (chars, r) => { foreach (ref char c in chars) c = (char)r.Next(1, 256); }));
        TarItem[] small = [TarItem.Dir("d"), .. Enumerable.Range(0, 20).Select(i => File($"d/{i:00}", 200_000))];
        SourceRef target = SourceRef.Volume(await _scope.VolumeAsync("target"));
        await FillFarAsync(target, RawTar.OfDirectory(small));
        RawTar.Parse(await _scope.ReadAsync(target)).Where(i => i.Path.Length > 0).ShouldBe(small);
        _agent.Requests.Count(r => r.Method == "PUT").ShouldBeGreaterThan(4);

        int cut = _agent.Faults.UploadsCut;
        EnvironmentException e = await Should.ThrowAsync<EnvironmentException>(FillFarAsync(target, RawTar.OfDirectory(File("large.db", 6_000_000))));
        e.Problem.ShouldContain("large.db has 6 MB");
        e.Problem.ShouldContain("cuts an upload after 3 s");
        e.Hint.ShouldContain("ssh://");
        e.Hint.ShouldContain("docker pull busybox");
        _agent.Faults.UploadsCut.ShouldBe(cut, "nothing was tried that could not go well");
        await NoHelpersAsync();
    }
}
