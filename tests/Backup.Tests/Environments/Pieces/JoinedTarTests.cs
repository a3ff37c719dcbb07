using Backup.Environments;
using Backup.Environments.Pieces;
using Backup.Snapshots;
using Backup.Streams;
using Shouldly;
using Xunit;

namespace Backup.Tests.Environments.Pieces;

/// <summary>However the reads are cut, the joined tar is the one that a single read would have given.</summary>
public sealed class JoinedTarTests
{
    private const int Limit = 30_000;
    private readonly FakeClock _clock = new();

    private static byte[] Bytes(int length, int seed)
    {
        byte[] bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    private static TreeFile Dir(string path) => new(path, null);

    private static readonly TreeFile[] Tree =
    [
        Dir(""), Dir("a"), new("a/1", Bytes(3000, 1)), new("a/2", Bytes(10, 2), Group: 1), Dir("a/deep"), Dir("a/deep/er"), new("a/deep/er/f", Bytes(2000, 3)),
        new("a/deep/er/g", Bytes(700, 4), Group: 2), new("a-b", Bytes(100, 5)), new("a.c", Bytes(0, 6)), Dir("b"), new("b/big", Bytes(20_000, 7)),
        new("b/link", null, Target: "../a/1"), new("b/same", Bytes(10, 2), Group: 1), Dir("c"), new("c/caf\u00c3\u00a9 \u00ff", Bytes(600, 8)),
        new("c/" + new string('l', 150), Bytes(300, 9)), new("c/new\nline", Bytes(40, 10)), new("c/z", Bytes(700, 4), Group: 2), Dir("d"),
        new("z", Bytes(1500, 11), Group: 3), new("zz", Bytes(1500, 11), Group: 3),
    ];

    private FakePieces Source(IEnumerable<TreeFile>? files = null) => new(files ?? Tree, _clock);

    private async Task<byte[]> JoinAsync(FakePieces source, double seconds)
    {
        await using var joined = new JoinedTar(source, TimeSpan.FromSeconds(seconds), _clock);
        using var all = new MemoryStream();
        byte[] buffer = new byte[1009];
        for (int read; (read = await joined.ReadAsync(buffer)) > 0;) all.Write(buffer, 0, read);
        return all.ToArray();
    }

    /// <summary>What a tar says, entry by entry, with the hash of each content.</summary>
    private static List<FileEntry> Entries(byte[] tar)
    {
        var entries = new List<FileEntry>();
        var scan = new TarScan(e => entries.Add(e with { Offset = 0, DataOffset = 0 }));
        scan.Push(tar);
        scan.Complete();
        return entries;
    }

    [Fact(Timeout = Limit)]
    public async Task A_source_that_one_read_can_hold_is_read_once_and_verbatim()
    {
        FakePieces source = Source();
        (await JoinAsync(source, 1000)).ShouldBe(source.Tar());
        source.Reads.ShouldBe([""]);
        source.Listings.ShouldBe(0);
    }

    [Theory(Timeout = Limit)]
    [InlineData(4)]
    [InlineData(6)]
    [InlineData(12)]
    [InlineData(25)]
    public async Task Reads_that_are_too_short_for_it_join_to_the_same_tar(double seconds)
    {
        FakePieces source = Source();
        Entries(await JoinAsync(source, seconds)).ShouldBe(Entries(source.Tar()));
        source.Reads.Count.ShouldBeGreaterThan(1);
        source.Listings.ShouldBe(1);
    }

    [Theory(Timeout = Limit)]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Reads_that_break_or_end_early_at_any_byte_join_to_the_same_tar(bool clean)
    {
        List<FileEntry> wanted = Entries(Source().Tar());
        int length = Source().Tar().Length;
        for (int at = 0; at < length; at += 509)
        {
            FakePieces source = Source();
            source.Break = read => read == 0 ? (at, clean) : null;
            Entries(await JoinAsync(source, 1000)).ShouldBe(wanted, $"cut at {at}");
            source.Listings.ShouldBe(1, $"cut at {at}");
        }
    }

    [Fact(Timeout = Limit)]
    public async Task Any_mixture_of_short_and_broken_reads_joins_to_the_same_tar()
    {
        List<FileEntry> wanted = Entries(Source().Tar());
        int reads = 0;
        for (int seed = 0; seed < 100; seed++)
        {
            var chance = new Random(seed);
            FakePieces source = Source();
            source.BeforeRead = _ => source.Rate = chance.Next(500, 5000);
            source.Break = _ => chance.Next(3) == 0 ? (chance.Next(2000, 15_000), chance.Next(2) == 0) : null;
            Entries(await JoinAsync(source, chance.Next(4, 20))).ShouldBe(wanted, $"seed {seed}");
            reads += source.Reads.Count;
        }
        reads.ShouldBeGreaterThan(500);
    }

    [Fact(Timeout = Limit)]
    public async Task The_largest_part_that_is_left_is_read_at_once()
    {
        FakePieces source = Source();
        // The first read stops inside b/big, of which 16,000 bytes are too much to repeat.
        source.Break = read => read == 0 ? (28_000, false) : null;
        await JoinAsync(source, 60);
        source.Reads[0].ShouldBe("");
        source.Reads[1].ShouldStartWith("b/big+");
        source.Reads.Skip(2).ShouldBe(["b/link", "b/same", "c", "d", "z", "zz"]);
    }

    [Fact(Timeout = Limit)]
    public async Task What_is_out_already_is_read_again_where_that_is_less_work_than_many_small_reads()
    {
        TreeFile[] many = [Dir(""), new("a", Bytes(40_000, 1)), Dir("b"), .. Enumerable.Range(100, 50).Select(i => new TreeFile($"b/{i}", Bytes(10, i)))];
        FakePieces source = Source(many);
        source.Rate = 10_000;
        source.Break = read => read == 0 ? (46_000, true) : null;
        Entries(await JoinAsync(source, 10)).ShouldBe(Entries(source.Tar()));
        source.Reads.ShouldBe(["", "b"]);
    }

    [Fact(Timeout = Limit)]
    public async Task A_file_larger_than_any_read_comes_in_ranges()
    {
        FakePieces source = Source([Dir(""), new("huge", Bytes(4 << 20, 1)), new("next", Bytes(10, 2))]);
        source.Rate = 1 << 20;
        Entries(await JoinAsync(source, 1)).ShouldBe(Entries(source.Tar()));
        source.Reads.Count(r => r.StartsWith("huge+", StringComparison.Ordinal)).ShouldBeGreaterThan(2);
    }

    [Fact(Timeout = Limit)]
    public async Task What_is_removed_before_its_turn_is_left_out_and_a_second_name_of_it_takes_its_place()
    {
        FakePieces source = Source();
        source.Break = read => read == 0 ? (5000, false) : null;
        source.BeforeRead = read =>
        {
            if (read == 1) foreach (string gone in new[] { "a/deep", "b/big", "z" }) source.Remove(gone);
        };
        List<FileEntry> entries = Entries(await JoinAsync(source, 1000));
        entries.Select(e => e.RawPath).ShouldBe(Entries(source.Tar()).Select(e => e.RawPath));
        entries.Single(e => e.RawPath == "zz").Type.ShouldBe(FileType.File);
        entries.Single(e => e.RawPath == "c/z").Type.ShouldBe(FileType.File);
        entries.Single(e => e.RawPath == "b/same").RawLink.ShouldBe("a/2");
    }

    [Fact(Timeout = Limit)]
    public async Task A_file_that_changed_its_size_between_two_reads_of_it_fails_the_backup()
    {
        FakePieces source = Source([Dir(""), new("f", Bytes(5000, 1))]);
        source.Break = read => read == 0 ? (3000, false) : null;
        source.BeforeRead = read =>
        {
            if (read == 1) source.Resize("f", 4000);
        };
        (await Should.ThrowAsync<IncompleteTarException>(JoinAsync(source, 1000))).Problem.ShouldContain("'f' changed while it was read");
    }

    [Fact(Timeout = Limit)]
    public async Task Reads_of_which_nothing_ever_comes_end_with_their_own_error()
    {
        FakePieces source = Source();
        source.Break = read => (read == 0 ? 5000 : 0, false);
        (await Should.ThrowAsync<EnvironmentException>(JoinAsync(source, 1000))).Problem.ShouldBe("planted: the read broke");
        source.Reads.Count.ShouldBe(4);
    }
}
