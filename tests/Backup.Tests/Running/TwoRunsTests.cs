using Backup.Running;
using Backup.Tests.Environments;
using Backup.Tests.Fakes;
using Shouldly;
using Xunit;

namespace Backup.Tests.Running;

[Collection("engine")]
public sealed class TwoRunsTests(EngineFixture engine) : IAsyncLifetime
{
    private readonly RunningScope _scope = new(engine);

    public Task InitializeAsync() => Task.CompletedTask;
    public async Task DisposeAsync() => await _scope.DisposeAsync();

    [Fact(Timeout = 120_000)]
    public async Task The_second_of_two_runs_is_turned_away_or_waits_until_the_first_is_done()
    {
        string user = await _scope.UserAsync(await _scope.VolumeAsync("v", "echo 1 > f"));
        var inside = new TaskCompletionSource();
        var goOn = new TaskCompletionSource();
        _scope.Wrap = store => new FaultyObjectStore(store, (op, _) =>
        {
            if (op == "write" && inside.TrySetResult()) goOn.Task.Wait(TimeSpan.FromSeconds(60)).ShouldBeTrue();
            return null;
        });
        Task<RunReport> first = Task.Run(() => _scope.RunAsync());
        await inside.Task.WaitAsync(TimeSpan.FromSeconds(60));

        ProgramResult second = await _scope.ProgramAsync("run");
        second.ExitCode.ShouldBe(11, second.ToString());
        second.Error.ShouldContain("--wait");
        using RunningProgram waiting = _scope.StartProgram("run", "--wait", "60s");
        await Task.Delay(TimeSpan.FromSeconds(2));
        waiting.Ended.ShouldBeFalse("it did not wait");

        goOn.SetResult();
        (await first).Failures.ShouldBeEmpty();
        ProgramResult third = await waiting.EndAsync();
        third.ExitCode.ShouldBe(0, third.ToString());
        (await _scope.AllVerifyAsync()).Count.ShouldBe(2);
        await _scope.NothingIsLeftAsync(user);
    }
}
