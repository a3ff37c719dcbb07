using Backup.Running;
using Backup.Tests.Environments;
using Backup.Tests.Fakes;
using Backup.Tests.Stores;
using Shouldly;
using Xunit;

namespace Backup.Tests.Running;

/// <summary>On a real engine: held containers wait for the read, whatever the store does.</summary>
[Collection("engine")]
public sealed class SpooledRunTests(EngineFixture engine, S3Fixture s3) : IClassFixture<S3Fixture>, IAsyncLifetime
{
    private const int Limit = 90_000;
    private readonly RunningScope _scope = new(engine);
    private string _volume = "", _user = "";

    public async Task InitializeAsync()
    {
        // More than all buffers of the program together.
        _volume = await _scope.VolumeAsync("v", "head -c 100000000 /dev/urandom > f");
        _user = await _scope.UserAsync(_volume);
    }

    public async Task DisposeAsync() => await _scope.DisposeAsync();

    [Fact(Timeout = Limit)]
    public async Task Containers_come_back_although_the_store_hangs()
    {
        StalledObjectStore store = null!;
        _scope.Wrap = inner => store = new StalledObjectStore(inner);
        var back = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _scope.On = e => { if (e is RunEvent.ContainerResumed) back.TrySetResult(); };

        Task<RunReport> run = _scope.RunAsync();
        await back.Task;
        while (store.Stalled == 0) await Task.Delay(10);
        run.IsCompleted.ShouldBeFalse();
        (await _scope.StateOfAsync(_user)).ShouldBe("running");
        Directory.EnumerateFileSystemEntries(_scope.State).Select(Path.GetFileName).ShouldNotContain("spool");

        store.Open();
        (await run).Failures.ShouldBeEmpty();
        await _scope.AllVerifyAsync();
        await _scope.NothingIsLeftAsync(_user);
    }

    [Fact(Timeout = Limit)]
    public async Task A_store_that_fails_while_it_is_read_leaves_nobody_held_and_no_space_taken()
    {
        var faulty = new List<FaultyObjectStore>();
        _scope.Wrap = inner =>
        {
            var store = new FaultyObjectStore(inner, (op, key) => op == "write" && key.EndsWith(".tar.zst", StringComparison.Ordinal) ? Fault.Fail("the disk behind the store died") : null);
            faulty.Add(store);
            return store;
        };
        RunReport report = await _scope.RunAsync();
        report.Failures.ShouldHaveSingleItem().Side.ShouldBe("store");
        faulty.Sum(f => f.Hits).ShouldBeGreaterThan(0);
        await _scope.NothingIsLeftAsync(_user);
        (await _scope.ListAsync()).ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task A_run_that_is_killed_while_the_store_hangs_leaves_no_spool_and_no_space_taken()
    {
        S3Server server = await s3.CephAsync();
        await using var line = new FaultProxy(server.Url.Port);
        line.FailFirst(1000, r => r.Target.Contains("partNumber", StringComparison.OrdinalIgnoreCase), new ProxyFault.StallRequest(0));
        _scope.UseS3(server, line.Url);
        Directory.CreateDirectory(_scope.State);
        await HostProcess.RunAsync("mount", ["-t", "tmpfs", "-o", "size=3g", "tmpfs", _scope.State]);
        try
        {
            long before = Taken();
            using RunningProgram run = _scope.StartProgram("run");
            // A fast read fills the spool before the first part is made.
            while ((Taken() - before < 20_000_000 || line.Hits == 0) && !run.Ended) await Task.Delay(10);
            run.Ended.ShouldBeFalse();
            run.KillHard();
            await run.EndAsync();
            Directory.EnumerateFileSystemEntries(_scope.State).Select(Path.GetFileName).ShouldNotContain("spool");
            (Taken() - before).ShouldBeLessThan(1_000_000);
            (await _scope.ProgramAsync("recover")).ExitCode.ShouldBe(0);
            await _scope.NothingIsLeftAsync(_user);
        }
        finally
        {
            await HostProcess.RunAsync("umount", [_scope.State]);
        }
    }

    private long Taken()
    {
        var disk = new DriveInfo(_scope.State);
        return disk.TotalSize - disk.AvailableFreeSpace;
    }
}
