using Backup.Snapshots;
using Backup.Tests.Snapshots;
using Backup.Tests.Streams;
using Shouldly;
using Xunit;

namespace Backup.Tests.Contracts;

/// <summary>What every snapshot format must do.</summary>
public abstract class SnapshotStoreContract
{
    protected const int Limit = 60_000;

    /// <summary>A new, empty store.</summary>
    protected abstract ISnapshotStore Create(RunContext context);

    private ISnapshotStore Create() => Create(Sample.Context());

    [Fact(Timeout = Limit)]
    public async Task The_tar_comes_back_byte_for_byte()
    {
        await using var store = Create();
        byte[] tar = Sample.Tar();
        Snapshot made = await Sample.WriteAsync(store, tar);
        made.Bytes.ShouldBe(tar.Length);
        made.Files.ShouldBe(9);
        await using SnapshotReader reader = await store.OpenAsync(made, default);
        (await Sample.ReadAllAsync(await reader.OpenTarAsync(default))).ShouldBe(tar);
        (await store.VerifyAsync(made, readData: true, null, default)).ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task A_tar_of_many_frames_comes_back_byte_for_byte()
    {
        await using var store = Create();
        var maker = new TarMaker().Directory("./");
        for (int i = 0; i < 40; i++) maker.Add($"./{i}", i % 2 == 0 ? Sample.Noise(700_001, i) : new byte[900_000]);
        byte[] tar = maker.End();
        Snapshot made = await Sample.WriteAsync(store, tar);
        await using SnapshotReader reader = await store.OpenAsync(made, default);
        (await Sample.ReadAllAsync(await reader.OpenTarAsync(default))).AsSpan().SequenceEqual(tar).ShouldBeTrue();
        (await store.VerifyAsync(made, readData: true, null, default)).ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task An_empty_volume_is_a_good_snapshot()
    {
        await using var store = Create();
        Snapshot made = await Sample.WriteAsync(store, new TarMaker().Directory("./").End());
        made.Files.ShouldBe(0);
        (await store.VerifyAsync(made, readData: true, null, default)).ShouldBeEmpty();
        await using SnapshotReader reader = await store.OpenAsync(made, default);
        reader.Files.ShouldHaveSingleItem().RawPath.ShouldBe("");
    }

    [Fact(Timeout = Limit)]
    public async Task The_record_comes_back_whole()
    {
        await using var store = Create();
        SnapshotRecord record = Sample.Record();
        Snapshot made = await Sample.WriteAsync(store, Sample.Tar(), record);
        await using SnapshotReader reader = await store.OpenAsync(made, default);
        System.Text.Json.JsonSerializer.Serialize(reader.Record).ShouldBe(System.Text.Json.JsonSerializer.Serialize(record));
    }

    [Fact(Timeout = Limit)]
    public async Task A_snapshot_exists_only_after_its_commit()
    {
        await using var store = Create();
        SnapshotRecord record = Sample.Record();
        StagedSnapshot staged = await store.BeginAsync(record.Id, record.Environment, record.Source, record.TakenAt, null, 3, null, default);
        await staged.WriteTarAsync(new MemoryStream(Sample.Tar()), null, default);
        (await store.ListAsync(null, null, default)).Snapshots.ShouldBeEmpty();
        Snapshot made = await staged.CommitAsync(record, default);
        await staged.DisposeAsync();
        SnapshotList list = await store.ListAsync(null, null, default);
        list.Snapshots.ShouldBe([made]);
        list.Damaged.ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task What_was_not_committed_is_discarded_and_leaves_nothing_to_collect()
    {
        await using var store = Create();
        SnapshotRecord record = Sample.Record();
        StagedSnapshot staged = await store.BeginAsync(record.Id, record.Environment, record.Source, record.TakenAt, null, 3, null, default);
        await staged.WriteTarAsync(new MemoryStream(Sample.Tar()), null, default);
        await staged.DisposeAsync();
        await staged.DisposeAsync();
        (await store.ListAsync(null, null, default)).Snapshots.ShouldBeEmpty();
        (await store.CollectAsync(TimeSpan.Zero, dryRun: false, default)).ShouldBeEmpty();
    }

    [Theory(Timeout = Limit)]
    [InlineData(false)]
    [InlineData(true)]
    public async Task What_broke_is_begun_again_under_another_id_and_nothing_of_the_first_try_is_kept(bool givenUpToo)
    {
        await using var store = Create();
        SnapshotRecord record = Sample.Record();
        StagedSnapshot first = await store.BeginAsync(new string('f', 32), record.Environment, record.Source, record.TakenAt, null, 3, null, default);
        await Should.ThrowAsync<IncompleteTarException>(() => first.WriteTarAsync(new MemoryStream(Sample.Tar()[..700]), null, default));
        await using (StagedSnapshot again = first.Again(record.Id))
        {
            await again.WriteTarAsync(new MemoryStream(Sample.Tar()), null, default);
            await first.DisposeAsync();
            if (!givenUpToo) await again.CommitAsync(record, default);
        }
        SnapshotList list = await store.ListAsync(null, null, default);
        list.Damaged.ShouldBeEmpty();
        list.Snapshots.Select(s => s.Id).ShouldBe(givenUpToo ? [] : [record.Id]);
        foreach (Snapshot made in list.Snapshots) (await store.VerifyAsync(made, readData: true, null, default)).ShouldBeEmpty();
        (await store.CollectAsync(TimeSpan.Zero, dryRun: false, default)).ShouldBeEmpty();
    }

    [Theory(Timeout = Limit)]
    [InlineData("no end mark")]
    [InlineData("inside an entry")]
    [InlineData("inside a header")]
    [InlineData("one zero block")]
    [InlineData("nothing")]
    public async Task A_tar_that_is_cut_is_refused(string where)
    {
        await using var store = Create();
        byte[] whole = new TarMaker().Directory("./").Add("./a", new byte[5000]).Cut();
        byte[] tar = where switch
        {
            "no end mark" => whole,
            "inside an entry" => whole[..3000],
            "inside a header" => whole[..700],
            "one zero block" => [.. whole, .. new byte[512]],
            _ => [],
        };
        SnapshotRecord record = Sample.Record();
        await using (StagedSnapshot staged = await store.BeginAsync(record.Id, record.Environment, record.Source, record.TakenAt, null, 3, null, default))
            await Should.ThrowAsync<IncompleteTarException>(() => staged.WriteTarAsync(new MemoryStream(tar), null, default));
        (await store.ListAsync(null, null, default)).Snapshots.ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task A_source_that_breaks_passes_its_own_error_on()
    {
        await using var store = Create();
        SnapshotRecord record = Sample.Record();
        await using (StagedSnapshot staged = await store.BeginAsync(record.Id, record.Environment, record.Source, record.TakenAt, null, 3, null, default))
            (await Should.ThrowAsync<IOException>(() => staged.WriteTarAsync(new BreakingStream(new byte[0]), null, default))).Message.ShouldBe("the source broke");
        (await store.ListAsync(null, null, default)).Snapshots.ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task Listings_are_newest_first_and_keep_similar_names_apart()
    {
        await using var store = Create();
        string[] volumes = ["app1", "app10", "app1", "bind:/srv/app1"];
        for (int i = 0; i < volumes.Length; i++)
            await Sample.WriteAsync(store, Sample.Tar(), Sample.Record($"{i:x32}", i == 1 ? "web2" : "web", volumes[i], Sample.Taken.AddHours(i)));
        (await store.ListAsync(null, null, default)).Snapshots.Select(s => s.Volume).ShouldBe(["bind:/srv/app1", "app1", "app10", "app1"]);
        (await store.ListAsync("web", "app1", default)).Snapshots.Select(s => s.Id[^1]).ShouldBe(['2', '0']);
        (await store.ListAsync(null, "app1", default)).Snapshots.Count.ShouldBe(2);
        (await store.ListAsync("web", null, default)).Snapshots.Count.ShouldBe(3);
        (await store.ListAsync("we", null, default)).Snapshots.ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task A_removed_snapshot_is_gone_and_its_neighbours_stay()
    {
        await using var store = Create();
        Snapshot first = await Sample.WriteAsync(store, Sample.Tar(), Sample.Record(new string('1', 32)));
        Snapshot second = await Sample.WriteAsync(store, Sample.Tar(), Sample.Record(new string('2', 32)));
        await store.RemoveAsync(first, default);
        (await store.ListAsync(null, null, default)).Snapshots.ShouldBe([second]);
        (await store.VerifyAsync(second, readData: true, null, default)).ShouldBeEmpty();
        (await Should.ThrowAsync<BackupException>(() => store.OpenAsync(first, default))).Kind.ShouldBe(FailureKind.NotFound);
        (await store.VerifyAsync(first, readData: false, null, default)).ShouldNotBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task Chosen_entries_come_as_a_whole_tar_with_the_targets_of_their_links()
    {
        await using var store = Create();
        Snapshot made = await Sample.WriteAsync(store, Sample.Tar());
        await using SnapshotReader reader = await store.OpenAsync(made, default);
        FileEntry[] chosen = [.. reader.Files.Where(f => f.Path == "b.txt" || f.RawPath.StartsWith("name", StringComparison.Ordinal))];
        byte[] tar = await Sample.ReadAllAsync(await reader.OpenTarAsync(chosen, default));
        List<FileEntry> found = TarScanTests.Scan(tar);
        found.Select(f => f.RawPath).ShouldBe(["a.txt", "b.txt", "name\nwith\tnew\\line\xff"]);
        found[2].Digest.ShouldBe(chosen[1].Digest);
    }

    [Fact(Timeout = Limit)]
    public async Task Every_entry_is_listed_as_it_was_sent()
    {
        await using var store = Create();
        byte[] tar = Sample.Tar();
        Snapshot made = await Sample.WriteAsync(store, tar);
        await using SnapshotReader reader = await store.OpenAsync(made, default);
        reader.Files.ShouldBe(TarScanTests.Scan(tar));
    }

    [Fact(Timeout = Limit)]
    public async Task A_probe_leaves_nothing()
    {
        await using var store = Create();
        await store.ProbeAsync(default);
        SnapshotList list = await store.ListAsync(null, null, default);
        list.Snapshots.ShouldBeEmpty();
        list.Damaged.ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task A_cancelled_write_says_so_and_leaves_nothing()
    {
        await using var store = Create();
        using var cancel = new CancellationTokenSource();
        SnapshotRecord record = Sample.Record();
        await using (StagedSnapshot staged = await store.BeginAsync(record.Id, record.Environment, record.Source, record.TakenAt, null, 3, null, default))
        {
            Task writing = staged.WriteTarAsync(new BreakingStream(null), null, cancel.Token);
            cancel.Cancel();
            await Should.ThrowAsync<OperationCanceledException>(() => writing);
        }
        (await store.ListAsync(null, null, default)).Snapshots.ShouldBeEmpty();
        (await store.CollectAsync(TimeSpan.Zero, dryRun: false, default)).ShouldBeEmpty();
    }

    /// <summary>Gives some bytes and then breaks, or, with null, stalls for ever.</summary>
    private sealed class BreakingStream(byte[]? bytes) : MemoryStream(bytes ?? [])
    {
        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancel = default)
        {
            if (bytes is null) await Task.Delay(Timeout.Infinite, cancel);
            throw new IOException("the source broke");
        }
    }
}
