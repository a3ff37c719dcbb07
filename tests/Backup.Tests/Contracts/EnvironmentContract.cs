using Backup.Environments;
using Backup.Tests.Environments;
using Shouldly;
using Xunit;

namespace Backup.Tests.Contracts;

/// <summary>What every <see cref="IEnvironment"/> must do, the strict fake included.</summary>
public abstract class EnvironmentContract : IAsyncLifetime
{
    private const int Limit = 60_000;

    /// <summary>Unique per test.</summary>
    protected string RunId { get; } = Guid.NewGuid().ToString("n");

    protected IEnvironment Environment { get; private set; } = null!;

    /// <summary>A fresh environment with nothing of this test in it.</summary>
    protected abstract Task<IEnvironment> OpenAsync();

    protected abstract Task CloseAsync();

    /// <summary>A name that nobody else uses and that is removed with the test.</summary>
    protected abstract string NewVolumeName();

    /// <summary>A container that mounts the volume at /v. Returns its id.</summary>
    protected abstract Task<string> NewContainerAsync(string? volume, bool running, IReadOnlyDictionary<string, string>? labels = null, bool withShellImage = false);

    /// <summary>A running container in the network and the pid namespace of another, with a health check that is soon good. Returns its id.</summary>
    protected abstract Task<string> NewNeighbourAsync(string of);

    public async Task InitializeAsync() => Environment = await OpenAsync();

    public async Task DisposeAsync()
    {
        await Environment.RemoveHelpersAsync(RunId, default);
        await Environment.DisposeAsync();
        await CloseAsync();
    }

    protected async Task<SourceRef> NewVolumeAsync(params TarItem[] items)
    {
        string name = NewVolumeName();
        await Environment.CreateVolumeAsync(
            new VolumeFacts(name, "local", new Dictionary<string, string>(), new Dictionary<string, string> { ["purpose"] = "contract" }, "local", false), default);
        var source = SourceRef.Volume(name);
        if (items.Length > 0) await FillAsync(source, RawTar.OfDirectory(items));
        return source;
    }

    protected Task FillAsync(SourceRef target, byte[] tar) =>
        Environment.FillAsync(target, RunId, async (stream, cancel) => await stream.WriteAsync(tar, cancel), default);

    protected async Task<byte[]> ReadBytesAsync(SourceRef source)
    {
        await using ISourceHandle handle = await Environment.PrepareSourceAsync(source, RunId, default);
        await using Stream tar = await handle.OpenAsync(default);
        using var all = new MemoryStream();
        await tar.CopyToAsync(all);
        return all.ToArray();
    }

    protected async Task<IReadOnlyList<TarItem>> ReadAsync(SourceRef source) => RawTar.Parse(await ReadBytesAsync(source));

    protected async Task<int> HelpersAsync() =>
        (await Environment.InspectAsync(default)).Containers.Count(c => c.HelperOfRun == RunId);

    protected async Task<string> StateAsync(string id) => (await Environment.FindContainerAsync(id, default)).ShouldNotBeNull().State;

    [Fact(Timeout = Limit)]
    public async Task The_inventory_tells_the_engine_the_volumes_and_who_uses_them()
    {
        SourceRef volume = await NewVolumeAsync();
        string id = await NewContainerAsync(volume.Name, running: true, new Dictionary<string, string>
        {
            ["com.docker.compose.project"] = "shop", ["com.docker.compose.service"] = "db",
        });

        Inventory inventory = await Environment.InspectAsync(default);

        inventory.Engine.Id.ShouldNotBeEmpty();
        inventory.Engine.Version.ShouldNotBeEmpty();
        Version.Parse(inventory.Engine.ApiVersion).ShouldBeGreaterThanOrEqualTo(new Version(1, 41));
        VolumeFacts facts = inventory.Volumes.Single(v => v.Name == volume.Name);
        facts.Driver.ShouldBe("local");
        facts.Labels["purpose"].ShouldBe("contract");
        facts.Anonymous.ShouldBeFalse();
        ContainerFacts container = inventory.Containers.Single(c => c.Id == id);
        container.State.ShouldBe("running");
        container.Running.ShouldBeTrue();
        container.Name.ShouldNotStartWith("/");
        container.Image.ShouldNotBeEmpty();
        container.ComposeProject.ShouldBe("shop");
        container.ComposeService.ShouldBe("db");
        container.StartedAt.ShouldNotBeEmpty();
        container.Mounts.ShouldContain(new MountFacts("volume", volume.Name, "/v", true));
    }

    [Fact(Timeout = Limit)]
    public async Task A_container_is_found_by_id_and_by_name_and_its_absence_is_null()
    {
        string id = await NewContainerAsync(null, running: false);
        ContainerFacts byId = (await Environment.FindContainerAsync(id, default)).ShouldNotBeNull();
        (await Environment.FindContainerAsync(byId.Name, default)).ShouldNotBeNull().Id.ShouldBe(id);
        (await Environment.FindContainerAsync("no-such-container-" + RunId, default)).ShouldBeNull();
    }

    [Fact(Timeout = Limit)]
    public async Task The_list_shows_every_container_with_its_state_labels_and_mounts()
    {
        SourceRef volume = await NewVolumeAsync();
        string id = await NewContainerAsync(volume.Name, running: true, new Dictionary<string, string> { ["com.docker.compose.project"] = "shop" });
        string off = await NewContainerAsync(null, running: false);
        await using ISourceHandle helper = await Environment.PrepareSourceAsync(volume, RunId, default);

        IReadOnlyList<ContainerSight> all = await Environment.ListContainersAsync(default);

        ContainerSight seen = all.Single(c => c.Id == id);
        (seen.Running, seen.Helper, seen.Name).ShouldBe((true, false, (await Environment.FindContainerAsync(id, default))!.Name));
        seen.Labels["com.docker.compose.project"].ShouldBe("shop");
        seen.Mounts.ShouldContain(new MountFacts("volume", volume.Name, "/v", true));
        all.Single(c => c.Id == off).Running.ShouldBeFalse();
        ContainerSight ours = all.Single(c => c.Labels.GetValueOrDefault(ContainerFacts.HelperLabel) == RunId);
        (ours.Helper, ours.Running, ours.Mounts.Single(m => m.Source == volume.Name).Writable).ShouldBe((true, false, false));
    }

    [Fact(Timeout = Limit)]
    public async Task A_container_tells_whose_namespaces_it_lives_in_and_how_well_it_is()
    {
        string host = await NewContainerAsync(null, running: true);
        string guest = await NewNeighbourAsync(host);

        ContainerFacts alone = (await Environment.FindContainerAsync(host, default)).ShouldNotBeNull();
        (alone.SharesWith.Count, alone.Health).ShouldBe((0, null));
        ContainerFacts now = (await Environment.FindContainerAsync(guest, default)).ShouldNotBeNull();
        now.SharesWith.ShouldBe([host]);
        while (now.Health != "healthy")
        {
            now.Health.ShouldBe("starting");
            await Task.Delay(50);
            now = (await Environment.FindContainerAsync(guest, default)).ShouldNotBeNull();
        }
        await Environment.ActAsync(new ContainerAction(ContainerVerb.Stop, guest), default);
        await Environment.ActAsync(new ContainerAction(ContainerVerb.Start, guest), default);
        (await Environment.FindContainerAsync(guest, default)).ShouldNotBeNull().Health.ShouldNotBeNull();
    }

    [Fact(Timeout = Limit)]
    public async Task What_was_filled_in_is_read_back()
    {
        TarItem[] items =
        [
            TarItem.Dir("dir"),
            new TarItem("dir/file", Content: "content", Mode: 0b110_000_000, Uid: 1234, Gid: 4321, Mtime: 1_600_000_001),
            new TarItem("empty"),
            TarItem.Symlink("link", "dir/file"),
        ];
        SourceRef volume = await NewVolumeAsync(items);
        (await ReadAsync(volume)).Where(i => i.Path.Length > 0).ShouldBe(items, ignoreOrder: true);
    }

    [Fact(Timeout = Limit)]
    public async Task The_owner_mode_and_time_of_the_root_itself_come_back()
    {
        SourceRef volume = await NewVolumeAsync();
        TarItem root = TarItem.Dir("") with { Uid = 70, Gid = 71, Mode = 0b111_000_000, Mtime = 1_600_000_002 };
        await FillAsync(volume, RawTar.Build([root, new TarItem("f", Content: "x")]));
        (await ReadAsync(volume)).Single(i => i.Path.Length == 0).ShouldBe(root);
    }

    [Fact(Timeout = Limit)]
    public async Task Filling_adds_and_replaces_and_deletes_nothing()
    {
        SourceRef volume = await NewVolumeAsync(new TarItem("old", Content: "old"), new TarItem("both", Content: "before"));
        await FillAsync(volume, RawTar.OfDirectory(new TarItem("both", Content: "after"), new TarItem("new", Content: "new")));
        (await ReadAsync(volume)).Where(i => i.Type == '0').ToDictionary(i => i.Path, i => i.Content)
            .ShouldBe(new Dictionary<string, string> { ["old"] = "old", ["both"] = "after", ["new"] = "new" }, ignoreOrder: true);
    }

    [Fact(Timeout = Limit)]
    public async Task An_empty_volume_is_a_tar_of_its_root_alone()
    {
        SourceRef volume = await NewVolumeAsync();
        (await ReadAsync(volume)).ShouldHaveSingleItem().Path.ShouldBeEmpty();
        (await Environment.IsEmptyAsync(volume, RunId, default)).ShouldBeTrue();
        await FillAsync(volume, RawTar.OfDirectory(new TarItem(".hidden")));
        (await Environment.IsEmptyAsync(volume, RunId, default)).ShouldBeFalse();
    }

    [Fact(Timeout = Limit)]
    public async Task A_missing_volume_is_not_found_and_not_created_silently()
    {
        var missing = SourceRef.Volume(NewVolumeName());
        (await Environment.ExistsAsync(missing, RunId, default)).ShouldBeFalse();
        foreach (Func<Task> act in new Func<Task>[]
                 {
                     () => ReadBytesAsync(missing), () => FillAsync(missing, RawTar.OfDirectory()), () => Environment.EmptyAsync(missing, RunId, default),
                     () => Environment.IsEmptyAsync(missing, RunId, default), () => Environment.PlanEmptyAsync(missing, RunId, default),
                 })
        {
            EnvironmentException e = await act.ShouldThrowAsync<EnvironmentException>();
            e.Kind.ShouldBe(FailureKind.NotFound);
            e.Unreachable.ShouldBeFalse();
            e.Problem.ShouldContain(missing.Name);
        }
        (await Environment.InspectAsync(default)).Volumes.ShouldNotContain(v => v.Name == missing.Name);
        (await HelpersAsync()).ShouldBe(0);
    }

    [Fact(Timeout = Limit)]
    public async Task A_volume_that_exists_is_not_created_again()
    {
        SourceRef volume = await NewVolumeAsync();
        (await Environment.ExistsAsync(volume, RunId, default)).ShouldBeTrue();
        var facts = new VolumeFacts(volume.Name, "local", new Dictionary<string, string>(), new Dictionary<string, string>(), "local", false);
        (await Should.ThrowAsync<EnvironmentException>(Environment.CreateVolumeAsync(facts, default))).Problem.ShouldContain("exists already");
    }

    [Fact(Timeout = Limit)]
    public async Task A_prepared_source_holds_one_helper_marked_by_its_run_and_can_be_read_twice()
    {
        SourceRef volume = await NewVolumeAsync(new TarItem("a", Content: "1"));
        (await HelpersAsync()).ShouldBe(0);
        ISourceHandle handle = await Environment.PrepareSourceAsync(volume, RunId, default);
        (await HelpersAsync()).ShouldBe(1);
        for (int i = 0; i < 2; i++)
        {
            await using Stream tar = await handle.OpenAsync(default);
            using var all = new MemoryStream();
            await tar.CopyToAsync(all);
            RawTar.Parse(all.ToArray()).Count.ShouldBe(2);
        }
        await handle.DisposeAsync();
        await handle.DisposeAsync();
        (await HelpersAsync()).ShouldBe(0);
    }

    [Fact(Timeout = Limit)]
    public async Task An_abandoned_read_leaves_no_helper()
    {
        SourceRef volume = await NewVolumeAsync(new TarItem("big", Content: new string('x', 4 << 20)));
        ISourceHandle handle = await Environment.PrepareSourceAsync(volume, RunId, default);
        Stream tar = await handle.OpenAsync(default);
        await tar.ReadExactlyAsync(new byte[1000]);
        await handle.DisposeAsync();
        (await HelpersAsync()).ShouldBe(0);
    }

    [Fact(Timeout = Limit)]
    public async Task A_cancelled_read_throws_the_cancellation_and_leaves_no_helper()
    {
        SourceRef volume = await NewVolumeAsync(new TarItem("big", Content: new string('x', 4 << 20)));
        using var cancel = new CancellationTokenSource();
        await using (ISourceHandle handle = await Environment.PrepareSourceAsync(volume, RunId, cancel.Token))
        {
            await using Stream tar = await handle.OpenAsync(cancel.Token);
            await tar.ReadExactlyAsync(new byte[1000], cancel.Token);
            await cancel.CancelAsync();
            await Should.ThrowAsync<OperationCanceledException>(async () => await tar.CopyToAsync(Stream.Null, cancel.Token));
        }
        (await HelpersAsync()).ShouldBe(0);
    }

    [Fact(Timeout = Limit)]
    public async Task A_call_with_a_cancelled_token_throws_the_cancellation()
    {
        var cancelled = new CancellationToken(canceled: true);
        await Should.ThrowAsync<OperationCanceledException>(Environment.InspectAsync(cancelled));
        await Should.ThrowAsync<OperationCanceledException>(Environment.PrepareSourceAsync(SourceRef.Volume("any"), RunId, cancelled));
    }

    [Fact(Timeout = Limit)]
    public async Task What_the_writer_throws_comes_out_and_no_helper_stays()
    {
        SourceRef volume = await NewVolumeAsync();
        var thrown = new InvalidDataException("the snapshot is damaged");
        byte[] head = RawTar.OfDirectory(new TarItem("half", Content: new string('x', 100_000)))[..50_000];
        Exception? caught = await Record.ExceptionAsync(() => Environment.FillAsync(volume, RunId, async (stream, cancel) =>
        {
            await stream.WriteAsync(head, cancel);
            throw thrown;
        }, default));
        caught.ShouldBeSameAs(thrown);
        (await HelpersAsync()).ShouldBe(0);
    }

    [Fact(Timeout = Limit)]
    public async Task Pausing_and_resuming_twice_is_as_good_as_once()
    {
        string id = await NewContainerAsync(null, running: true);
        string startedAt = (await Environment.FindContainerAsync(id, default))!.StartedAt;
        await Environment.ActAsync(new ContainerAction(ContainerVerb.Unpause, id), default);
        await Environment.ActAsync(new ContainerAction(ContainerVerb.Pause, id), default);
        await Environment.ActAsync(new ContainerAction(ContainerVerb.Pause, id), default);
        (await StateAsync(id)).ShouldBe("paused");
        await Environment.ActAsync(new ContainerAction(ContainerVerb.Unpause, id), default);
        await Environment.ActAsync(new ContainerAction(ContainerVerb.Unpause, id), default);
        (await StateAsync(id)).ShouldBe("running");
        (await Environment.FindContainerAsync(id, default))!.StartedAt.ShouldBe(startedAt);
    }

    [Fact(Timeout = Limit)]
    public async Task Stopping_and_starting_twice_is_as_good_as_once()
    {
        string id = await NewContainerAsync(null, running: true);
        string startedAt = (await Environment.FindContainerAsync(id, default))!.StartedAt;
        await Environment.ActAsync(new ContainerAction(ContainerVerb.Start, id), default);
        await Environment.ActAsync(new ContainerAction(ContainerVerb.Stop, id, 0), default);
        await Environment.ActAsync(new ContainerAction(ContainerVerb.Stop, id), default);
        (await StateAsync(id)).ShouldBe("exited");
        await Environment.ActAsync(new ContainerAction(ContainerVerb.Start, id), default);
        await Environment.ActAsync(new ContainerAction(ContainerVerb.Start, id), default);
        ContainerFacts after = (await Environment.FindContainerAsync(id, default))!;
        after.State.ShouldBe("running");
        after.StartedAt.ShouldNotBe(startedAt);
    }

    [Fact(Timeout = Limit)]
    public async Task A_stopped_container_cannot_be_paused_and_runs_no_commands()
    {
        string id = await NewContainerAsync(null, running: false);
        await Should.ThrowAsync<EnvironmentException>(Environment.ActAsync(new ContainerAction(ContainerVerb.Pause, id), default));
        await Should.ThrowAsync<EnvironmentException>(Environment.ExecAsync(id, ["true"], TimeSpan.FromSeconds(10), default));
    }

    [Fact(Timeout = Limit)]
    public async Task A_prepared_command_does_not_run_before_it_is_told_to_and_its_id_tells_when_it_is_over()
    {
        string id = await NewContainerAsync(null, running: true);
        IPreparedExec exec = await Environment.PrepareExecAsync(id, Waits, default);
        (await Environment.ExecRunsAsync(exec.Id, default)).ShouldBeFalse();
        Task<ExecResult> run = exec.RunAsync(TimeSpan.FromSeconds(50), default);
        while (!await Environment.ExecRunsAsync(exec.Id, default)) run.IsCompleted.ShouldBeFalse();
        (await Environment.ExecAsync(id, EndsTheWait, TimeSpan.FromSeconds(20), default)).ExitCode.ShouldBe(0);
        (await run).ExitCode.ShouldBe(0);
        (await Environment.ExecRunsAsync(exec.Id, default)).ShouldBeFalse();
        (await Environment.ExecRunsAsync(new string('0', 64), default)).ShouldBeFalse();
    }

    [Theory(Timeout = Limit)]
    [InlineData(ContainerVerb.Pause)]
    [InlineData(ContainerVerb.Unpause)]
    [InlineData(ContainerVerb.Stop)]
    [InlineData(ContainerVerb.Start)]
    public async Task Acting_on_a_container_that_is_gone_is_not_found(ContainerVerb verb)
    {
        EnvironmentException e = await Should.ThrowAsync<EnvironmentException>(
            Environment.ActAsync(new ContainerAction(verb, "no-such-container-" + RunId), default));
        e.Kind.ShouldBe(FailureKind.NotFound);
        e.Unreachable.ShouldBeFalse();
    }

    [Fact(Timeout = Limit)]
    public async Task A_volume_that_nobody_references_is_emptied_and_keeps_its_facts()
    {
        SourceRef volume = await NewVolumeAsync(TarItem.Dir("d"), new TarItem("d/f", Content: "x"), new TarItem(".hidden"));
        VolumeFacts before = (await Environment.InspectAsync(default)).Volumes.Single(v => v.Name == volume.Name);
        (await Environment.PlanEmptyAsync(volume, RunId, default)).ShouldContain("created again");
        (await Environment.IsEmptyAsync(volume, RunId, default)).ShouldBeFalse("planning changes nothing");
        await Environment.EmptyAsync(volume, RunId, default);
        (await ReadAsync(volume)).ShouldHaveSingleItem();
        VolumeFacts after = (await Environment.InspectAsync(default)).Volumes.Single(v => v.Name == volume.Name);
        after.Labels.ShouldBe(before.Labels);
        after.Options.ShouldBe(before.Options);
        after.Driver.ShouldBe(before.Driver);
        (await HelpersAsync()).ShouldBe(0);
    }

    [Fact(Timeout = Limit)]
    public async Task Emptying_an_empty_volume_is_no_work_even_while_it_is_referenced()
    {
        SourceRef volume = await NewVolumeAsync();
        await NewContainerAsync(volume.Name, running: false);
        (await Environment.PlanEmptyAsync(volume, RunId, default)).ShouldContain("empty already");
        await Environment.EmptyAsync(volume, RunId, default);
        (await Environment.IsEmptyAsync(volume, RunId, default)).ShouldBeTrue();
    }

    [Fact(Timeout = Limit)]
    public async Task A_volume_that_a_stopped_container_references_is_emptied_by_a_shell_borrowed_from_its_image()
    {
        SourceRef volume = await NewVolumeAsync(
            TarItem.Dir("d"), new TarItem("d/f", Content: "x"), new TarItem(".hidden"), new TarItem("..odd"), new TarItem("-rf"), new TarItem("new\nline"),
            TarItem.Symlink("dangling", "/nowhere"));
        await NewContainerAsync(volume.Name, running: false, withShellImage: true);
        (await Environment.PlanEmptyAsync(volume, RunId, default)).ShouldContain("borrows");
        (await ReadAsync(volume)).Count.ShouldBe(8, "planning changes nothing");
        await Environment.EmptyAsync(volume, RunId, default);
        (await ReadAsync(volume)).ShouldHaveSingleItem();
        (await HelpersAsync()).ShouldBe(0);
    }

    [Fact(Timeout = Limit)]
    public async Task A_referenced_volume_without_any_shell_on_the_host_is_refused_and_keeps_its_content()
    {
        SourceRef volume = await NewVolumeAsync(new TarItem("precious"));
        await NewContainerAsync(volume.Name, running: false);
        EnvironmentException planned = await Should.ThrowAsync<EnvironmentException>(Environment.PlanEmptyAsync(volume, RunId, default));
        EnvironmentException done = await Should.ThrowAsync<EnvironmentException>(Environment.EmptyAsync(volume, RunId, default));
        done.Problem.ShouldBe(planned.Problem);
        done.Problem.ShouldContain(volume.Name);
        done.Hint.ShouldContain("remove the containers that use it");
        (await ReadAsync(volume)).ShouldContain(i => i.Path == "precious");
        (await HelpersAsync()).ShouldBe(0);
    }

    [Fact(Timeout = Limit)]
    public async Task Helpers_are_swept_by_their_run_and_nothing_else_is_touched()
    {
        SourceRef volume = await NewVolumeAsync();
        string stranger = await NewContainerAsync(volume.Name, running: false);
        string otherRun = "other" + RunId;
        await using ISourceHandle mine = await Environment.PrepareSourceAsync(volume, RunId, default);
        await using ISourceHandle other = await Environment.PrepareSourceAsync(volume, otherRun, default);

        (await Environment.RemoveHelpersAsync(RunId, default)).ShouldBe(1);
        (await Environment.RemoveHelpersAsync(RunId, default)).ShouldBe(0);

        IReadOnlyList<ContainerFacts> left = (await Environment.InspectAsync(default)).Containers;
        left.Count(c => c.HelperOfRun == otherRun).ShouldBe(1);
        left.ShouldContain(c => c.Id == stranger);
        (await Environment.RemoveHelpersAsync(null, default)).ShouldBeGreaterThanOrEqualTo(1);
        left = (await Environment.InspectAsync(default)).Containers;
        left.ShouldNotContain(c => c.HelperOfRun != null);
        left.ShouldContain(c => c.Id == stranger);
    }

    // ---- commands whose output or input has no bound

    /// <summary>Runs until <see cref="EndsTheWait"/> was run in the same container.</summary>
    protected static readonly string[] Waits = Script("until [ -e /go ]; do sleep 0.1; done");

    protected static readonly string[] EndsTheWait = Script(": >/go");

    /// <summary>3,000,000 bytes <c>x</c> to standard output and as many to standard error, then exit code 0.</summary>
    protected static readonly string[] Writes3Mb = Script("head -c 3000000 /dev/zero | tr '\\0' e >&2; head -c 3000000 /dev/zero | tr '\\0' x");

    /// <summary><c>half</c> to standard output, <c>disk is full</c> to standard error, then exit code 3.</summary>
    protected static readonly string[] FailsHalfWay = Script("echo half; echo disk is full >&2; exit 3");

    /// <summary>Reads all input and writes how many bytes it was.</summary>
    protected static readonly string[] Counts = Script("wc -c");

    /// <summary>Reads a little, says <c>bad input</c> to standard error, and ends with exit code 4.</summary>
    protected static readonly string[] RefusesInput = Script("head -c 10 >/dev/null; echo bad input >&2; exit 4");

    protected static string[] Script(string text) => ["/bin/sh", "-c", text];

    [Fact(Timeout = Limit)]
    public async Task The_output_of_a_command_is_a_stream_of_any_length()
    {
        string id = await NewContainerAsync(null, running: true);
        await using Stream output = await Environment.OpenExecAsync(id, Writes3Mb, default);
        using var all = new MemoryStream();
        await output.CopyToAsync(all);
        all.Length.ShouldBe(3_000_000);
        all.ToArray().ShouldAllBe(b => b == 'x');
        (await output.ReadAsync(new byte[10])).ShouldBe(0, "the end stays the end");
    }

    [Fact(Timeout = Limit)]
    public async Task A_command_that_fails_after_it_wrote_something_does_not_come_to_a_clean_end()
    {
        string id = await NewContainerAsync(null, running: true);
        await using Stream output = await Environment.OpenExecAsync(id, FailsHalfWay, default);
        using var all = new MemoryStream();
        CommandFailedException e = await Should.ThrowAsync<CommandFailedException>(output.CopyToAsync(all));
        e.Problem.ShouldContain("exit code 3: disk is full");
        System.Text.Encoding.ASCII.GetString(all.ToArray()).ShouldBe("half\n");
    }

    [Fact(Timeout = Limit)]
    public async Task A_stream_that_is_given_up_early_and_a_cancelled_one_end_at_once()
    {
        string id = await NewContainerAsync(null, running: true);
        await using (Stream given = await Environment.OpenExecAsync(id, Writes3Mb, default)) await given.ReadExactlyAsync(new byte[10]);
        using var cancel = new CancellationTokenSource();
        await using Stream output = await Environment.OpenExecAsync(id, Writes3Mb, cancel.Token);
        await output.ReadExactlyAsync(new byte[10], cancel.Token);
        await cancel.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(async () => await output.CopyToAsync(Stream.Null, cancel.Token));
    }

    /// <summary>False where the way to the engine passes no standard input on: then that is what has to be said.</summary>
    protected virtual bool PassesInput => true;

    private async Task<bool> SaysThatNoInputPassesAsync(string id)
    {
        if (PassesInput) return false;
        EnvironmentException e = await Should.ThrowAsync<EnvironmentException>(
            Environment.LoadAsync(id, Counts, 1, (_, _) => throw new InvalidOperationException("nothing is to be written"), default));
        e.Problem.ShouldContain("does not pass standard input on");
        return true;
    }

    [Theory(Timeout = Limit)]
    [InlineData(0)]
    [InlineData(5)]
    [InlineData(3_000_000)]
    public async Task A_command_is_given_exactly_the_input_that_was_announced(int length)
    {
        string id = await NewContainerAsync(null, running: true);
        if (await SaysThatNoInputPassesAsync(id)) return;
        ExecResult result = await Environment.LoadAsync(id, Counts, length, (input, cancel) => input.WriteAsync(new byte[length], cancel).AsTask(), default);
        result.ExitCode.ShouldBe(0);
        result.Output.Trim().ShouldBe($"{length}");
    }

    [Theory(Timeout = Limit)]
    [InlineData(10)]
    [InlineData(3_000_000)]
    public async Task A_command_that_takes_only_part_of_its_input_and_fails_says_why(int length)
    {
        string id = await NewContainerAsync(null, running: true);
        if (await SaysThatNoInputPassesAsync(id)) return;
        EnvironmentException e = await Should.ThrowAsync<EnvironmentException>(Environment.LoadAsync(id, RefusesInput, length, async (input, cancel) =>
        {
            for (int left = length; left > 0; left -= 10) await input.WriteAsync(new byte[10], cancel);
        }, default));
        e.Problem.ShouldContain("exit code 4: bad input");
    }

    [Fact(Timeout = Limit)]
    public async Task What_the_writer_of_an_input_throws_comes_out()
    {
        string id = await NewContainerAsync(null, running: true);
        if (await SaysThatNoInputPassesAsync(id)) return;
        var thrown = new InvalidOperationException("the snapshot is damaged");
        Exception? caught = await Record.ExceptionAsync(() => Environment.LoadAsync(id, Counts, 100, async (input, cancel) =>
        {
            await input.WriteAsync(new byte[50], cancel);
            throw thrown;
        }, default));
        caught.ShouldBeSameAs(thrown);
    }

    [Theory(Timeout = Limit)]
    [InlineData(99)]
    [InlineData(101)]
    public async Task An_input_of_another_length_than_announced_is_refused(int written)
    {
        string id = await NewContainerAsync(null, running: true);
        if (await SaysThatNoInputPassesAsync(id)) return;
        await Should.ThrowAsync<InvalidDataException>(Environment.LoadAsync(id, Counts, 100, (input, cancel) => input.WriteAsync(new byte[written], cancel).AsTask(), default));
    }

    [Fact(Timeout = Limit)]
    public async Task A_container_that_does_not_run_has_neither_output_nor_input()
    {
        string id = await NewContainerAsync(null, running: false);
        await Should.ThrowAsync<EnvironmentException>(Environment.OpenExecAsync(id, Counts, default));
        await Should.ThrowAsync<EnvironmentException>(Environment.LoadAsync(id, Counts, 1, (_, _) => Task.CompletedTask, default));
    }
}
