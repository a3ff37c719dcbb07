using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Backup.Environments;
using Backup.Running;
using Backup.Snapshots;
using Backup.Tests.Environments;
using Shouldly;
using Xunit;

namespace Backup.Tests.Running;

/// <summary>Back up, list, verify, restore, and compare: with ourselves, and with stock zstd and tar.</summary>
[Collection("engine")]
public sealed class RoundTripTests(EngineFixture engine) : IAsyncLifetime
{
    private const int Limit = 120_000;

    /// <summary>Everything a file system can hold, made by the host's own tools.</summary>
    private const string Nasty = """
        mkdir -p d/sub; echo content > d/file; chown 70:71 d/file; ln d/file d/zhard; ln d/file another
        ln -s /etc/passwd absolute; ln -s no/such/thing dangling
        mkfifo fifo; mknod null c 1 3; mknod loop b 7 200
        cp /bin/true setuid; chmod 4755 setuid; cp /bin/true ping; setcap cap_net_raw+ep ping
        printf x > $'new\nline'; printf y > $'not\xffutf8\xfe'; printf z > $'back\\slash "quoted"'; : > empty
        p=$(printf 'p%.0s' {1..59}); long=$p/$p/$p/$p/$p/$p; mkdir -p "$long"; echo deep > "$long/file"
        head -c 5000000 /dev/urandom > random; truncate -s 3000000 holes
        chmod 1777 d/sub; touch -d '2001-02-03 04:05:06.789' d/file; chown 999:998 .; chmod 2750 .
        """;

    private readonly RunningScope _scope = new(engine);

    public Task InitializeAsync() => Task.CompletedTask;
    public async Task DisposeAsync() => await _scope.DisposeAsync();

    [Theory(Timeout = Limit)]
    [InlineData("socket")]
    [InlineData("tls")]
    public async Task Everything_a_file_system_can_hold_comes_back_byte_for_byte(string by)
    {
        if (by == "tls")
            _scope.Environments[RunningScope.Local]!["connect"] = new JsonObject
            {
                ["type"] = "docker", ["url"] = engine.TlsUrl,
                ["tls"] = new JsonObject { ["ca"] = engine.Tls.Ca, ["cert"] = engine.Tls.Cert, ["key"] = $"file:{Path.Combine(engine.TlsDirectory, "key.pem")}" },
            };
        string volume = await _scope.VolumeAsync("nasty", Nasty);
        string user = await _scope.UserAsync(volume);
        byte[] tar = await _scope.Engine.ReadAsync(SourceRef.Volume(volume));

        await _scope.RunWellAsync();

        Snapshot snapshot = (await _scope.AllVerifyAsync()).ShouldHaveSingleItem();
        (snapshot.Bytes, snapshot.Sha256).ShouldBe((tar.LongLength, Convert.ToHexStringLower(SHA256.HashData(tar))), "the engine's own bytes");
        string copy = $"{_scope.Engine.Prefix}_copy";
        await _scope.RestoreWellAsync($"{RunningScope.Local}/{volume}", name: copy);
        (await _scope.Engine.ReadAsync(SourceRef.Volume(copy))).AsSpan().SequenceEqual(tar).ShouldBeTrue("the same bytes again");
        string original = await DescribeAsync(await _scope.MountpointAsync(volume));
        original.Split('\n').Length.ShouldBeGreaterThan(25);
        original.ShouldContain("cap_net_raw");
        (await DescribeAsync(await _scope.MountpointAsync(copy))).ShouldBe(original);

        string stock = _scope.Engine.Folder("stock"), archive = Directory.GetFiles(_scope.StorePath, "*.tar.zst", SearchOption.AllDirectories).ShouldHaveSingleItem();
        await HostProcess.RunAsync("bash", ["-c", $"set -euo pipefail; zstd -dcq '{archive}' | tar -x -p --numeric-owner --xattrs --xattrs-include='*' -C '{stock}'"]);
        (await DescribeAsync(stock)).ShouldBe(original, "what stock zstd and tar make of the archive");

        string folder = Path.Combine(_scope.Folder, "extracted");
        await _scope.RestoreWellAsync(snapshot.Id[..8], output: folder);
        (await DescribeAsync(folder)).ShouldBe(original);
        await _scope.NothingIsLeftAsync(user);
    }

    [Fact(Timeout = Limit)]
    public async Task An_empty_volume_comes_back_as_an_empty_volume()
    {
        string volume = await _scope.VolumeAsync("empty", "chown 5:6 .; chmod 700 .");
        await _scope.RunWellAsync();
        (await _scope.AllVerifyAsync()).ShouldHaveSingleItem().Files.ShouldBe(0);

        string copy = $"{_scope.Engine.Prefix}_copy";
        await _scope.RestoreWellAsync($"{RunningScope.Local}/{volume}", name: copy);

        (await _scope.AskAsync(copy, "ls -A | wc -l; stat -c '%u:%g %a' .")).ShouldBe("0\n5:6 700");
    }

    [Fact(Timeout = 200_000)]
    public async Task A_hundred_thousand_small_files_come_back()
    {
        string volume = await _scope.VolumeAsync("many", "mkdir d; cd d; seq 100000 | split -l 1 -a 5 -d - f");
        await _scope.RunWellAsync();
        Snapshot snapshot = (await _scope.AllVerifyAsync()).ShouldHaveSingleItem();
        snapshot.Files.ShouldBe(100_000);

        string copy = $"{_scope.Engine.Prefix}_copy";
        RestoreReport report = await _scope.RestoreWellAsync($"{RunningScope.Local}/{volume}", name: copy);

        report.Files.ShouldBe(100_000);
        (await _scope.AskAsync(copy, "find d -type f | wc -l; cat d/f* | sort -n | sha256sum")).ShouldBe(
            await HostProcess.RunAsync("bash", ["-c", "echo 100000; seq 100000 | sha256sum"]));
        byte[] tar = await _scope.Engine.ReadAsync(SourceRef.Volume(copy));
        Convert.ToHexStringLower(SHA256.HashData(tar)).ShouldBe(snapshot.Sha256);
    }

    [Fact(Timeout = Limit)]
    public async Task Bind_mounts_of_a_directory_and_of_a_single_file_are_restored_to_their_paths()
    {
        string folder = _scope.Engine.Folder("bind"), file = Path.Combine(_scope.Engine.Folder("conf"), "app.conf");
        await File.WriteAllTextAsync(Path.Combine(folder, "a"), "1");
        await File.WriteAllTextAsync(file, "port = 1");
        string user = await _scope.Engine.ContainerAsync(new TestContainer { Mounts = [new TestMount(folder, "/a"), new TestMount(file, "/app.conf")] });
        _scope.Environments[RunningScope.Local]!["volumes"]!["include"] = new JsonArray($"bind:{folder}", $"bind:{file}");
        RunReport run = await _scope.RunWellAsync();
        run.Snapshots.Select(s => s.Snapshot.Volume).ShouldBe([$"bind:{folder}", $"bind:{file}"], ignoreOrder: true);
        await _scope.AllVerifyAsync();
        await _scope.Engine.DockerAsync("rm", "-f", user);
        await _scope.Engine.ShellImageAsync();
        await File.WriteAllTextAsync(Path.Combine(folder, "a"), "2");
        await File.WriteAllTextAsync(Path.Combine(folder, "new"), "x");
        File.Delete(file);

        await Should.ThrowAsync<BackupException>(_scope.RestoreAsync($"{RunningScope.Local}/bind:{folder}"));
        await _scope.RestoreWellAsync($"{RunningScope.Local}/bind:{folder}", overwrite: true);
        await _scope.RestoreWellAsync($"{RunningScope.Local}/bind:{file}");

        Directory.GetFiles(folder).ShouldBe([Path.Combine(folder, "a")]);
        (await File.ReadAllTextAsync(Path.Combine(folder, "a"))).ShouldBe("1");
        (await File.ReadAllTextAsync(file)).ShouldBe("port = 1");
        await _scope.NothingIsLeftAsync();
    }

    /// <summary>Every entry with type, mode, owner, links, time to the second and device numbers, every content's hash, every capability.</summary>
    private static Task<string> DescribeAsync(string folder) => HostProcess.RunAsync("bash", ["-euc", $"""
        cd '{folder}'; export LC_ALL=C
        find . -printf '%p|%y|%m|%U:%G|%l|%n|' -exec stat -c '%t,%T|%Y' '{"{}"}' ';' | grep -v '^\./*|d' | sort
        find . -type d -printf '%p|%m|%U:%G\n' | sort
        find . -type f -print0 | sort -z | xargs -0 sha256sum -z | tr '\0' '\n'
        getcap -r . | sort
        """]);
}
