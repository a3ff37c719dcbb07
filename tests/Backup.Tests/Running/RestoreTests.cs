using System.Text.Json.Nodes;
using Backup.Environments;
using Backup.Running;
using Backup.Snapshots;
using Backup.Tests.Environments;
using Backup.Tests.Fakes;
using Backup.Tests.Snapshots;
using Shouldly;
using Xunit;

namespace Backup.Tests.Running;

/// <summary>What a restore refuses, replaces, keeps down and brings back.</summary>
[Collection("engine")]
public sealed class RestoreTests(EngineFixture engine) : IAsyncLifetime
{
    private const int Limit = 90_000;
    private readonly RunningScope _scope = new(engine);

    public Task InitializeAsync() => Task.CompletedTask;
    public async Task DisposeAsync() => await _scope.DisposeAsync();

    private string Copy => $"{_scope.Engine.Prefix}_copy";

    [Fact(Timeout = Limit)]
    public async Task A_volume_that_is_not_empty_or_in_use_is_refused_and_not_touched()
    {
        string volume = await BackedUpAsync("echo old > f");
        await _scope.ShellAsync(volume, "echo mine > f; echo extra > g");
        string used = await _scope.Engine.VolumeAsync("used"), user = await _scope.UserAsync(used);

        (await Should.ThrowAsync<BackupException>(_scope.RestoreAsync(Latest(volume)))).Hint.ShouldContain("--overwrite");
        (await Should.ThrowAsync<BackupException>(_scope.RestoreAsync(Latest(volume), name: used))).Problem.ShouldContain("in use");

        (await _scope.AskAsync(volume, "cat f g")).ShouldBe("mine\nextra");
        (await _scope.AskAsync(used, "ls -A")).ShouldBeEmpty();
        (await _scope.HappenedAsync(user)).ShouldBe(["create", "start"]);
        await _scope.NothingIsLeftAsync(user);
    }

    [Fact(Timeout = Limit)]
    public async Task Overwrite_stops_the_user_replaces_exactly_and_brings_it_back()
    {
        string volume = await BackedUpAsync("mkdir d; echo 1 > d/f; echo 2 > g");
        await _scope.ShellAsync(volume, "rm g; echo changed > d/f; echo extra > d/extra; echo hidden > .extra; mkdir -p e/f");
        string user = await _scope.UserAsync(volume);
        await _scope.Engine.ShellImageAsync();

        RestoreReport report = await _scope.RestoreWellAsync(Latest(volume), overwrite: true);

        report.DowntimeSeconds.ShouldBeGreaterThan(0);
        (await _scope.AskAsync(volume, "find . -mindepth 1 | sort; cat d/f g")).ShouldBe("./d\n./d/f\n./g\n1\n2");
        (await _scope.HappenedAsync(user)).Where(e => e is "stop" or "start").ShouldBe(["start", "stop", "start"]);
        await _scope.NothingIsLeftAsync(user);
    }

    [Fact(Timeout = Limit)]
    public async Task Without_any_image_that_could_empty_the_volume_nothing_is_touched()
    {
        string volume = await BackedUpAsync("echo 1 > f");
        await _scope.ShellAsync(volume, "echo mine > f");
        string user = await _scope.UserAsync(volume);

        await Should.ThrowAsync<BackupException>(_scope.RestoreAsync(Latest(volume), overwrite: true));

        (await _scope.AskAsync(volume, "cat f")).ShouldBe("mine");
        (await _scope.HappenedAsync(user)).ShouldBe(["create", "start"]);
        await _scope.NothingIsLeftAsync(user);
    }

    [Fact(Timeout = Limit)]
    public async Task One_file_and_one_folder_with_a_hard_link_are_restored_alone()
    {
        string volume = await BackedUpAsync("mkdir d; echo first > a; ln a d/link; echo other > d/other; echo big > z; chmod 640 z");

        await _scope.RestoreWellAsync(Latest(volume), name: Copy, paths: "z");
        (await _scope.AskAsync(Copy, "find . -mindepth 1 | sort; stat -c %a z; cat z")).ShouldBe("./z\n640\nbig");

        string second = $"{_scope.Engine.Prefix}_second";
        await _scope.RestoreWellAsync(Latest(volume), name: second, paths: "/d/");
        (await _scope.AskAsync(second, "find . -mindepth 1 | sort; cat d/link d/other; [ a -ef d/link ] && echo linked"))
            .ShouldBe("./a\n./d\n./d/link\n./d/other\nfirst\nother\nlinked", "the content of the link lies under its other name");

        await _scope.ShellAsync(volume, "echo lost > z; echo kept > d/other; echo new > n");
        await _scope.RestoreWellAsync(Latest(volume), overwrite: true, paths: "z");
        (await _scope.AskAsync(volume, "cat z d/other n")).ShouldBe("big\nkept\nnew");
    }

    [Fact(Timeout = Limit)]
    public async Task Another_environment_is_served_and_a_path_that_is_not_there_is_exit_code_10()
    {
        string volume = await BackedUpAsync("echo 1 > f");
        _scope.Environments["other"] = _scope.Environment(engine.Url);

        RestoreReport report = await _scope.RestoreWellAsync(Latest(volume), to: "other", name: Copy);
        report.Target.ShouldBe($"other/{Copy}");
        (await _scope.AskAsync(Copy, "cat f")).ShouldBe("1");

        ProgramResult missing = await _scope.ProgramAsync("restore", Latest(volume), "--as", $"{_scope.Engine.Prefix}_third", "--path", "no/such");
        missing.ExitCode.ShouldBe(10, missing.ToString());
        missing.Error.ShouldContain("no/such");
        (await _scope.Engine.DockerAsync("volume", "ls", "-q")).ShouldNotContain("_third");
    }

    [Fact(Timeout = Limit)]
    public async Task A_restore_that_breaks_in_the_middle_keeps_the_user_down_until_a_second_one_succeeds()
    {
        string volume = await BackedUpAsync("head -c 9000000 /dev/urandom > f; echo 1 > g");
        string sum = await _scope.AskAsync(volume, "sha256sum f g");
        string user = await _scope.UserAsync(volume);
        await _scope.Engine.ShellImageAsync();
        await BreakAsync(() => _scope.RestoreAsync(Latest(volume), overwrite: true));

        (await _scope.StateOfAsync(user)).ShouldBe("exited", "nothing may start on half a volume");
        ProgramResult recover = await _scope.ProgramAsync("recover");
        recover.ExitCode.ShouldBe(4, recover.ToString());
        (recover.Output + recover.Error).ShouldContain(volume);
        (recover.Output + recover.Error).ShouldContain("--overwrite");
        (await _scope.StateOfAsync(user)).ShouldBe("exited");
        (await _scope.RunAsync()).Failures.ShouldContain(f => f.Volume == volume && f.Side == "source");
        (await _scope.ListAsync()).Count.ShouldBe(1, "half a volume is no backup");
        await Should.ThrowAsync<BackupException>(_scope.RestoreAsync(Latest(volume), overwrite: true, paths: "g"));
        (await _scope.StateOfAsync(user)).ShouldBe("exited", "one path does not make it whole");

        ProgramResult again = await _scope.ProgramAsync("restore", Latest(volume), "--overwrite");
        again.ExitCode.ShouldBe(0, again.ToString());
        (await _scope.AskAsync(volume, "sha256sum f g")).ShouldBe(sum);
        await _scope.NothingIsLeftAsync(user);
    }

    [Fact(Timeout = Limit)]
    public async Task The_user_of_an_empty_volume_stays_down_too_when_its_restore_breaks_in_the_middle()
    {
        string volume = await BackedUpAsync("head -c 9000000 /dev/urandom > f");
        string empty = await _scope.Engine.VolumeAsync("target"), user = await _scope.UserAsync(empty);
        await BreakAsync(() => _scope.RestoreAsync(Latest(volume), name: empty, overwrite: true));
        (await _scope.StateOfAsync(user)).ShouldBe("exited");
        (await _scope.ProgramAsync("recover")).ExitCode.ShouldBe(4);
        await _scope.Engine.ShellImageAsync();

        await _scope.RestoreWellAsync(Latest(volume), name: empty, overwrite: true);
        await _scope.NothingIsLeftAsync(user);
    }

    [Theory(Timeout = Limit)]
    [InlineData(".tar.zst")]
    [InlineData(".files.zst")]
    [InlineData(".json")]
    public async Task What_was_tampered_with_is_found_and_never_restored_as_if_it_were_good(string extension)
    {
        string volume = await BackedUpAsync("head -c 3000000 /dev/urandom > f; echo 1 > g");
        string file = Directory.GetFiles(_scope.StorePath, "*" + extension, SearchOption.AllDirectories).ShouldHaveSingleItem();
        byte[] bytes = await File.ReadAllBytesAsync(file);
        // In the manifest a digit of a hash or a name, elsewhere one bit in the middle.
        int at = extension == ".json" ? bytes.AsSpan().IndexOf("\"sha256\""u8) + 14 : bytes.Length / 2;
        bytes[at] = (byte)(bytes[at] == 'a' ? 'b' : extension == ".json" ? 'a' : bytes[at] ^ 1);
        await File.WriteAllBytesAsync(file, bytes);

        ProgramResult verify = await _scope.ProgramAsync("verify", "--read-data");
        verify.ExitCode.ShouldBe(1, $"verify did not notice: verify is broken: {verify}");
        ProgramResult restore = await _scope.ProgramAsync("restore", Latest(volume), "--as", Copy);
        restore.ExitCode.ShouldBe(1, restore.ToString());
        string folder = Path.Combine(_scope.Folder, "out");
        ProgramResult extract = await _scope.ProgramAsync("restore", Latest(volume), "--output", folder);
        extract.ExitCode.ShouldBe(1, extract.ToString());
    }

    [Fact(Timeout = Limit)]
    public async Task A_hostile_archive_cannot_leave_the_directory_it_is_extracted_to()
    {
        string outside = Path.Combine(_scope.Folder, "outside");
        string[] ids = [new string('a', 32), new string('b', 32), new string('c', 32)];
        TarItem[][] attacks =
        [
            [new TarItem("../outside/climbed", Content: "x")],
            [TarItem.Symlink("link", outside), new TarItem("link/followed", Content: "x")],
            [TarItem.HardLink("hard", "../outside/target")],
        ];
        Directory.CreateDirectory(outside);
        await File.WriteAllTextAsync(Path.Combine(outside, "target"), "precious");
        await using (Backends backends = _scope.Open())
            for (int i = 0; i < attacks.Length; i++)
                await Sample.WriteAsync(backends.Store("disk"), RawTar.OfDirectory(attacks[i]), Sample.Record(ids[i], "local", $"v{i}"));

        for (int i = 0; i < attacks.Length; i++)
        {
            string into = Path.Combine(_scope.Folder, $"into{i}");
            ProgramResult restore = await _scope.ProgramAsync("restore", ids[i], "--output", into);
            restore.ExitCode.ShouldBe(1, restore.ToString());
            Directory.GetFiles(outside).ShouldBe([Path.Combine(outside, "target")], $"attack {i}");
            File.Exists(Path.Combine(into, "hard")).ShouldBeFalse();
        }
    }

    private async Task BreakAsync(Func<Task> restore)
    {
        int reads = 0;
        _scope.Wrap = store => new FaultyObjectStore(store, (op, key) =>
            op == "read" && key.EndsWith(".tar.zst", StringComparison.Ordinal) && Interlocked.Increment(ref reads) > 2 ? Fault.Fail("the line was cut") : null);
        BackupException broken = await Should.ThrowAsync<BackupException>(restore);
        broken.Kind.ShouldBe(FailureKind.NeedsPerson, broken.Message);
        broken.Problem.ShouldContain("the line was cut");
        _scope.Wrap = store => store;
    }

    private async Task<string> BackedUpAsync(string script)
    {
        string volume = await _scope.VolumeAsync("v", script);
        await _scope.RunWellAsync();
        return volume;
    }

    private static string Latest(string volume) => $"{RunningScope.Local}/{volume}";
}
