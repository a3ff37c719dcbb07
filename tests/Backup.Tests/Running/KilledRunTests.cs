using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Backup.Running;
using Backup.Snapshots;
using Backup.Tests.Environments;
using Backup.Tests.Stores;
using Shouldly;
using Xunit;

namespace Backup.Tests.Running;

/// <summary>The built program, killed or interrupted at random moments of a backup of three volumes: paused, stopped, hooked.</summary>
[Collection("engine")]
public sealed class KilledRunTests(EngineFixture engine, S3Fixture s3) : IClassFixture<S3Fixture>, IAsyncLifetime
{
    private const int Kills = 10;
    private const int MostKills = 80;
    private readonly RunningScope _scope = new(engine);
    private readonly Random _chance = new(Environment.TickCount);
    private string _hooked = "";
    private string[] _users = [];

    public async Task InitializeAsync()
    {
        string paused = await _scope.VolumeAsync("a", "head -c 14000000 /dev/urandom > f");
        string stopped = await _scope.VolumeAsync("b", "head -c 14000000 /dev/urandom > f");
        _hooked = await _scope.VolumeAsync("c", "head -c 14000000 /dev/urandom > f");
        _scope.Rule(stopped, "quiesce", "stop");
        _scope.Rule(_hooked, "quiesce", new JsonObject
        {
            ["before"] = new JsonArray("/bin/sh", "-c", "touch /v/frozen"), ["after"] = new JsonArray("/bin/sh", "-c", "rm -f /v/frozen"), ["then"] = "pause",
        });
        _scope.Defaults["retention"] = new JsonObject { ["keepLast"] = 2 };
        _users = [await _scope.UserAsync(paused), await _scope.UserAsync(stopped), await _scope.UserAsync(_hooked)];
    }

    public async Task DisposeAsync() => await _scope.DisposeAsync();

    [Fact(Timeout = 240_000)]
    public Task A_run_that_was_killed_at_any_moment_is_put_right_by_recover_in_a_directory() => KillAsync();

    [Fact(Timeout = 240_000)]
    public async Task A_run_that_was_killed_at_any_moment_is_put_right_by_recover_in_S3()
    {
        _scope.UseS3(await s3.CephAsync());
        await KillAsync();
    }

    private async Task KillAsync()
    {
        TimeSpan whole = await UndisturbedAsync();
        int held = 0, cut = 0;
        // A window is a small part of a run: more kills, until one has met a held container.
        for (int kill = 1; kill <= Kills || held == 0 && kill <= MostKills; kill++)
        {
            TimeSpan moment = Moment(whole);
            string when = $"kill {kill} after {moment.TotalMilliseconds:0} of {whole.TotalMilliseconds:0} ms";
            using RunningProgram run = _scope.StartProgram("run");
            await Task.Delay(moment);
            if (!run.Ended) cut++;
            else whole *= 0.9; // the undisturbed run was a slow one
            run.KillHard();
            await run.EndAsync();
            bool wasHeld = false;
            foreach (string user in _users) wasHeld |= await _scope.StateOfAsync(user) != "running";
            if (wasHeld || await FrozenAsync()) held++;

            ProgramResult recover = await _scope.ProgramAsync("recover");
            recover.ExitCode.ShouldBe(0, $"{when}: {recover}");
            await _scope.NothingIsLeftAsync(_users);
            (await FrozenAsync()).ShouldBeFalse(when);
            await _scope.AllVerifyAsync(readData: false);
        }
        // A sweep that never hits anything proves nothing.
        cut.ShouldBeGreaterThan(Kills / 2);
        held.ShouldBeGreaterThan(0, "no kill met a held container");

        ProgramResult next = await _scope.ProgramAsync("run");
        next.ExitCode.ShouldBe(0, next.ToString());
        ProgramResult prune = await _scope.ProgramAsync("prune", "--abandoned-after", "0s");
        prune.ExitCode.ShouldBe(0, prune.ToString());
        ProgramResult verify = await _scope.ProgramAsync("verify", "--read-data");
        verify.ExitCode.ShouldBe(0, verify.ToString());
        IReadOnlyList<Snapshot> listed = await _scope.ListAsync();
        listed.Select(s => s.Volume).Distinct().Count().ShouldBe(3);
        IReadOnlyList<string> keys = await _scope.KeysAsync();
        keys.Count.ShouldBe(3 * listed.Count, string.Join("\n", keys));
        keys.ShouldAllBe(k => listed.Any(s => k.Contains(s.Id)));
        await _scope.NothingIsLeftAsync(_users);
    }

    [Theory(Timeout = 120_000)]
    [InlineData(PosixSignal.SIGTERM, 143)]
    [InlineData(PosixSignal.SIGINT, 130)]
    public async Task A_signal_at_any_moment_brings_the_containers_back_before_the_program_ends(PosixSignal signal, int code)
    {
        TimeSpan whole = await UndisturbedAsync();
        int cut = 0;
        for (int i = 1; i <= 6; i++)
        {
            TimeSpan moment = 0.8 * Moment(whole);
            string when = $"signal {i} after {moment.TotalMilliseconds:0} of {whole.TotalMilliseconds:0} ms";
            using RunningProgram run = _scope.StartProgram("run");
            await Task.Delay(moment);
            bool sent = run.Signal(signal);
            ProgramResult result = await run.EndAsync();
            // Before the program listens it dies of the signal itself, which the shell tells in the same number; after its last work it just ends,
            // and then all of its work must be done.
            bool finished = result.Output.Contains("3 snapshots,", StringComparison.Ordinal) && result.Output.Contains("no failures", StringComparison.Ordinal);
            result.ExitCode.ShouldBeOneOf([code, .. !sent || finished ? (int[])[0] : []], $"{when}: {result}");
            if (result.ExitCode == code) cut++;
            else whole *= 0.9;
            await _scope.NothingIsLeftAsync(_users);
            (await FrozenAsync()).ShouldBeFalse(when);
        }
        cut.ShouldBeGreaterThan(1);
        await _scope.AllVerifyAsync();
        // A removal that was cut short is prune's to finish; what was being made goes with the run that made it.
        foreach (string marker in (await _scope.KeysAsync()).Where(k => k.EndsWith(".pending", StringComparison.Ordinal)))
            (await File.ReadAllTextAsync(Path.Combine(_scope.StorePath, marker))).ShouldContain("\"removing\"", Case.Sensitive, marker);
        (await _scope.PruneAsync(TimeSpan.Zero)).Failures.ShouldBeEmpty();
        (await _scope.KeysAsync()).Count.ShouldBe(3 * (await _scope.ListAsync()).Count);
    }

    [Theory(Timeout = 90_000)]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_stop_that_was_under_way_when_the_program_ended_is_undone_too(bool killed)
    {
        string volume = await _scope.VolumeAsync("slow", "echo 1 > f");
        _scope.Environments[RunningScope.Local]!["volumes"]!["include"] = new JsonArray(volume);
        _scope.Rule(volume, "quiesce", "stop");
        string user = await _scope.Engine.ContainerAsync(new TestContainer("trap '' TERM; while :; do sleep 0.2; done") { Mounts = [new TestMount(volume, "/v")], StopTimeout = 10 });
        using RunningProgram run = _scope.StartProgram("run");
        string journal = Path.Combine(_scope.State, "undo.journal");
        while (!File.Exists(journal) || !(await HostProcess.RunAsync("cat", [journal])).Contains("\"start\"", StringComparison.OrdinalIgnoreCase)) await Task.Delay(10);
        await Task.Delay(500);
        (await _scope.StateOfAsync(user)).ShouldBe("running", "its ten seconds of grace are not over");

        if (killed) run.KillHard();
        else run.Signal(PosixSignal.SIGTERM);
        ProgramResult ended = await run.EndAsync();
        if (!killed) ended.ExitCode.ShouldBe(143, ended.ToString());
        if (killed) (await _scope.ProgramAsync("recover")).ExitCode.ShouldBe(0);

        await Task.Delay(TimeSpan.FromSeconds(11));
        await _scope.NothingIsLeftAsync(user);
    }

    [Fact(Timeout = 90_000)]
    public async Task A_before_hook_that_outlives_the_program_is_over_before_its_after_hook_runs()
    {
        string volume = await _scope.VolumeAsync("slow", "echo 1 > f");
        _scope.Environments[RunningScope.Local]!["volumes"]!["include"] = new JsonArray(volume);
        _scope.Rule(volume, "quiesce", new JsonObject
        {
            ["before"] = new JsonArray("/bin/sh", "-c", "touch /v/begun; sleep 8; touch /v/frozen"), ["after"] = new JsonArray("/bin/sh", "-c", "rm -f /v/frozen"),
        });
        string user = await _scope.UserAsync(volume), folder = await _scope.MountpointAsync(volume);
        using RunningProgram run = _scope.StartProgram("run");
        while (!File.Exists(Path.Combine(folder, "begun"))) await Task.Delay(10);
        run.KillHard();
        await run.EndAsync();

        ProgramResult recover = await _scope.ProgramAsync("recover");

        recover.ExitCode.ShouldBe(0, recover.ToString());
        recover.Output.ShouldContain("ran the after hook");
        await Task.Delay(TimeSpan.FromSeconds(9));
        File.Exists(Path.Combine(folder, "frozen")).ShouldBeFalse("the before hook did its work after its after hook");
        await _scope.NothingIsLeftAsync(user);
    }

    [Fact(Timeout = 180_000)]
    public async Task A_restore_that_ends_at_any_moment_never_starts_its_user_on_half_a_volume()
    {
        string volume = await _scope.VolumeAsync("r", "head -c 14000000 /dev/urandom > f; seq 300 | split -l 1 -a 3 -d - s");
        _scope.Environments[RunningScope.Local]!["volumes"]!["include"] = new JsonArray(volume);
        string user = await _scope.UserAsync(volume);
        await _scope.Engine.ShellImageAsync();
        await _scope.RunWellAsync();
        const string Sum = "cat f s* | sha256sum; ls | wc -l";
        string good = await _scope.AskAsync(volume, Sum);
        string[] restore = ["restore", $"{RunningScope.Local}/{volume}", "--overwrite"];
        TimeSpan whole = await UndisturbedAsync(restore);
        int broken = 0;

        for (int i = 1; i <= 8; i++)
        {
            await _scope.ShellAsync(volume, "echo extra > extra");
            bool kill = i % 2 == 0;
            TimeSpan moment = Moment(whole);
            using RunningProgram run = _scope.StartProgram(restore);
            await Task.Delay(moment);
            if (run.Ended) whole *= 0.9;
            if (kill) run.KillHard();
            else run.Signal(PosixSignal.SIGTERM);
            ProgramResult ended = await run.EndAsync();
            string when = $"{(kill ? "kill" : "signal")} {i} after {moment.TotalMilliseconds:0} of {whole.TotalMilliseconds:0} ms: {ended}";
            if (!kill) ended.ExitCode.ShouldBeOneOf([0, 4, 143], when);
            bool down = await _scope.StateOfAsync(user) != "running";
            if (!kill && down) ended.ExitCode.ShouldBe(4, $"the container is down and nobody was told: {when}");

            ProgramResult recover = await _scope.ProgramAsync("recover");
            recover.ExitCode.ShouldBeOneOf([0, 4], $"{when}: {recover}");
            (await _scope.HelpersAsync()).ShouldBe(0, when);
            (await _scope.StateOfAsync(user)).ShouldBe(recover.ExitCode == 4 ? "exited" : "running", $"{when}: {recover}");
            if (recover.ExitCode == 4) broken++;
            else (await _scope.AskAsync(volume, "rm -f extra; " + Sum)).ShouldBe(good, $"it runs on half a volume: {when}: {recover}");

            ProgramResult again = await _scope.ProgramAsync(restore);
            again.ExitCode.ShouldBe(0, $"{when}: {again}");
            (await _scope.AskAsync(volume, Sum)).ShouldBe(good, when);
            await _scope.NothingIsLeftAsync(user);
        }
        broken.ShouldBeGreaterThan(0, "no restore was cut in the middle");
    }

    private async Task<TimeSpan> UndisturbedAsync(params string[] command)
    {
        using RunningProgram run = _scope.StartProgram(command is [] ? ["run"] : command);
        ProgramResult result = await run.EndAsync();
        result.ExitCode.ShouldBe(0, result.ToString());
        return run.Elapsed;
    }

    /// <summary>Mostly while it works: the first part of the time the program only starts.</summary>
    private TimeSpan Moment(TimeSpan whole) => whole * (0.25 + 0.75 * _chance.NextDouble());

    private async Task<bool> FrozenAsync() => File.Exists(Path.Combine(await _scope.MountpointAsync(_hooked), "frozen"));
}
