using Backup.Environments;
using Backup.Environments.Connections;
using Backup.Tests.Contracts;
using Shouldly;
using Xunit;

namespace Backup.Tests.Environments;

/// <summary>The contract on a real engine, and what only a real engine can show.</summary>
[Collection("engine")]
public abstract class RealEngineContract(EngineFixture engine) : EnvironmentContract
{
    private const int Limit = 60_000;
    private EngineScope? _scope;
    private int _volumes;

    protected EngineScope Scope => _scope ??= engine.NewScope();

    protected abstract DockerConnection Connect(EngineFixture engine);

    protected override Task<IEnvironment> OpenAsync() => Task.FromResult<IEnvironment>(Scope.NewEnvironment(Connect(engine), "real"));

    protected override async Task CloseAsync() => await Scope.DisposeAsync();

    protected override string NewVolumeName() => $"{Scope.Prefix}_v{_volumes++}";

    protected override async Task<string> NewContainerAsync(
        string? volume, bool running, IReadOnlyDictionary<string, string>? labels = null, bool withShellImage = false) =>
        await Scope.ContainerAsync(new TestContainer
        {
            Mounts = volume is null ? [] : [new TestMount(volume, "/v")],
            Labels = labels ?? new Dictionary<string, string>(),
            Start = running,
            Image = withShellImage ? await Scope.ShellImageAsync() : null,
            HostPrograms = !withShellImage,
        });

    protected override Task<string> NewNeighbourAsync(string of) => Scope.ContainerAsync(new TestContainer { NamespacesOf = of, HealthCommand = "true" });

    [Fact(Timeout = Limit)]
    public async Task Everything_a_file_system_can_hold_comes_back_as_it_was()
    {
        string longPath = string.Join('/', Enumerable.Repeat(new string('p', 59), 5));
        TarItem[] items =
        [
            TarItem.Dir("d"),
            new TarItem("d/file", Content: "content", Uid: 70, Gid: 70, Mtime: 1_600_000_000),
            TarItem.HardLink("d/zhard", "d/file") with { Uid = 70, Gid = 70, Mtime = 1_600_000_000 },
            TarItem.Symlink("absolute", "/etc/passwd"),
            TarItem.Symlink("dangling", "no/such/thing"),
            new TarItem("fifo", '6'),
            new TarItem("chardev", '3', Major: 1, Minor: 3),
            new TarItem("blockdev", '4', Major: 7, Minor: 200),
            new TarItem("setuid", Content: "s", Mode: 0b100_111_101_101),
            TarItem.Dir("sticky") with { Mode = 0b001_111_111_111 },
            new TarItem("new\nline", Content: "n"),
            new TarItem("latin1-\u00e9\u00ff", Content: "not UTF-8"),
            new TarItem("utf8-\u00c3\u00a9", Content: "UTF-8"),
            .. Enumerable.Range(1, 5).Select(n => TarItem.Dir(string.Join('/', Enumerable.Repeat(new string('p', 59), n)))),
            new TarItem(longPath + "/f", Content: "deep"),
        ];
        (longPath.Length + 4).ShouldBeGreaterThanOrEqualTo(300);
        SourceRef volume = await NewVolumeAsync(items);

        Dictionary<string, TarItem> back = (await ReadAsync(volume)).ToDictionary(i => i.Path);

        back.Remove("").ShouldBeTrue();
        back.Keys.ShouldBe(items.Select(i => i.Path), ignoreOrder: true);
        foreach (TarItem item in items)
        {
            // Which of two links is called the file is the walk's choice; a link's own mode and time are those of its file.
            TarItem expected = item.Type == '1' ? item with { Mode = back[item.Path].Mode, Content = "" } : item;
            back[item.Path].ShouldBe(expected, item.Path);
        }
    }

    [Fact(Timeout = Limit)]
    public async Task A_backup_that_is_filled_in_elsewhere_is_read_back_byte_for_byte()
    {
        SourceRef from = await NewVolumeAsync(
            TarItem.Dir("a"), new TarItem("a/f", Content: new string('z', 100_000)), TarItem.HardLink("g", "a/f"), TarItem.Symlink("s", "a"));
        byte[] tar = await ReadBytesAsync(from);
        SourceRef to = await NewVolumeAsync();
        await FillAsync(to, tar);
        (await ReadBytesAsync(to)).AsSpan().SequenceEqual(tar).ShouldBeTrue("the same bytes");
    }

    [Fact(Timeout = Limit)]
    public async Task A_live_container_is_read_while_it_runs_and_while_it_is_paused()
    {
        SourceRef volume = await NewVolumeAsync();
        string id = await Scope.ContainerAsync(new TestContainer("echo up > /v/state; while :; do date >> /v/log; sleep 0.05; done") { Mounts = [new TestMount(volume.Name, "/v")] });
        while (!(await ReadAsync(volume)).Any(i => i.Path == "log")) await Task.Delay(50);
        await Environment.ActAsync(new ContainerAction(ContainerVerb.Pause, id), default);
        byte[] first = await ReadBytesAsync(volume);
        await Task.Delay(200);
        (await ReadBytesAsync(volume)).AsSpan().SequenceEqual(first).ShouldBeTrue("a paused container writes nothing");
        await Environment.ActAsync(new ContainerAction(ContainerVerb.Unpause, id), default);
    }

    [Fact(Timeout = Limit)]
    public async Task A_command_in_a_container_reports_its_exit_code_and_both_outputs()
    {
        string id = await NewContainerAsync(null, running: true);
        ExecResult result = await Environment.ExecAsync(id, ["/bin/sh", "-c", "echo out; echo err >&2; exit 3"], TimeSpan.FromSeconds(20), default);
        result.ShouldBe(new ExecResult(3, "out\n", "err\n"));
        (await Environment.ExecAsync(id, ["/bin/true"], TimeSpan.FromSeconds(20), default)).ShouldBe(new ExecResult(0, "", ""));
    }

    [Fact(Timeout = Limit)]
    public async Task Long_output_of_a_command_is_cut_at_64_KiB()
    {
        string id = await NewContainerAsync(null, running: true);
        ExecResult result = await Environment.ExecAsync(id, ["/bin/sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x; echo end >&2"], TimeSpan.FromSeconds(20), default);
        result.ExitCode.ShouldBe(0);
        result.Output.Length.ShouldBe(64 * 1024);
        result.Error.ShouldBe("end\n");
    }

    [Fact(Timeout = Limit)]
    public async Task A_command_that_does_not_end_in_time_is_an_error_that_names_it()
    {
        string id = await NewContainerAsync(null, running: true);
        EnvironmentException e = await Should.ThrowAsync<EnvironmentException>(
            Environment.ExecAsync(id, ["/bin/sleep", "30"], TimeSpan.FromSeconds(0.5), default));
        e.Problem.ShouldContain("/bin/sleep 30");
        e.Problem.ShouldContain(id[..12]);
        e.Problem.ShouldContain("0.5 s");
    }

    [Fact(Timeout = Limit)]
    public async Task A_command_that_does_not_end_in_time_is_killed_with_all_that_it_started_and_nothing_else_is()
    {
        string id = await NewContainerAsync(null, running: true);
        IPreparedExec slow = await Environment.PrepareExecAsync(id, ["/bin/sh", "-c", "sleep 301 & (sleep 302; :); :"], default);
        IPreparedExec other = await Environment.PrepareExecAsync(id, ["/bin/sh", "-c", "sleep 3; exit 7"], default);
        Task<ExecResult> beside = other.RunAsync(TimeSpan.FromSeconds(30), default);

        EnvironmentException e = await Should.ThrowAsync<EnvironmentException>(slow.RunAsync(TimeSpan.FromSeconds(1), default));

        e.Problem.ShouldContain("did not end within 1 s and was killed");
        (await Environment.ExecRunsAsync(slow.Id, default)).ShouldBeFalse();
        string top = await Scope.DockerAsync("top", id);
        top.ShouldNotContain("sleep 301");
        top.ShouldNotContain("sleep 302");
        (await beside).ExitCode.ShouldBe(7);
        (await StateAsync(id)).ShouldBe("running");
    }

    [Fact(Timeout = Limit)]
    public async Task A_command_that_is_not_there_fails_with_the_engines_words()
    {
        string id = await NewContainerAsync(null, running: true);
        try
        {
            // Old engines answer 400, newer ones run it to exit code 127.
            ExecResult result = await Environment.ExecAsync(id, ["/no/such/program"], TimeSpan.FromSeconds(20), default);
            result.ExitCode.ShouldBeOneOf(126, 127);
        }
        catch (EnvironmentException e)
        {
            e.Problem.ShouldContain("/no/such/program");
        }
    }

    [Fact(Timeout = Limit)]
    public async Task A_paused_container_runs_no_commands()
    {
        string id = await NewContainerAsync(null, running: true);
        await Environment.ActAsync(new ContainerAction(ContainerVerb.Pause, id), default);
        (await Should.ThrowAsync<EnvironmentException>(Environment.ExecAsync(id, ["/bin/true"], TimeSpan.FromSeconds(20), default))).Problem.ShouldContain("paused");
    }

    [Fact(Timeout = Limit)]
    public async Task A_bound_directory_is_read_filled_and_emptied_like_a_volume()
    {
        string folder = Scope.Folder("bind");
        await File.WriteAllTextAsync(Path.Combine(folder, "config"), "a = 1");
        SourceRef bind = SourceRef.Bind(folder);
        byte[] tar = await ReadBytesAsync(bind);
        RawTar.Parse(tar).Single(i => i.Path == "config").Content.ShouldBe("a = 1");
        (await Environment.ExistsAsync(bind, RunId, default)).ShouldBeTrue();

        string image = await Scope.ShellImageAsync();
        (await Environment.PlanEmptyAsync(bind, RunId, default)).ShouldContain(image);
        await Environment.EmptyAsync(bind, RunId, default);
        Directory.EnumerateFileSystemEntries(folder).ShouldBeEmpty();
        await FillAsync(bind, tar);
        (await File.ReadAllTextAsync(Path.Combine(folder, "config"))).ShouldBe("a = 1");
        (await HelpersAsync()).ShouldBe(0);
    }

    [Fact(Timeout = Limit)]
    public async Task A_bound_directory_keeps_its_own_owner_and_mode()
    {
        SourceRef bind = SourceRef.Bind(Scope.Folder("bind"));
        TarItem root = TarItem.Dir("") with { Uid = 70, Gid = 71, Mode = 0b111_000_000 };
        await FillAsync(bind, RawTar.Build([root, new TarItem("f")]));
        (await ReadAsync(bind)).Single(i => i.Path.Length == 0).ShouldBe(root);
    }

    [Fact(Timeout = Limit)]
    public async Task A_bound_file_is_one_entry_and_is_replaced_as_a_whole()
    {
        string folder = Scope.Folder("bind");
        string file = Path.Combine(folder, ".app.conf");
        await File.WriteAllTextAsync(file, "before");
        await File.WriteAllTextAsync(Path.Combine(folder, "neighbour"), "untouched");
        SourceRef bind = SourceRef.Bind(file);
        byte[] tar = await ReadBytesAsync(bind);
        TarItem entry = RawTar.Parse(tar).ShouldHaveSingleItem();
        (entry.Path, entry.Content).ShouldBe((".app.conf", "before"));

        await File.WriteAllTextAsync(file, "after");
        await Environment.EmptyAsync(bind, RunId, default);
        await FillAsync(bind, tar);
        (await File.ReadAllTextAsync(file)).ShouldBe("before");
        File.Delete(file);
        (await Environment.ExistsAsync(bind, RunId, default)).ShouldBeFalse();
        await FillAsync(bind, tar);
        (await File.ReadAllTextAsync(file)).ShouldBe("before");
        (await File.ReadAllTextAsync(Path.Combine(folder, "neighbour"))).ShouldBe("untouched");
    }

    [Fact(Timeout = Limit)]
    public async Task A_bound_directory_that_is_missing_is_created_with_its_parents()
    {
        string folder = Path.Combine(Scope.Folder("bind"), "not", "there");
        SourceRef bind = SourceRef.Bind(folder);
        EnvironmentException e = await Should.ThrowAsync<EnvironmentException>(ReadBytesAsync(bind));
        e.Kind.ShouldBe(FailureKind.NotFound);
        Directory.Exists(folder).ShouldBeFalse();
        await FillAsync(bind, RawTar.OfDirectory(new TarItem("f", Content: "1")));
        (await File.ReadAllTextAsync(Path.Combine(folder, "f"))).ShouldBe("1");
        (await HelpersAsync()).ShouldBe(0);
    }

    [Fact(Timeout = Limit)]
    public async Task A_writer_that_fails_over_a_missing_directory_leaves_nothing_half_done()
    {
        string folder = Path.Combine(Scope.Folder("bind"), "missing");
        var thrown = new InvalidDataException("damaged");
        Exception? caught = await Record.ExceptionAsync(() => Environment.FillAsync(SourceRef.Bind(folder), RunId, (_, _) => throw thrown, default));
        caught.ShouldBeSameAs(thrown);
        Directory.Exists(folder).ShouldBeFalse();
    }

    [Fact(Timeout = Limit)]
    public async Task A_volume_with_driver_options_is_never_recreated()
    {
        string device = Scope.Folder("device");
        string name = await Scope.VolumeAsync("opts", RawTar.OfDirectory(new TarItem("f")), new Dictionary<string, string>
        {
            ["type"] = "none", ["o"] = "bind", ["device"] = device,
        });
        SourceRef volume = SourceRef.Volume(name);
        File.Exists(Path.Combine(device, "f")).ShouldBeTrue();
        // No shell image here: a volume that is only a view of a directory would come back as full as it was.
        await Should.ThrowAsync<EnvironmentException>(Environment.PlanEmptyAsync(volume, RunId, default));
        await Scope.ShellImageAsync();
        await Environment.EmptyAsync(volume, RunId, default);
        Directory.EnumerateFileSystemEntries(device).ShouldBeEmpty();
        (await Environment.InspectAsync(default)).Volumes.Single(v => v.Name == name).Options["device"].ShouldBe(device);
    }

    [Fact(Timeout = Limit)]
    public async Task A_container_that_restarts_by_itself_and_one_that_is_removed_when_stopped_are_told_apart()
    {
        string id = await Scope.ContainerAsync(new TestContainer { AutoRemove = true, StopTimeout = 7 });
        ContainerFacts facts = (await Environment.FindContainerAsync(id, default)).ShouldNotBeNull();
        facts.AutoRemove.ShouldBeTrue();
        facts.StopTimeoutSeconds.ShouldBe(7);
        facts.ImageId.ShouldStartWith("sha256:");
        facts.ImageDigest.ShouldBeNull("an imported image has no repository digest");
    }

    [Fact(Timeout = Limit)]
    public async Task The_stock_client_sees_helpers_by_their_label()
    {
        SourceRef volume = await NewVolumeAsync();
        await using ISourceHandle handle = await Environment.PrepareSourceAsync(volume, RunId, default);
        string names = await Scope.DockerAsync("ps", "-a", "--filter", $"label={ContainerFacts.HelperLabel}={RunId}", "--format", "{{.Names}} {{.State}}");
        names.ShouldStartWith($"backup-helper-{RunId[..8]}-");
        names.ShouldEndWith(" created");
    }

    [Fact(Timeout = Limit)]
    public async Task A_refused_upload_says_why()
    {
        SourceRef volume = await NewVolumeAsync();
        byte[] escaping = RawTar.Build([new TarItem("../outside", Content: "x")]);
        EnvironmentException e = await Should.ThrowAsync<EnvironmentException>(FillAsync(volume, escaping));
        e.Problem.ShouldContain("outside");
    }

    [Fact(Timeout = Limit)]
    public async Task A_large_upload_that_the_engine_refuses_half_way_says_why()
    {
        SourceRef volume = await NewVolumeAsync();
        byte[] tar = RawTar.Build([new TarItem("../outside", Content: "x")], ended: false);
        EnvironmentException e = await Should.ThrowAsync<EnvironmentException>(Environment.FillAsync(volume, RunId, async (stream, cancel) =>
        {
            await stream.WriteAsync(tar, cancel);
            byte[] more = RawTar.Build([new TarItem("f", Content: new string('x', 1 << 20))], ended: false);
            for (int i = 0; i < 64; i++) await stream.WriteAsync(more, cancel);
        }, default));
        e.Problem.ShouldContain("outside");
        e.Unreachable.ShouldBeFalse();
    }
}

public sealed class UnixSocketEngineTests(EngineFixture engine) : RealEngineContract(engine)
{
    protected override DockerConnection Connect(EngineFixture engine) => engine.UnixConnection();
}

public sealed class TlsEngineTests(EngineFixture engine) : RealEngineContract(engine)
{
    protected override DockerConnection Connect(EngineFixture engine) => engine.TlsConnection();
}
