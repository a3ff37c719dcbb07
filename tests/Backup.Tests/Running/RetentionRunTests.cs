using System.Text.Json.Nodes;
using Backup.Running;
using Backup.Snapshots;
using Backup.Tests.Environments;
using Backup.Tests.Fakes;
using Shouldly;
using Xunit;

namespace Backup.Tests.Running;

/// <summary>What retention removes after a run, and what it must never touch.</summary>
[Collection("engine")]
public sealed class RetentionRunTests(EngineFixture engine) : IAsyncLifetime
{
    private const int Limit = 90_000;
    private readonly RunningScope _scope = new(engine);

    public Task InitializeAsync() => Task.CompletedTask;
    public async Task DisposeAsync() => await _scope.DisposeAsync();

    [Fact(Timeout = Limit)]
    public async Task Retention_after_a_run_removes_what_it_should_and_nothing_of_a_volume_that_failed()
    {
        KeepLast(2);
        string good = await _scope.VolumeAsync("good", "echo 1 > f"), bad = await _scope.VolumeAsync("bad", "echo 1 > f");
        await _scope.RunWellAsync();
        await _scope.RunWellAsync();
        IReadOnlyList<Snapshot> before = await _scope.ListAsync();
        before.Count.ShouldBe(4);
        string[] unrelated = ["notes.txt", $"{RunningScope.Local}/{good}/readme"];
        foreach (string key in unrelated) await File.WriteAllTextAsync(Path.Combine(_scope.StorePath, key), "mine");
        KeepLast(1);
        _scope.Wrap = store => new FaultyObjectStore(store, (op, key) =>
            op == "commit" && key.Contains($"/{bad}/", StringComparison.Ordinal) && key.EndsWith(".tar.zst", StringComparison.Ordinal) ? Fault.Fail("the disk broke") : null);

        RunReport report = await _scope.RunAsync();

        report.Failures.ShouldHaveSingleItem().Volume.ShouldBe(bad);
        report.Removed.ShouldBe(before.Where(s => s.Volume == good).Select(s => s.Id), ignoreOrder: true);
        IReadOnlyList<Snapshot> after = await _scope.AllVerifyAsync();
        after.Where(s => s.Volume == good).ShouldHaveSingleItem().Id.ShouldBe(report.Snapshots.Single().Snapshot.Id);
        after.Where(s => s.Volume == bad).Select(s => s.Id).ShouldBe(before.Where(s => s.Volume == bad).Select(s => s.Id), "the old ones are all there is");
        IReadOnlyList<string> keys = await _scope.KeysAsync();
        keys.Count.ShouldBe(3 * 3 + unrelated.Length);
        keys.ShouldBeSubsetOf([.. keys.Where(k => k.Contains(after[0].Id) || k.Contains(after[1].Id) || k.Contains(after[2].Id)), .. unrelated]);
    }

    [Fact(Timeout = Limit)]
    public async Task A_volume_never_touches_another_whose_name_begins_alike()
    {
        KeepLast(1);
        string app1 = await _scope.VolumeAsync("app1", "echo 1 > f"), app10 = await _scope.VolumeAsync("app10", "echo 10 > f");
        _scope.Rule(app10, "retention", new JsonObject { ["keepLast"] = 9 });
        await _scope.RunWellAsync();
        await _scope.RunWellAsync();

        RunReport report = await _scope.RunWellAsync();

        IReadOnlyList<Snapshot> left = await _scope.AllVerifyAsync();
        left.Where(s => s.Volume == app1).ShouldHaveSingleItem().Id.ShouldBe(report.Snapshots.Single(s => s.Snapshot.Volume == app1).Snapshot.Id);
        left.Count(s => s.Volume == app10).ShouldBe(3);
        foreach (Snapshot snapshot in left.Where(s => s.Volume == app10))
        {
            await using Backends backends = _scope.Open();
            await using SnapshotReader reader = await backends.Store("disk").OpenAsync(snapshot, default);
            reader.Record.Source.ShouldBe(app10);
        }
        (await _scope.KeysAsync()).Count.ShouldBe(4 * 3);
    }

    [Fact(Timeout = Limit)]
    public async Task Prune_thins_what_became_old_meanwhile()
    {
        _scope.Defaults["retention"] = new JsonObject { ["keepLast"] = 1, ["keep"] = new JsonArray(new JsonObject { ["cron"] = "0 0 * * *", ["for"] = "3d" }) };
        await _scope.VolumeAsync("v", "echo 1 > f");
        var made = new List<string>();
        for (int day = 0; day < 3; day++)
        {
            made.Add((await _scope.RunWellAsync()).Snapshots.Single().Snapshot.Id);
            _scope.Pass(TimeSpan.FromDays(1));
        }
        (await _scope.ListAsync()).Count.ShouldBe(3, "one of each day");
        _scope.Pass(TimeSpan.FromDays(30));

        PruneReport report = await _scope.PruneAsync(TimeSpan.FromDays(1));

        report.Failures.ShouldBeEmpty();
        report.Decisions.Count(d => !d.Keep).ShouldBe(2);
        (await _scope.AllVerifyAsync()).ShouldHaveSingleItem().Id.ShouldBe(made[2]);
    }

    private void KeepLast(int count) => _scope.Defaults["retention"] = new JsonObject { ["keepLast"] = count };
}
