using Backup.Snapshots;
using Backup.Snapshots.Archive;
using Backup.Stores;
using Backup.Streams;
using Backup.Tests.Fakes;
using Backup.Tests.Streams;
using Shouldly;
using Xunit;

namespace Backup.Tests.Snapshots;

/// <summary>Archives made through a spool: the read waits for nobody, and the bytes are the same.</summary>
public sealed class SpoolingTests : IAsyncDisposable
{
    private const int Limit = 60_000;
    private const long MiB = 1 << 20;

    private readonly string _folder = Path.Combine(Path.GetTempPath(), "spooling-" + Path.GetRandomFileName());
    private readonly List<RunEvent.Warning> _warnings = [];
    private readonly RunContext _context;
    private readonly MemoryObjectStore _objects = new();
    private readonly StalledObjectStore _stalled;
    private readonly ArchiveSnapshotStore _store;

    public SpoolingTests()
    {
        _context = Sample.Context(events: e => { if (e is RunEvent.Warning warning) lock (_warnings) _warnings.Add(warning); });
        _stalled = new StalledObjectStore(_objects);
        _store = new ArchiveSnapshotStore(_stalled, _context);
    }

    public async ValueTask DisposeAsync()
    {
        await _store.DisposeAsync();
        if (Directory.Exists(_folder)) Directory.Delete(_folder, recursive: true);
    }

    [Fact(Timeout = Limit)]
    public async Task The_read_ends_although_the_store_takes_nothing_and_the_bytes_are_the_same()
    {
        using Spool spool = Spool(512 * MiB);
        byte[] tar = Tar(60, 1);
        await using StagedSnapshot staged = await BeginAsync(Record(1), spool);

        await staged.WriteTarAsync(new MemoryStream(tar), null, default);

        while (_stalled.Stalled == 0) await Task.Delay(5); // what is compressed at last meets the stall
        spool.Used.ShouldBeGreaterThan(20 * MiB, "what is not in the store and not in memory");
        _stalled.Open();
        Snapshot made = await staged.CommitAsync(Record(1), default);
        await ShouldHoldAsync(made, tar);
        spool.Used.ShouldBe(0);
        _warnings.ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task The_manifest_tells_how_long_the_source_took_and_how_long_the_store()
    {
        using Spool spool = Spool(512 * MiB);
        _stalled.Open();
        await using StagedSnapshot staged = await BeginAsync(Record(1), spool);
        await staged.WriteTarAsync(new MemoryStream(Tar(20, 1)), null, default);
        Snapshot made = await staged.CommitAsync(Record(1), default);

        made.Seconds.ShouldNotBeNull().ShouldBeGreaterThan(0);
        made.ReadSeconds.ShouldNotBeNull().ShouldBeInRange(0, made.Seconds.Value);
        (await _store.ListAsync(null, null, default)).Snapshots.ShouldHaveSingleItem().ShouldBe(made);
    }

    [Fact(Timeout = Limit)]
    public async Task Without_a_spool_the_read_waits_for_the_store()
    {
        var source = new CountedStream(Tar(60, 1));
        await using StagedSnapshot staged = await BeginAsync(Record(1), null);
        Task reading = staged.WriteTarAsync(source, null, default);
        while (_stalled.Stalled == 0) await Task.Delay(5);
        reading.IsCompleted.ShouldBeFalse();
        _stalled.Open();
        await reading;
        source.AtEnd.ShouldBeTrue();
    }

    [Fact(Timeout = Limit)]
    public async Task A_group_is_read_to_its_end_while_the_store_stands_still_and_goes_up_one_after_the_other()
    {
        using Spool spool = Spool(512 * MiB);
        byte[][] tars = [Tar(30, 1), Tar(1, 2), Tar(25, 3), Tar(20, 4)];
        var staged = new List<StagedSnapshot>();
        for (int i = 0; i < tars.Length; i++) staged.Add(await BeginAsync(Record(i), spool));

        for (int i = 0; i < tars.Length; i++) await staged[i].WriteTarAsync(new MemoryStream(tars[i]), null, default);

        _stalled.Open();
        for (int i = 0; i < tars.Length; i++) await ShouldHoldAsync(await staged[i].CommitAsync(Record(i), default), tars[i]);
        foreach (StagedSnapshot one in staged) await one.DisposeAsync();
        _stalled.MostAtOnce.ShouldBe(1, "each open upload takes the store's part buffers");
        spool.Used.ShouldBe(0);
    }

    [Fact(Timeout = Limit)]
    public async Task A_full_spool_says_so_once_and_the_read_then_waits_for_the_store()
    {
        using Spool spool = Spool(10 * MiB);
        byte[] tar = Tar(60, 1);
        await using StagedSnapshot staged = await BeginAsync(Record(1), spool);
        Task reading = staged.WriteTarAsync(new MemoryStream(tar), null, default);
        while (Warned == 0) await Task.Delay(5);
        reading.IsCompleted.ShouldBeFalse();
        _stalled.Open();
        await reading;
        await ShouldHoldAsync(await staged.CommitAsync(Record(1), default), tar);
        _warnings.ShouldHaveSingleItem().Problem.ShouldContain("full");
        spool.Used.ShouldBe(0);
    }

    [Fact(Timeout = Limit)]
    public async Task What_is_given_up_frees_its_places_at_once_and_the_next_of_its_group_is_whole()
    {
        using Spool spool = Spool(512 * MiB);
        byte[] tar = Tar(40, 2);
        StagedSnapshot first = await BeginAsync(Record(1), spool), second = await BeginAsync(Record(2), spool);
        await first.WriteTarAsync(new MemoryStream(Tar(40, 1)), null, default);
        spool.Used.ShouldBeGreaterThan(10 * MiB);
        await first.DisposeAsync();
        spool.Used.ShouldBe(0);

        await second.WriteTarAsync(new MemoryStream(tar), null, default);
        _stalled.Open();
        await ShouldHoldAsync(await second.CommitAsync(Record(2), default), tar);
        await second.DisposeAsync();
        (await _store.ListAsync(null, null, default)).Snapshots.Count.ShouldBe(1);
    }

    [Fact(Timeout = Limit)]
    public async Task A_tar_that_is_cut_does_not_keep_the_next_of_its_group_from_its_turn()
    {
        using Spool spool = Spool(512 * MiB);
        _stalled.Open();
        byte[] tar = Tar(20, 2);
        await using StagedSnapshot first = await BeginAsync(Record(1), spool), second = await BeginAsync(Record(2), spool);
        await Should.ThrowAsync<IncompleteTarException>(() => first.WriteTarAsync(new MemoryStream(Tar(20, 1)[..(17 << 20)]), null, default));
        await second.WriteTarAsync(new MemoryStream(tar), null, default);
        await ShouldHoldAsync(await second.CommitAsync(Record(2), default), tar);
        spool.Used.ShouldBe(0);
    }

    [Fact(Timeout = Limit)]
    public async Task A_store_that_fails_behind_a_full_spool_ends_the_read_with_the_stores_own_words()
    {
        using Spool spool = Spool(10 * MiB);
        var faulty = new FaultyObjectStore(_stalled, (op, key) => op == "write" && key.EndsWith(".tar.zst", StringComparison.Ordinal) && Warned > 0 ? Fault.Fail("the store died") : null);
        await using var store = new ArchiveSnapshotStore(faulty, _context);
        SnapshotRecord record = Record(1);
        await using (StagedSnapshot staged = await store.BeginAsync(record.Id, record.Environment, record.Source, record.TakenAt, null, 3, spool, default))
        {
            Task reading = staged.WriteTarAsync(new MemoryStream(Tar(60, 1)), null, default);
            while (Warned == 0) await Task.Delay(5);
            _stalled.Open();
            (await Should.ThrowAsync<StoreException>(() => reading)).Problem.ShouldBe("the store died");
        }
        faulty.ShouldHaveBeenHit();
        spool.Used.ShouldBe(0);
    }

    [Fact(Timeout = Limit)]
    public async Task Bytes_that_changed_in_the_spool_are_no_snapshot()
    {
        using Spool spool = Spool(512 * MiB);
        await using (StagedSnapshot staged = await BeginAsync(Record(1), spool))
        {
            await staged.WriteTarAsync(new MemoryStream(Tar(60, 1)), null, default);
            // The file has no name any more; this process still has it open.
            string open = Directory.GetFiles("/proc/self/fd").Single(f => new FileInfo(f).LinkTarget?.StartsWith(_folder, StringComparison.Ordinal) == true);
            await using (var file = new FileStream(open, FileMode.Open, FileAccess.Write))
                for (long at = 1000; at < file.Length; at += Backup.Streams.Spool.SlotBytes)
                {
                    file.Position = at;
                    file.WriteByte(0x5A);
                    file.WriteByte(0xA5);
                }
            _stalled.Open();
            (await Should.ThrowAsync<BackupException>(() => staged.CommitAsync(Record(1), default))).Problem.ShouldContain("other bytes");
        }
        spool.Used.ShouldBe(0);
        _objects.Keys.ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task A_commit_that_is_cancelled_while_the_store_hangs_frees_everything()
    {
        using Spool spool = Spool(512 * MiB);
        StagedSnapshot staged = await BeginAsync(Record(1), spool);
        await staged.WriteTarAsync(new MemoryStream(Tar(60, 1)), null, default);
        using var cancel = new CancellationTokenSource();
        Task committing = staged.CommitAsync(Record(1), cancel.Token);
        await cancel.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(() => committing);
        await staged.DisposeAsync();
        spool.Used.ShouldBe(0);
        _objects.Keys.ShouldBeEmpty();
        _objects.Unfinished.ShouldBeEmpty();
    }

    [Fact(Timeout = Limit)]
    public async Task A_store_that_keeps_up_costs_a_small_volume_no_disk()
    {
        using Spool spool = Spool(512 * MiB);
        _stalled.Open();
        byte[] tar = Tar(3, 1);
        await using StagedSnapshot staged = await BeginAsync(Record(1), spool);
        await staged.WriteTarAsync(new MemoryStream(tar), null, default);
        await ShouldHoldAsync(await staged.CommitAsync(Record(1), default), tar);
        spool.Most.ShouldBe(0);
    }

    [Fact(Timeout = Limit)]
    public async Task A_large_index_waits_in_the_spool_too()
    {
        using Spool spool = Spool(512 * MiB);
        var maker = new TarMaker().Directory("./");
        // Names that do not compress: more than the index keeps in memory.
        for (int i = 0; i < 60_000; i++) maker.Add("./" + Convert.ToBase64String(Sample.Noise(72, i)).Replace('/', '_'), []);
        byte[] tar = maker.End();
        await using StagedSnapshot staged = await BeginAsync(Record(1), spool);
        await staged.WriteTarAsync(new MemoryStream(tar), null, default);
        _stalled.Open();
        Snapshot made = await staged.CommitAsync(Record(1), default);
        await ShouldHoldAsync(made, tar);
        made.Files.ShouldBe(60_000);
        spool.Used.ShouldBe(0);
    }

    /// <summary>Small spools, groups, volumes given up, stores that hang for a moment: whatever happens, it ends, and what is committed is right.</summary>
    [Fact(Timeout = Limit)]
    public async Task Whatever_meets_whatever_it_comes_to_an_end_and_what_exists_is_whole()
    {
        var chance = new Random(5);
        for (int round = 0; round < 12; round++)
        {
            var objects = new MemoryObjectStore();
            var stalled = new StalledObjectStore(objects);
            await using var store = new ArchiveSnapshotStore(stalled, _context);
            using Spool spool = Spool(chance.Next(0, 25) * MiB);
            int count = chance.Next(1, 4);
            byte[][] tars = [.. Enumerable.Range(0, count).Select(i => Tar(chance.Next(1, 20), round * 10 + i))];
            var staged = new List<StagedSnapshot>();
            for (int i = 0; i < count; i++)
            {
                SnapshotRecord r = Record(i);
                staged.Add(await store.BeginAsync(r.Id, r.Environment, r.Source, r.TakenAt, null, 1 + 6 * (i % 2), spool, default));
            }
            Task opening = Task.Delay(chance.Next(0, 60)).ContinueWith(_ => stalled.Open(), TaskScheduler.Default);
            int givenUp = chance.Next(-1, count);
            for (int i = 0; i < count; i++)
            {
                await staged[i].WriteTarAsync(new MemoryStream(tars[i]), null, default);
                if (i == givenUp) await staged[i].DisposeAsync();
            }
            for (int i = 0; i < count; i++)
                if (i != givenUp) await ShouldHoldAsync(store, await staged[i].CommitAsync(Record(i), default), tars[i]);
            foreach (StagedSnapshot one in staged) await one.DisposeAsync();
            await opening;
            spool.Used.ShouldBe(0, $"round {round}");
            objects.Keys.Count.ShouldBe((count - (givenUp < 0 ? 0 : 1)) * 3, $"round {round}");
        }
    }

    private int Warned
    {
        get { lock (_warnings) return _warnings.Count; }
    }

    private Spool Spool(long maxBytes) => new(_folder, maxBytes, _context, floor: 0);

    private static SnapshotRecord Record(int number) => Sample.Record($"{number:x32}", source: $"v{number}");

    private Task<StagedSnapshot> BeginAsync(SnapshotRecord r, Spool? spool) => _store.BeginAsync(r.Id, r.Environment, r.Source, r.TakenAt, null, 3, spool, default);

    private static byte[] Tar(int mebibytes, int seed)
    {
        var maker = new TarMaker().Directory("./");
        for (int i = 0; i < mebibytes; i++) maker.Add($"./{i}", i % 3 == 2 ? new byte[1 << 20] : Sample.Noise(1 << 20, seed * 1000 + i));
        return maker.End();
    }

    private Task ShouldHoldAsync(Snapshot made, byte[] tar) => ShouldHoldAsync(_store, made, tar);

    private static async Task ShouldHoldAsync(ArchiveSnapshotStore store, Snapshot made, byte[] tar)
    {
        (await store.VerifyAsync(made, readData: true, null, default)).ShouldBeEmpty();
        await using SnapshotReader reader = await store.OpenAsync(made, default);
        (await Sample.ReadAllAsync(await reader.OpenTarAsync(default))).AsSpan().SequenceEqual(tar).ShouldBeTrue();
    }

    private sealed class CountedStream(byte[] bytes) : MemoryStream(bytes)
    {
        public bool AtEnd => Position == Length;
    }
}
