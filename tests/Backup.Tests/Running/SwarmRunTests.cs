using System.Text.Json.Nodes;
using Backup.Running;
using Backup.Tests.Environments;
using Shouldly;
using Xunit;

namespace Backup.Tests.Running;

/// <summary>The built program over an engine in swarm mode: a service of two tasks is scaled to 0 while its volume is read or restored.</summary>
[Collection("swarm")]
public sealed class SwarmRunTests(SwarmFixture swarm) : IAsyncLifetime
{
    private const int Kills = 2;
    private readonly RunningScope _scope = new(swarm.Engine);
    private readonly Random _chance = new(Environment.TickCount);
    private string _volume = "", _service = "";

    public async Task InitializeAsync()
    {
        _volume = await _scope.VolumeAsync("data", "head -c 6000000 /dev/urandom > f; echo first > word");
        _service = _scope.Engine.Prefix + "_web";
        await swarm.ServiceAsync(_scope.Engine, _service, 2, _volume);
        _scope.Defaults["quiesce"] = "stop";
        _scope.Defaults["retention"] = new JsonObject { ["keepLast"] = 2 };
    }

    public async Task DisposeAsync()
    {
        await SwarmFixture.RemoveAsync(_scope.Engine, _service);
        await _scope.DisposeAsync();
    }

    private async Task<int> TasksAsync() => await SwarmFixture.TasksAsync(_scope.Engine, _service);

    private async Task<long> CountAsync() => (long)JsonNode.Parse(await SwarmFixture.SpecAsync(_scope.Engine, _service))!["Mode"]!["Replicated"]!["Replicas"]!;

    [Fact(Timeout = 180_000)]
    public async Task A_run_that_was_killed_at_any_moment_is_put_right_by_recover()
    {
        string before = await SwarmFixture.SpecAsync(_scope.Engine, _service);
        TimeSpan whole = await UndisturbedAsync();
        bool held = false;
        // At random moments, and then as soon as the service is seen at 0: a sweep that never hits anything proves nothing.
        for (int kill = 1; kill <= Kills || !held && kill <= 20; kill++)
        {
            while (await TasksAsync() != 2) await Task.Delay(100);
            TimeSpan moment = whole * (0.2 + 0.8 * _chance.NextDouble());
            string when = kill <= Kills ? $"kill {kill} after {moment.TotalMilliseconds:0} of {whole.TotalMilliseconds:0} ms" : $"kill {kill}, of a service at 0";
            using RunningProgram run = _scope.StartProgram("run");
            if (kill <= Kills) await Task.Delay(moment);
            else
                while (!run.Ended && await CountAsync() != 0) { }
            run.KillHard();
            await run.EndAsync();
            held |= await CountAsync() == 0;
            ProgramResult recover = await _scope.ProgramAsync("recover");
            recover.ExitCode.ShouldBe(0, $"{when}: {recover}");
            (await SwarmFixture.SpecAsync(_scope.Engine, _service)).ShouldBe(before, when);
            await _scope.NothingIsLeftAsync();
        }
        held.ShouldBeTrue("no kill met a service at 0");
        while (await TasksAsync() != 2) await Task.Delay(100);
        (await _scope.RunWellAsync()).Snapshots.Single().Snapshot.Consistency.ShouldBe("stop");
        await _scope.AllVerifyAsync();
    }

    private async Task<TimeSpan> UndisturbedAsync()
    {
        using RunningProgram run = _scope.StartProgram("run", "--json");
        ProgramResult result = await run.EndAsync();
        TimeSpan whole = run.Elapsed;
        result.ExitCode.ShouldBe(0, result.ToString());
        JsonNode group = JsonNode.Parse(result.Output.TrimEnd().Split('\n')[^1])!["groups"]!.AsArray().ShouldHaveSingleItem()!;
        JsonNode window = group["containers"]!.AsArray().ShouldHaveSingleItem()!;
        ((string)window["container"]!, (string)window["how"]!).ShouldBe((_service, "stop"));
        (await TasksAsync()).ShouldBe(2, "the window ends when the tasks run");
        return whole;
    }

    [Fact(Timeout = 180_000)]
    public async Task A_restore_over_a_services_volume_scales_it_to_0_and_leaves_it_there_while_the_volume_is_half()
    {
        await _scope.RunWellAsync();
        string reference = $"{RunningScope.Local}/{_volume}";
        await _scope.ShellAsync(_volume, "echo second > word; rm f");
        // Without any image with a shell the volume is created again, which needs that nobody uses it.
        await _scope.Engine.ShellImageAsync();

        RestoreReport report = await _scope.RestoreWellAsync(reference, overwrite: true);
        report.DowntimeSeconds.ShouldBeGreaterThan(0);
        (await _scope.AskAsync(_volume, "cat word")).ShouldBe("first");
        (await TasksAsync()).ShouldBe(2);

        // The bytes end half way: the old content is gone by then.
        string data = Directory.EnumerateFiles(_scope.StorePath, "*.tar.zst", SearchOption.AllDirectories).Single();
        byte[] good = await File.ReadAllBytesAsync(data);
        byte[] bad = [.. good];
        bad.AsSpan(good.Length / 2, 4096).Clear();
        await File.WriteAllBytesAsync(data, bad);
        ProgramResult broken = await _scope.ProgramAsync("restore", reference, "--overwrite");
        broken.ExitCode.ShouldBe(4, broken.ToString());
        broken.Error.ShouldContain($"{_service} stays stopped");
        (await CountAsync()).ShouldBe(0);
        ProgramResult recover = await _scope.ProgramAsync("recover");
        recover.ExitCode.ShouldBe(4, recover.ToString());
        (await CountAsync()).ShouldBe(0, "nothing starts on half a volume");

        await File.WriteAllBytesAsync(data, good);
        await _scope.RestoreWellAsync(reference, overwrite: true);
        (await CountAsync()).ShouldBe(2);
        (await _scope.AskAsync(_volume, "cat word")).ShouldBe("first");
        await _scope.NothingIsLeftAsync();
    }
}
