using Backup.Tests.Environments;
using Backup.Tests.Stores;
using Shouldly;
using Xunit;

namespace Backup.Tests;

/// <summary>What the README tells people to type is typed here.</summary>
[Collection("engine")]
public sealed class ExamplesTests(EngineFixture engine)
{
    private static string Script(string path) => Path.Combine(EngineFixture.Repository, path);

    [Fact(Timeout = 300_000)]
    public async Task The_quickstart_works_twice_on_an_engine_that_runs_and_leaves_nothing_on_it()
    {
        string before = await LeftOnTheEngine();
        for (int i = 0; i < 2; i++)
        {
            string said = await QuickstartAsync(engine.Url);
            said.ShouldContain("the restored volume is the snapshot: ");
            said.ShouldContain("All good.");
        }
        (await LeftOnTheEngine()).ShouldBe(before);
    }

    [Fact(Timeout = 300_000)]
    public async Task The_quickstart_starts_an_engine_of_its_own_where_none_answers()
    {
        string said = await QuickstartAsync("unix:///nowhere/docker.sock");
        said.ShouldContain("none answered at unix:///nowhere/docker.sock: started one at ");
        said.ShouldContain("All good.");
    }

    [Fact(Timeout = 300_000)]
    public async Task The_quickstart_cleans_up_after_a_program_that_fails()
    {
        string before = await LeftOnTheEngine();
        string broken = Path.Combine(Path.GetTempPath(), "broken-backup-" + Path.GetRandomFileName());
        await File.WriteAllTextAsync(broken, "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\necho planted >&2\nexit 1\n");
        File.SetUnixFileMode(broken, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        try
        {
            (await Should.ThrowAsync<InvalidOperationException>(() => QuickstartAsync(engine.Url, broken))).Message.ShouldContain("planted");
            (await LeftOnTheEngine()).ShouldBe(before);
        }
        finally
        {
            File.Delete(broken);
        }
    }

    private async Task<string> LeftOnTheEngine() =>
        await HostProcess.RunAsync("sh", ["-c", $"export DOCKER_HOST={engine.Url}; docker ps -aq | sort; docker volume ls -q | grep quickstart; docker image ls -q --filter reference='quickstart*'; ls -d \"${{TMPDIR:-/tmp}}\"/backup-quickstart.* 2>/dev/null; true"]);

    private static Task<string> QuickstartAsync(string host, string? program = null)
    {
        var environment = new Dictionary<string, string> { ["DOCKER_HOST"] = host };
        if ((program ?? Environment.GetEnvironmentVariable("BACKUP_TEST_BINARY")) is { Length: > 0 } binary) environment["BACKUP_BINARY"] = binary;
        return HostProcess.RunAsync("bash", [Script("examples/quickstart.sh")], TimeSpan.FromMinutes(4), environment);
    }
}

/// <summary>Every command of the README, as it stands there.</summary>
[Collection("engine")]
public sealed class ReadmeTests(EngineFixture engine, S3Fixture s3) : IClassFixture<S3Fixture>
{
    [Fact(Timeout = 480_000)]
    public async Task Every_command_of_the_README_works()
    {
        string said = await HostProcess.RunAsync("bash", [Path.Combine(EngineFixture.Repository, "tests/readme.sh")], TimeSpan.FromMinutes(7), new Dictionary<string, string>
        {
            ["BACKUP_TEST_ENGINE"] = engine.Url,
            ["BACKUP_TEST_S3_CEPH"] = (await s3.CephAsync()).Url.ToString().TrimEnd('/'),
        });
        said.ShouldContain("blocks ran");
    }
}
