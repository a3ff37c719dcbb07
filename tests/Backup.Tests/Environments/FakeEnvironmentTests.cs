using System.Security.Cryptography;
using Backup.Environments;
using Backup.Tests.Contracts;
using Backup.Tests.Fakes;
using Shouldly;
using Xunit;

namespace Backup.Tests.Environments;

/// <summary>The fake keeps the contract too, else what is proved with it proves nothing.</summary>
public sealed class FakeEnvironmentTests : EnvironmentContract
{
    private const int Limit = 10_000;
    private readonly FakeEnvironment _fake = new("fake", new RunContext(TimeProvider.System, RandomNumberGenerator.Fill, new Progress<RunEvent>()));
    private int _names;

    protected override Task<IEnvironment> OpenAsync()
    {
        _fake.OnOpenExec = (_, command) => command == Writes3Mb ? new FakeOutput([.. Enumerable.Repeat((byte)'x', 3_000_000)])
            : command == FailsHalfWay ? new FakeOutput([.. "half\n"u8], 3, "disk is full") : throw new InvalidOperationException(string.Join(' ', command));
        var waits = new TaskCompletionSource();
        _fake.ExecGoesOn = (_, command) =>
        {
            if (command == EndsTheWait) waits.SetResult();
            return command == Waits ? waits.Task : Task.CompletedTask;
        };
        _fake.OnLoad = (_, command, input) => command == Counts ? new ExecResult(0, $"{input.Length}\n", "")
            : command == RefusesInput ? new ExecResult(4, "", "bad input") : throw new InvalidOperationException(string.Join(' ', command));
        return Task.FromResult<IEnvironment>(_fake);
    }

    protected override Task CloseAsync() => Task.CompletedTask;
    protected override string NewVolumeName() => $"v{_names++}";

    protected override Task<string> NewContainerAsync(string? volume, bool running, IReadOnlyDictionary<string, string>? labels = null, bool withShellImage = false)
    {
        _fake.HasShellImage |= withShellImage;
        return Task.FromResult(_fake.AddContainer($"c{_names++}", running ? "running" : "created", labels, mounts: volume is null ? [] : [volume + ":/v"]).Id);
    }

    protected override Task<string> NewNeighbourAsync(string of)
    {
        int asked = 0;
        _fake.HealthOf = c => c.Health is null ? null : asked++ < 3 ? "starting" : "healthy";
        string id = _fake.AddContainer($"c{_names++}").Id;
        _fake.Meddle(id, c => c with { SharesWith = [of], Health = "starting" });
        return Task.FromResult(id);
    }

    [Fact(Timeout = Limit)]
    public async Task A_fault_before_a_call_keeps_it_from_happening_and_one_after_it_does_not()
    {
        ContainerFacts db = _fake.AddContainer("db");
        _fake.Fault = call => call.Operation == "pause" ? new EnvironmentFault.Before(new EnvironmentException("fake", "no", "")) : null;
        await Should.ThrowAsync<EnvironmentException>(_fake.ActAsync(new ContainerAction(ContainerVerb.Pause, db.Id), default));
        _fake.Container(db.Id).State.ShouldBe("running");
        _fake.Fault = call => call.Operation == "pause" ? new EnvironmentFault.After(new EnvironmentException("fake", "lost", "")) : null;
        await Should.ThrowAsync<EnvironmentException>(_fake.ActAsync(new ContainerAction(ContainerVerb.Pause, db.Id), default));
        _fake.Container(db.Id).State.ShouldBe("paused");
        _fake.Calls.Count(c => c.Operation == "pause").ShouldBe(2);
        _fake.Actions.ShouldHaveSingleItem().Verb.ShouldBe(ContainerVerb.Pause);
    }

    [Fact(Timeout = Limit)]
    public async Task A_read_can_end_early_or_break()
    {
        SourceRef volume = await NewVolumeAsync(new TarItem("f", Content: new string('x', 50_000)));
        _fake.Fault = call => call.Operation == "open" ? new EnvironmentFault.EndsEarly(20_000) : null;
        (await ReadBytesAsync(volume)).Length.ShouldBe(20_000);
        var error = new EnvironmentException("fake", "broke", "");
        _fake.Fault = call => call.Operation == "open" ? new EnvironmentFault.Breaks(20_000, error) : null;
        (await Should.ThrowAsync<EnvironmentException>(ReadBytesAsync(volume))).ShouldBeSameAs(error);
        _fake.LiveHelpers.ShouldBe(0);
    }

    [Fact(Timeout = Limit)]
    public async Task A_paused_container_is_neither_stopped_nor_started_nor_given_commands()
    {
        ContainerFacts db = _fake.AddContainer("db", "paused");
        await Should.ThrowAsync<EnvironmentException>(_fake.ActAsync(new ContainerAction(ContainerVerb.Stop, db.Id), default));
        await Should.ThrowAsync<EnvironmentException>(_fake.ActAsync(new ContainerAction(ContainerVerb.Start, db.Id), default));
        await Should.ThrowAsync<EnvironmentException>(_fake.ExecAsync(db.Id, ["true"], TimeSpan.FromSeconds(1), default));
    }

    [Fact(Timeout = Limit)]
    public async Task A_cut_tar_is_not_filled_in()
    {
        SourceRef volume = await NewVolumeAsync();
        byte[] tar = RawTar.OfDirectory(new TarItem("f", Content: new string('x', 5_000)));
        await Should.ThrowAsync<InvalidDataException>(FillAsync(volume, tar[..^1024]));
        (await ReadAsync(volume)).ShouldHaveSingleItem();
    }

    [Fact(Timeout = Limit)]
    public async Task A_recreated_container_has_a_new_id_and_the_old_name()
    {
        ContainerFacts old = _fake.AddContainer("db");
        ContainerFacts made = _fake.Recreate(old.Id);
        made.Id.ShouldNotBe(old.Id);
        made.StartedAt.ShouldNotBe(old.StartedAt);
        (await _fake.FindContainerAsync("db", default)).ShouldBe(made);
        (await _fake.FindContainerAsync(old.Id, default)).ShouldBeNull();
    }
}
