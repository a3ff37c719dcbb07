using System.Text.Json.Nodes;
using Backup.Running;
using Backup.Streams;
using Backup.Tests.Environments;
using Backup.Tests.Fakes;
using Shouldly;
using Xunit;

namespace Backup.Tests.Running;

/// <summary>Disks that are full, at the store's end and at the journal's.</summary>
[Collection("engine")]
public sealed class FullDiskTests(EngineFixture engine) : IAsyncLifetime
{
    private const int Limit = 90_000;
    private readonly RunningScope _scope = new(engine);
    private readonly List<string> _mounted = [];

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (string folder in _mounted) await HostProcess.RunAsync("umount", [folder]);
        await _scope.DisposeAsync();
    }

    [Fact(Timeout = Limit)]
    public async Task A_store_that_fills_up_fails_that_volume_says_so_and_keeps_nothing_half()
    {
        await MountAsync(_scope.StorePath, "8m");
        string small = await _scope.VolumeAsync("a", "echo 1 > f"), large = await _scope.VolumeAsync("b", "head -c 30000000 /dev/urandom > f"), after = await _scope.VolumeAsync("c", "echo 2 > f");
        string user = await _scope.UserAsync(large);

        RunReport report = await _scope.RunAsync();

        RunFailure failure = report.Failures.ShouldHaveSingleItem();
        (failure.Volume, failure.Side).ShouldBe((large, "store"));
        failure.Problem.ShouldContain("full");
        report.Snapshots.Select(s => s.Snapshot.Volume).ShouldBe([small, after], "the others are safe, and what the large one took was given back");
        (await _scope.AllVerifyAsync()).Count.ShouldBe(2);
        (await _scope.KeysAsync()).ShouldNotContain(k => k.EndsWith(".pending", StringComparison.Ordinal));
        await _scope.NothingIsLeftAsync(user);
    }

    [Fact(Timeout = Limit)]
    public async Task Nothing_is_paused_while_the_journal_cannot_be_written()
    {
        await MountAsync(_scope.State, "64k");
        await FillAsync(_scope.State);
        string user = await _scope.UserAsync(await _scope.VolumeAsync("v", "echo 1 > f"));

        ProgramResult run = await _scope.ProgramAsync("run");

        run.ExitCode.ShouldBe(1, run.ToString());
        (run.Output + run.Error).ShouldContain(_scope.State);
        (await _scope.HappenedAsync(user)).ShouldBe(["create", "start"], "all that ever happened to the container");
        (await _scope.ListAsync()).ShouldBeEmpty();
        (await _scope.HelpersAsync()).ShouldBe(0);
    }

    [Fact(Timeout = Limit)]
    public async Task A_hook_is_not_run_when_its_undo_only_half_fits_the_disk_and_the_journal_stays_readable()
    {
        await MountAsync(_scope.State, "64k");
        string volume = await _scope.VolumeAsync("v", "echo 1 > f");
        string user = await _scope.UserAsync(volume);
        // The undo is longer than the rest of the page that the journal's first line lies on.
        _scope.Rule(volume, "quiesce", new JsonObject
        {
            ["before"] = new JsonArray("/bin/sh", "-c", "touch /v/frozen"), ["after"] = new JsonArray("/bin/sh", "-c", $": {new string('x', 6000)}"),
        });
        _scope.On = e =>
        {
            if (e is RunEvent.VolumeStarted) FillAsync(_scope.State).GetAwaiter().GetResult();
        };

        RunReport report = await _scope.RunAsync();

        RunFailure failure = report.Failures.ShouldHaveSingleItem();
        failure.Volume.ShouldBe(volume);
        failure.Problem.ShouldContain("journal");
        File.Exists(Path.Combine(await _scope.MountpointAsync(volume), "frozen")).ShouldBeFalse("the hook ran although its undo was not on the disk");
        (await _scope.ListAsync()).ShouldBeEmpty();
        await _scope.NothingIsLeftAsync(user);
    }

    [Fact(Timeout = Limit)]
    public async Task A_disk_that_others_fill_under_the_spool_makes_the_read_wait_for_the_store_and_is_told()
    {
        string folder = Path.Combine(_scope.Folder, "spool");
        await MountAsync(folder, "1500m");
        _scope.Spooling = context => new Spool(folder, null, context);
        string volume = await _scope.VolumeAsync("v", "head -c 60000000 /dev/urandom > f");
        string user = await _scope.UserAsync(volume);
        // Less than what stays free in any case is left.
        _scope.On = e => { if (e is RunEvent.ContainerQuiesced) HostProcess.RunAsync("fallocate", ["-l", "600M", $"{folder}/ballast"]).GetAwaiter().GetResult(); };

        await _scope.RunWellAsync();

        _scope.Warnings.ShouldContain(w => w.Contains("full", StringComparison.Ordinal) && w.Contains(folder, StringComparison.Ordinal));
        (await _scope.AllVerifyAsync()).ShouldHaveSingleItem();
        await _scope.NothingIsLeftAsync(user);
    }

    [Fact(Timeout = Limit)]
    public async Task A_spool_that_meets_the_end_of_its_disk_fails_that_volume_with_the_containers_up_and_the_space_given_back()
    {
        string folder = Path.Combine(_scope.Folder, "spool");
        await MountAsync(folder, "64m");
        // Nobody looks at what is free: only the disk itself says no.
        _scope.Spooling = context => new Spool(folder, null, context, floor: long.MinValue / 2);
        string volume = await _scope.VolumeAsync("v", "head -c 60000000 /dev/urandom > f"), small = await _scope.VolumeAsync("w", "echo 1 > f");
        string user = await _scope.UserAsync(volume);
        _scope.On = e => { if (e is RunEvent.ContainerQuiesced) FillAsync(folder).GetAwaiter().GetResult(); };
        var slow = new List<StalledObjectStore>();
        _scope.Wrap = inner => { var store = new StalledObjectStore(inner); slow.Add(store); return store; };
        _scope.On += e => { if (e is RunEvent.VolumeFailed) slow.ForEach(s => s.Open()); };

        RunReport report = await _scope.RunAsync();

        RunFailure failure = report.Failures.ShouldHaveSingleItem();
        failure.Volume.ShouldBe(volume);
        failure.Problem.ShouldContain(folder);
        report.Snapshots.ShouldHaveSingleItem().Snapshot.Volume.ShouldBe(small);
        File.Delete(Path.Combine(folder, "ballast"));
        new DriveInfo(folder).AvailableFreeSpace.ShouldBeGreaterThan(63 << 20, "the spool's space was not given back");
        await _scope.NothingIsLeftAsync(user);
    }

    private async Task MountAsync(string folder, string size)
    {
        Directory.CreateDirectory(folder);
        await HostProcess.RunAsync("mount", ["-t", "tmpfs", "-o", $"size={size}", "tmpfs", folder]);
        _mounted.Add(folder);
    }

    private static Task FillAsync(string folder) => HostProcess.RunAsync("bash", ["-c", $"cat /dev/zero > '{folder}/ballast' 2> /dev/null || true"]);
}
