using Backup.Environments;
using Backup.Running;
using Backup.Streams;
using Backup.Tests.Environments;
using Backup.Tests.Fakes;
using Shouldly;
using Xunit;

namespace Backup.Tests.Running;

/// <summary>A source that breaks while it is read.</summary>
[Collection("engine")]
public sealed class BrokenSourceTests(EngineFixture engine) : IAsyncLifetime
{
    private readonly RunningScope _scope = new(engine);

    public Task InitializeAsync() => Task.CompletedTask;
    public async Task DisposeAsync() => await _scope.DisposeAsync();

    [Fact(Timeout = 90_000)]
    public async Task A_file_that_shrinks_while_it_is_read_is_read_again_and_never_committed_short()
    {
        string volume = await _scope.VolumeAsync("v", "truncate -s 96M big; echo end > z");
        string user = await _scope.UserAsync(volume);
        await AtEachDataObjectAsync(volume, "truncate -s 1M big");

        RunReport report = await _scope.RunWellAsync();

        report.Snapshots.ShouldHaveSingleItem().Snapshot.Bytes.ShouldBeLessThan(2 << 20, "the second read, of the small file");
        _scope.Warnings.ShouldContain(w => w.Contains(volume, StringComparison.Ordinal) && w.Contains("once more", StringComparison.Ordinal));
        (await _scope.AllVerifyAsync()).Count.ShouldBe(1);
        (await _scope.KeysAsync()).Count.ShouldBe(3, "nothing of the first try is kept");
        await _scope.NothingIsLeftAsync(user);
    }

    [Fact(Timeout = 90_000)]
    public async Task Files_that_shrink_on_both_reads_are_a_failure_and_no_snapshot()
    {
        string volume = await _scope.VolumeAsync("v", "truncate -s 96M a; truncate -s 96M b");
        string user = await _scope.UserAsync(volume);
        await AtEachDataObjectAsync(volume, "truncate -s 1M a", "truncate -s 1M b");

        RunReport report = await _scope.RunAsync();

        RunFailure failure = report.Failures.ShouldHaveSingleItem();
        (failure.Volume, failure.Side, failure.NeedsPerson).ShouldBe((volume, "source", false));
        report.Snapshots.ShouldBeEmpty();
        (await _scope.ListAsync()).ShouldBeEmpty();
        (await _scope.KeysAsync()).ShouldBeEmpty();
        await _scope.NothingIsLeftAsync(user);
    }

    /// <summary>Runs the n-th script in the volume when the n-th data object gets its first bytes: the rest of the tar is still being read then.</summary>
    private async Task AtEachDataObjectAsync(string volume, params string[] scripts)
    {
        string mountpoint = await _scope.MountpointAsync(volume);
        WaitForTheStore(_scope);
        var begun = new HashSet<string>();
        _scope.Wrap = store => new FaultyObjectStore(store, (op, key) =>
        {
            if (op == "write" && key.EndsWith(".tar.zst", StringComparison.Ordinal) && begun.Add(key) && begun.Count <= scripts.Length)
                HostProcess.RunAsync("bash", ["-euc", $"cd '{mountpoint}'; {scripts[begun.Count - 1]}"]).GetAwaiter().GetResult();
            return null;
        });
    }

    /// <summary>Without room in the spool a read goes no further than the store has taken; else it may be over before the store gets its first byte.</summary>
    private static void WaitForTheStore(RunningScope scope) => scope.Spooling = context => new Spool(scope.State, 0, context);

    [Fact(Timeout = 150_000)]
    public async Task An_engine_that_dies_in_the_middle_of_a_read_is_blamed_and_the_next_run_works()
    {
        string directory = Path.Combine(Path.GetTempPath(), "bt-dying-" + Environment.ProcessId);
        EngineFixture own = await EngineFixture.OwnAsync(directory);
        try
        {
            var scope = new RunningScope(own);
            string volume = await scope.VolumeAsync("v", "truncate -s 192M big");
            await scope.UserAsync(volume);
            int killed = 0;
            WaitForTheStore(scope);
            scope.Wrap = store => new FaultyObjectStore(store, (op, key) =>
            {
                if (op == "write" && key.EndsWith(".tar.zst", StringComparison.Ordinal) && Interlocked.Exchange(ref killed, 1) == 0)
                    HostProcess.RunAsync("bash", ["-c", $"kill -9 $(cat {directory}/dockerd.pid)"]).GetAwaiter().GetResult();
                return null;
            });

            RunReport report = await scope.RunAsync();

            killed.ShouldBe(1);
            report.Snapshots.ShouldBeEmpty();
            report.Failures.ShouldContain(f => f.Volume == volume && f.Side == "source");
            report.NeedsPerson.ShouldBeTrue("the container could not be brought back: nobody answered");
            (await scope.ListAsync()).ShouldBeEmpty();
            (await scope.KeysAsync()).ShouldBeEmpty();

            await EngineFixture.ScriptAsync("start", directory);
            RecoverReport recovered = await scope.RecoverAsync();
            recovered.Failures.ShouldBeEmpty();
            await scope.NothingIsLeftAsync();
            await scope.RunWellAsync();
            (await scope.AllVerifyAsync()).Count.ShouldBe(1);
            await scope.DisposeAsync();
        }
        finally
        {
            await own.DisposeAsync();
        }
    }
}
