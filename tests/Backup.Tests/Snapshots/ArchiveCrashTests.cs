using System.Text;
using Backup.Snapshots;
using Backup.Snapshots.Archive;
using Backup.Tests.Fakes;
using Shouldly;
using Xunit;

namespace Backup.Tests.Snapshots;

public sealed class ArchiveCrashTests
{
    private const int Limit = 60_000;
    private const string Stem = "web/data/20260102T030405Z-" + Sample.Id;
    private readonly SetClock _clock = new(Sample.Taken);
    private readonly List<RunEvent> _events = [];
    private readonly CountingStore _objects;

    public ArchiveCrashTests() => _objects = new CountingStore(_clock);

    private ArchiveSnapshotStore Archive(CountingStore? objects = null) => new(objects ?? _objects, Sample.Context(_clock, _events.Add));

    [Fact(Timeout = Limit)]
    public async Task Whatever_call_a_backup_dies_at_there_is_a_whole_snapshot_or_none_and_collecting_leaves_nothing()
    {
        int calls = await Sweep(new CountingStore(_clock), _ => Task.CompletedTask, async store => await Sample.WriteAsync(store, Sample.Tar()));
        for (int die = 1; die <= calls; die++)
        {
            var objects = new CountingStore(_clock) { DieAt = die };
            await Should.ThrowAsync<BackupException>(async () =>
            {
                await Sample.WriteAsync(Archive(objects), Sample.Tar());
                // Only the marker's removal may fail silently: the snapshot exists by then.
                if (die == calls) throw new BackupException("the last call", "");
            }, $"died at {die} of {calls}");
            await WholeOrNothing(objects, die);
        }
    }

    [Fact(Timeout = Limit)]
    public async Task Whatever_call_a_removal_dies_at_the_snapshot_is_whole_or_gone()
    {
        Snapshot? made = null;
        int calls = await Sweep(new CountingStore(_clock), async store => made = await Sample.WriteAsync(store, Sample.Tar()), store => store.RemoveAsync(made!, default));
        calls.ShouldBeGreaterThan(5);
        for (int die = 1; die <= calls; die++)
        {
            var objects = new CountingStore(_clock);
            made = await Sample.WriteAsync(Archive(objects), Sample.Tar());
            objects.DieAt = die + Calls(objects);
            await Should.ThrowAsync<BackupException>(() => Archive(objects).RemoveAsync(made, default));
            await WholeOrNothing(objects, die);
        }
    }

    private async Task WholeOrNothing(CountingStore objects, int die)
    {
        objects.DieAt = 0;
        SnapshotList list = await Archive(objects).ListAsync(null, null, default);
        list.Damaged.ShouldBeEmpty($"died at {die}");
        foreach (Snapshot snapshot in list.Snapshots) (await Archive(objects).VerifyAsync(snapshot, readData: true, null, default)).ShouldBeEmpty($"died at {die}");
        await Archive(objects).CollectAsync(TimeSpan.Zero, dryRun: false, default);
        objects.Open.ShouldBeEmpty($"died at {die}");
        objects.Objects.Count.ShouldBe(3 * list.Snapshots.Count, $"died at {die}: {string.Join(' ', objects.Objects.Keys)}");
        foreach (Snapshot snapshot in list.Snapshots) (await Archive(objects).VerifyAsync(snapshot, readData: true, null, default)).ShouldBeEmpty($"died at {die}");
    }

    private async Task<int> Sweep(CountingStore objects, Func<ArchiveSnapshotStore, Task> before, Func<ArchiveSnapshotStore, Task> act)
    {
        await before(Archive(objects));
        int already = Calls(objects);
        await act(Archive(objects));
        return Calls(objects) - already;
    }

    private static int Calls(CountingStore objects) => objects.Log.Count;

    [Fact(Timeout = Limit)]
    public async Task A_young_marker_is_left_alone_and_a_dry_run_touches_nothing()
    {
        await Leave();
        (await Archive().CollectAsync(TimeSpan.FromHours(1), dryRun: false, default)).ShouldBeEmpty();
        _clock.Now += TimeSpan.FromHours(2);
        (await Archive().CollectAsync(TimeSpan.FromHours(1), dryRun: true, default)).ShouldHaveSingleItem().ShouldContain(Stem);
        _objects.Open.ShouldBe([Stem + ".tar.zst"]);
        (await Archive().CollectAsync(TimeSpan.FromHours(1), dryRun: false, default)).ShouldHaveSingleItem().ShouldContain("1 unfinished upload");
        _objects.Open.ShouldBeEmpty();
        _objects.Objects.ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task A_marker_that_names_what_is_not_its_own_is_reported_and_not_obeyed()
    {
        Snapshot made = await Sample.WriteAsync(Archive(), Sample.Tar());
        string marker = $$"""{"format":"backup-marker","formatVersion":1,"writtenAt":"2020-01-01T00:00:00Z","runs":"making","keys":["{{Stem}}.tar.zst"]}""";
        _objects.Objects["web/data/20200101T000000Z-" + new string('f', 32) + ".pending"] = Encoding.UTF8.GetBytes(marker);
        _objects.Objects["web/data/20200101T000000Z-" + new string('e', 32) + ".pending"] = "garbage"u8.ToArray();
        (await Archive().CollectAsync(TimeSpan.Zero, dryRun: false, default)).ShouldBeEmpty();
        _events.OfType<RunEvent.Warning>().Count().ShouldBe(2);
        (await Archive().VerifyAsync(made, readData: true, null, default)).ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task A_left_over_marker_of_a_finished_snapshot_goes_alone()
    {
        Snapshot made = await Sample.WriteAsync(Archive(), Sample.Tar());
        byte[] marker = ManifestJson.Write(new Marker(Marker.FormatName, 1, _clock.Now, "making", new ArchiveKeys(Stem).Owned));
        _objects.Objects[Stem + ".pending"] = marker;
        (await Archive().CollectAsync(TimeSpan.Zero, dryRun: false, default)).ShouldHaveSingleItem().ShouldContain("finished");
        (await Archive().VerifyAsync(made, readData: true, null, default)).ShouldBeEmpty();
        _objects.Objects.Count.ShouldBe(3);
    }

    [Fact(Timeout = Limit)]
    public async Task A_backup_whose_marker_was_collected_meanwhile_fails_instead_of_leaving_a_manifest_without_data()
    {
        SnapshotRecord record = Sample.Record();
        await using (StagedSnapshot staged = await Archive().BeginAsync(record.Id, record.Environment, record.Source, record.TakenAt, null, 3, null, default))
        {
            await staged.WriteTarAsync(new MemoryStream(Sample.Tar()), null, default);
            await Archive().CollectAsync(TimeSpan.Zero, dryRun: false, default);
            (await Should.ThrowAsync<BackupException>(() => staged.CommitAsync(record, default))).Problem.ShouldContain("collected");
        }
        _objects.Objects.ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task An_upload_that_no_marker_names_is_collected_when_it_is_old_and_its_key_is_one_of_ours()
    {
        var objects = new MemoryObjectStore("memory", _clock);
        string lost = "web/data/20260101T000000Z-" + new string('a', 32);
        string[] strays = [lost + ".pending", lost + ".json", lost + ".tar.zst", lost + ".files.zst"];
        string[] foreign = ["web/data/20260101T000000Z-other.tar.zst", lost + ".iso", "photos/holiday.json"];
        foreach (string key in (string[])[.. strays, .. foreign]) await objects.CreateAsync(key, null, default);
        var archive = new ArchiveSnapshotStore(objects, Sample.Context(_clock, _events.Add));

        (await archive.CollectAsync(TimeSpan.FromHours(1), dryRun: false, default)).ShouldBeEmpty();
        _clock.Now += TimeSpan.FromHours(2);
        (await archive.CollectAsync(TimeSpan.FromHours(1), dryRun: true, default)).Count.ShouldBe(strays.Length);
        objects.Unfinished.Count.ShouldBe(strays.Length + foreign.Length);
        (await archive.CollectAsync(TimeSpan.FromHours(1), dryRun: false, default)).Order().ShouldBe(strays.Select(k => $"unfinished upload of {k}").Order());
        objects.Unfinished.ShouldBe(foreign, ignoreOrder: true);
    }

    [Fact(Timeout = Limit)]
    public async Task An_upload_that_stands_still_under_a_young_marker_is_left_alone()
    {
        var objects = new MemoryObjectStore("memory", _clock);
        await objects.CreateAsync(Stem + ".tar.zst", null, default);
        _clock.Now += TimeSpan.FromHours(2);
        objects[Stem + ".pending"] = ManifestJson.Write(new Marker(Marker.FormatName, 1, _clock.Now, "making", new ArchiveKeys(Stem).Owned));
        (await new ArchiveSnapshotStore(objects, Sample.Context(_clock, _events.Add)).CollectAsync(TimeSpan.FromHours(1), dryRun: false, default)).ShouldBeEmpty();
        objects.Unfinished.ShouldHaveSingleItem();
    }

    [Fact(Timeout = Limit)]
    public async Task A_probe_removes_what_an_older_one_left_and_nothing_else()
    {
        var objects = new MemoryObjectStore("memory", _clock);
        string old = "backup-probe/" + new string('a', 32), young = "backup-probe/" + new string('b', 32);
        objects[old] = [1];
        objects["backup-probe/mine"] = [1];
        await objects.CreateAsync("backup-probe/" + new string('c', 32), null, default);
        _clock.Now += TimeSpan.FromHours(2);
        objects[young] = [1];
        await new ArchiveSnapshotStore(objects, Sample.Context(_clock, _events.Add)).ProbeAsync(default);
        objects.Keys.ShouldBe([young, "backup-probe/mine"]);
        objects.Unfinished.ShouldBeEmpty();
    }

    private async Task Leave()
    {
        SnapshotRecord record = Sample.Record();
        StagedSnapshot staged = await Archive().BeginAsync(record.Id, record.Environment, record.Source, record.TakenAt, null, 3, null, default);
        _objects.DieAt = 1;
        await staged.DisposeAsync();
        _objects.DieAt = 0;
    }
}
