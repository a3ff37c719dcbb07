using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Backup.Environments;
using Backup.Tests.Environments;
using Shouldly;
using Xunit;

namespace Backup.Tests.Running;

/// <summary>
/// The built program, killed a hundred times at random moments of a group of volumes whose containers are paused, stopped and hooked. The moments come
/// from a seed, which every failure names; $BACKUP_TEST_SEED repeats them.
/// </summary>
[Collection("engine")]
public sealed class KilledGroupTests(EngineFixture engine) : IAsyncLifetime
{
    private const int Kills = 100;
    private static readonly int Seed = int.TryParse(Environment.GetEnvironmentVariable("BACKUP_TEST_SEED"), CultureInfo.InvariantCulture, out int given) ? given : Environment.TickCount;

    private readonly RunningScope _scope = new(engine);
    private readonly Random _chance = new(Seed);
    private readonly List<string> _users = [];
    private string[] _frozen = [];

    public async Task InitializeAsync()
    {
        string paused = await VolumeAsync("a"), stopped = await VolumeAsync("b"), hooked = await VolumeAsync("c");
        _scope.Defaults["retention"] = new JsonObject { ["keepLast"] = 2 };
        _scope.Rule(stopped, "quiesce", "stop");
        _scope.Rule(hooked, "quiesce", new JsonObject
        {
            ["before"] = new JsonArray("/bin/sh", "-c", "touch /v/frozen"), ["after"] = new JsonArray("/bin/sh", "-c", "rm -f /v/frozen"), ["then"] = "pause",
        });
        await UserAsync("paused", null, new TestMount(paused, "/v"));
        await UserAsync("stopped", "paused:service_started:false", new TestMount(stopped, "/v"));
        await UserAsync("hooked", "stopped:service_started:false", new TestMount(hooked, "/v"));
        // One that writes to two of them is held once, in the stronger way, and hooked as well.
        await UserAsync("both", null, new TestMount(stopped, "/w"), new TestMount(hooked, "/v"));
        _frozen = [Path.Combine(await _scope.MountpointAsync(hooked), "frozen")];
    }

    public async Task DisposeAsync() => await _scope.DisposeAsync();

    [Fact(Timeout = 900_000)]
    public async Task After_a_hundred_kills_at_random_moments_recover_leaves_no_container_down()
    {
        TimeSpan whole = await UndisturbedAsync();
        int held = 0, cut = 0;
        for (int kill = 1; kill <= Kills; kill++)
        {
            // Mostly while it works: the first part of the time the program only starts.
            TimeSpan moment = whole * (0.2 + 0.8 * _chance.NextDouble());
            bool asked = kill % 5 == 0;
            string when = $"seed {Seed}: kill {kill}{(asked ? ", after a SIGTERM," : "")} after {moment.TotalMilliseconds:0} of {whole.TotalMilliseconds:0} ms";
            using RunningProgram run = _scope.StartProgram("run");
            await Task.Delay(moment);
            if (asked && run.Signal(PosixSignal.SIGTERM)) await Task.Delay(_chance.Next(150));
            if (!run.Ended) cut++;
            else whole *= 0.9; // the undisturbed run was a slow one
            run.KillHard();
            await run.EndAsync();
            if ((await DownAsync()).Count > 0 || _frozen.Any(File.Exists)) held++;

            ProgramResult recover = await _scope.ProgramAsync("recover");
            recover.ExitCode.ShouldBe(0, $"{when}: {recover}");
            (await DownAsync()).ShouldBeEmpty($"{when}: {recover}");
            _frozen.Where(File.Exists).ShouldBeEmpty($"{when}: its after hook did not run: {recover}");
            new FileInfo(Path.Combine(_scope.State, "undo.journal")).Length.ShouldBe(0, $"{when}: {recover}");
        }
        // A sweep that never hits anything proves nothing.
        cut.ShouldBeGreaterThan(Kills / 2, $"seed {Seed}");
        held.ShouldBeGreaterThan(Kills / 10, $"seed {Seed}: few kills met a held container");

        await UndisturbedAsync();
        (await _scope.AllVerifyAsync()).Select(s => s.Volume).Distinct().Count().ShouldBe(3);
        (await _scope.PruneAsync(TimeSpan.Zero)).Failures.ShouldBeEmpty();
        (await _scope.KeysAsync()).Count.ShouldBe(3 * (await _scope.ListAsync()).Count, "nothing of the killed runs is left");
        await _scope.NothingIsLeftAsync([.. _users]);
    }

    private Task<string> VolumeAsync(string suffix) => _scope.VolumeAsync(suffix, "head -c 6000000 /dev/urandom > f");

    private async Task UserAsync(string service, string? dependsOn, params TestMount[] mounts)
    {
        var labels = new Dictionary<string, string> { ["com.docker.compose.project"] = _scope.Engine.Prefix, ["com.docker.compose.service"] = service };
        if (dependsOn is not null) labels["com.docker.compose.depends_on"] = dependsOn;
        _users.Add(await _scope.Engine.ContainerAsync(new TestContainer { Mounts = mounts, Labels = labels }));
    }

    private async Task<IReadOnlyList<string>> DownAsync() =>
        [.. (await _scope.Engine.Api.ContainersAsync(default)).Where(c => _users.Contains(c.Id) && c.State != "running").Select(c => $"{c.Names![0]} is {c.State}")];

    private async Task<TimeSpan> UndisturbedAsync()
    {
        using RunningProgram run = _scope.StartProgram("run", "--json");
        ProgramResult result = await run.EndAsync();
        result.ExitCode.ShouldBe(0, result.ToString());
        JsonNode group = JsonNode.Parse(result.Output.TrimEnd().Split('\n')[^1])!["groups"]!.AsArray().ShouldHaveSingleItem()!;
        group["volumes"]!.AsArray().Count.ShouldBe(3);
        group["containers"]!.AsArray().Select(c => (string)c!["how"]!).Order().ShouldBe(["hook", "hook", "pause", "pause", "stop", "stop"]);
        return run.Elapsed;
    }
}
