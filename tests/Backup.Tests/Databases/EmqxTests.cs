using Backup.Running;
using Backup.Snapshots;
using Backup.Tests.Environments;
using Backup.Tests.Running;
using Shouldly;
using Xunit;

namespace Backup.Tests.Databases;

/// <summary>EMQX's preset against a strict stand-in for its program. The real EMQX was not run: no package has it here.</summary>
[Collection("engine")]
public sealed class EmqxTests(EngineFixture engine) : DatabaseTests(engine)
{
    private const int Limit = 120_000;

    private static Task<string> BackupsAsync(DatabaseContainer database) => database.ShellAsync("ls -A /opt/emqx/data/backup");

    private async Task<string> NameOfAsync(DatabaseContainer database) => (await Scope.Engine.DockerAsync("inspect", "-f", "{{.Name}}", database.Id)).TrimStart('/');

    [Fact(Timeout = Limit)]
    public async Task Its_volume_holds_an_export_of_its_own_which_is_not_left_behind()
    {
        DatabaseContainer database = await Scope.StartAsync(DatabaseKind.Emqx);
        Snapshot snapshot = (await Scope.Running.RunWellAsync()).Snapshots.ShouldHaveSingleItem().Snapshot;
        snapshot.Consistency.ShouldBe("pause");
        (await BackupsAsync(database)).ShouldBe("");
        File.ReadAllLines(Path.Combine(database.Memory!, "argv")).ShouldContain("ctl data export");

        string restored = database.Volume + "r";
        await Scope.Running.RestoreWellAsync(snapshot.Id, name: restored);
        (await Scope.Running.AskAsync(restored, "tar -xzOf backup/emqx-export-*.tar.gz --wildcards '*/mnesia/emqx_retainer'")).ShouldBe("retained message of the stand-in");
        await Scope.Running.NothingIsLeftAsync(database.Id);
    }

    [Fact(Timeout = Limit)]
    public async Task Its_export_goes_into_another_node_and_errors_that_it_only_prints_are_failures()
    {
        DatabaseContainer database = await Scope.StartAsync(DatabaseKind.Emqx), fresh = await Scope.StartAsync(DatabaseKind.Emqx);
        await database.ShellAsync("echo changed >/opt/emqx/data/mnesia/emqx_retainer");
        Scope.Preset(database, "emqx", "dump");
        Scope.Running.Rule(fresh.Volume, "quiesce", "none");
        string source = $"dump:{await NameOfAsync(database)}";
        Snapshot snapshot = (await Scope.Running.RunWellAsync()).Snapshots.Select(m => m.Snapshot).Single(s => s.Volume == source);
        await Scope.Running.RestoreWellAsync(snapshot.Id, name: await NameOfAsync(fresh));
        (await fresh.ShellAsync("cat /opt/emqx/data/mnesia/emqx_retainer")).ShouldBe("changed");
        (await BackupsAsync(database)).ShouldBe("");
        (await BackupsAsync(fresh)).ShouldBe("");

        // The command itself ends with 0 in either case.
        File.WriteAllText(Path.Combine(fresh.Memory!, "fail-import"), "");
        (await Should.ThrowAsync<BackupException>(Scope.Running.RestoreAsync(snapshot.Id, name: await NameOfAsync(fresh)))).Problem.ShouldContain("some errors occurred");
        (await BackupsAsync(fresh)).ShouldBe("");
        File.WriteAllText(Path.Combine(database.Memory!, "fail-export"), "");
        (await Scope.Running.RunAsync()).Failures.ShouldHaveSingleItem().Problem.ShouldContain("Data export failed, reason: enospc");
        await Scope.Running.NothingIsLeftAsync(database.Id, fresh.Id);
    }

    [Theory(Timeout = Limit)]
    [InlineData("volume")]
    [InlineData("dump")]
    public async Task A_node_that_is_down_is_found_by_the_check(string method)
    {
        DatabaseContainer database = await Scope.StartAsync(DatabaseKind.Emqx);
        File.Delete(Path.Combine(database.Memory!, "pid"));
        Scope.Preset(database, "emqx", method);
        (await Scope.Running.RunAsync()).Failures.ShouldHaveSingleItem().Problem.ShouldContain("not responding to pings");
        (await Scope.Running.HappenedAsync(database.Id)).ShouldNotContain("pause");
        (await Scope.Running.ListAsync()).ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task A_node_that_went_down_meanwhile_keeps_no_export_and_needs_nobody()
    {
        DatabaseContainer database = await Scope.StartAsync(DatabaseKind.Emqx);
        Scope.Preset(database, "emqx");
        Scope.Running.On = e =>
        {
            if (e is RunEvent.ContainerQuiesced { How: "hook" }) File.Delete(Path.Combine(database.Memory!, "pid"));
        };
        await Scope.Running.RunWellAsync();
        (await BackupsAsync(database)).ShouldBe("");
        await Scope.Running.NothingIsLeftAsync(database.Id);
    }
}
