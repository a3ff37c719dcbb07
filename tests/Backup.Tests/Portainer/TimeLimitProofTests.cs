using System.Text.Json.Nodes;
using Backup.PortainerRig.Agent;
using Backup.Running;
using Backup.Tests.Environments;
using Backup.Tests.Fakes;
using Backup.Tests.Running;
using Shouldly;
using Xunit;

namespace Backup.Tests.Portainer;

/// <summary>From the policy to the bytes on the disk: what no single request can carry.</summary>
[Collection("engine")]
public sealed class TimeLimitProofTests(EngineFixture engine) : IAsyncLifetime
{
    // Whole seconds: the engine's tar has no more.
    private const string Sums = "find . -type f -print0 | sort -z | xargs -0 sha256sum; find . -print0 | sort -z | xargs -0 stat -c '%n %F %a %u %g %h %Y'";
    private const double Rate = 30_000_000;

    private readonly RunningScope _scope = new(engine);

    public Task InitializeAsync() => Task.CompletedTask;
    public async Task DisposeAsync() => await _scope.DisposeAsync();

    /// <summary>Only what differs is worth a message.</summary>
    private static void Same(string found, string wanted)
    {
        string[] left = found.Split('\n'), right = wanted.Split('\n');
        left.Except(right).Concat(right.Except(left)).ShouldBeEmpty();
        left.Length.ShouldBe(right.Length);
    }

    /// <summary>At 30 MB/s an upload of 5 s carries half of the large file, an answer of 10 s three fifths of the volume.</summary>
    [Fact(Timeout = 300_000)]
    public async Task Half_a_gigabyte_with_a_file_of_300_MB_passes_an_agent_that_cuts_uploads_after_5_s_and_answers_after_10_s()
    {
        string volume = await _scope.VolumeAsync("big",
            "mkdir -p a/b; head -c 100000000 /dev/urandom > a/first; head -c 300000000 /dev/urandom > a/large; for i in $(seq 100); do head -c 1000000 /dev/urandom > a/b/$i; done; ln a/first z; chown 70:71 a");
        string wanted = await _scope.AskAsync(volume, Sums);
        await _scope.Engine.BusyboxImageAsync();
        await using StrictAgent agent = await StrictAgent.StartAsync(
            new AgentSettings(engine.SocketPath) { UploadLimit = TimeSpan.FromSeconds(5), DownloadLimit = TimeSpan.FromSeconds(10) });
        await using var link = new SlowLink(agent.Url.Port, Rate);
        _scope.Environments[RunningScope.Local]!["connect"] = new JsonObject
        {
            ["type"] = "portainer-agent", ["url"] = $"https://127.0.0.1:{link.Port}", ["pair"] = true, ["limits"] = new JsonObject { ["upload"] = "5s", ["download"] = "10s" },
        };

        RunReport run = await _scope.RunWellAsync();
        run.Snapshots.Single().Snapshot.Bytes.ShouldBeGreaterThan(500_000_000);
        await _scope.AllVerifyAsync();
        RestoreReport restored = await _scope.RestoreWellAsync($"{RunningScope.Local}/{volume}", name: $"{_scope.Engine.Prefix}_back");

        restored.Bytes.ShouldBe(500_000_000);
        Same(await _scope.AskAsync($"{_scope.Engine.Prefix}_back", Sums), wanted);
        // Every request ended well before it would have been cut. A stall of the machine may cut one; who does not end by himself is cut each time.
        agent.Faults.UploadsCut.ShouldBeLessThan(2);
        agent.Faults.DownloadsCut.ShouldBeLessThan(2);
        agent.Requests.Count(r => r.Method == "PUT").ShouldBeGreaterThan(10);
        await _scope.NothingIsLeftAsync();
    }
}
