using Backup.Snapshots;
using Backup.Tests.Streams;
using Shouldly;
using Xunit;

namespace Backup.Tests.Snapshots;

public sealed class TarComparisonTests
{
    private static Task<TarDifferences> Compare(byte[] expected, byte[] found, bool partial = false, int most = 20) =>
        TarComparison.CompareAsync(TarScanTests.Scan(expected), new MemoryStream(found), default, partial, most);

    [Fact(Timeout = 30_000)]
    public async Task The_same_content_has_no_differences() => (await Compare(Sample.Tar(), Sample.Tar())).None.ShouldBeTrue();

    [Fact(Timeout = 30_000)]
    public async Task Each_difference_is_named_in_order_of_the_path()
    {
        byte[] expected = new TarMaker().Directory("./").Directory("./dir").Add("./content", [1]).Add("./missing", [1]).Add("./mode", []).Add("./owner", [])
            .Symlink("./link", "x").Add("./size", [1]).Add("./time", []).Add("./type", []).End();
        byte[] found = new TarMaker().Directory("./", mtime: 5).Directory("./dir", mtime: 1_800_000_000).Add("./content", [2]).Add("./mode", [], mode: 0x180).Add("./owner", [], uid: 7)
            .Symlink("./link", "y").Add("./size", [1, 2]).Add("./time", [], mtime: 1).Directory("./type").Add("./extra", []).End();
        (await Compare(expected, found)).Messages.ShouldBe([
            "'content' has other content or attributes",
            "'dir' has another modification time (2027-01-15T08:00:00Z instead of 2023-11-14T22:13:20Z)",
            "'extra' is there and should not be",
            "'link' points to 'y' instead of 'x'",
            "'missing' is missing",
            "'mode' has mode 600 instead of 644",
            "'owner' belongs to 7:0 instead of 0:0",
            "'size' has 2 bytes instead of 1",
            "'time' has another modification time (1970-01-01T00:00:01Z instead of 2023-11-14T22:13:20Z)",
            "'type' is a directory instead of a file",
        ]);
    }

    [Fact(Timeout = 30_000)]
    public async Task Which_name_of_a_hard_link_comes_first_does_not_matter()
    {
        byte[] one = new TarMaker().Add("./a", [1]).HardLink("./b", "./a").HardLink("./c", "./a").End();
        byte[] other = new TarMaker().Add("./c", [1]).HardLink("./a", "./c").HardLink("./b", "./c").End();
        (await Compare(one, other)).Messages.ShouldBeEmpty();
    }

    [Fact(Timeout = 30_000)]
    public async Task A_copy_where_a_hard_link_was_is_a_difference_and_the_other_way_round()
    {
        byte[] linked = new TarMaker().Add("./a", [1]).HardLink("./b", "./a").End();
        byte[] copied = new TarMaker().Add("./a", [1]).Add("./b", [1]).End();
        (await Compare(linked, copied)).Messages.ShouldBe(["'b' is no longer a hard link to 'a'"]);
        (await Compare(copied, linked)).Messages.ShouldBe(["'b' is a hard link to 'a' and should not be"]);
    }

    [Fact(Timeout = 30_000)]
    public async Task Fractions_of_a_second_are_not_compared() =>
        (await Compare(new TarMaker().Pax(("mtime", "1700000000.75")).Add("./a", []).End(), new TarMaker().Add("./a", []).End())).None.ShouldBeTrue();

    [Fact(Timeout = 30_000)]
    public async Task After_a_partial_restore_other_content_is_fine() =>
        (await Compare(new TarMaker().Add("./a", []).End(), new TarMaker().Directory("./").Add("./a", []).Add("./b", []).End(), partial: true)).None.ShouldBeTrue();

    [Fact(Timeout = 30_000)]
    public async Task Messages_are_capped_and_the_total_is_not()
    {
        var expected = new TarMaker();
        for (int i = 0; i < 50; i++) expected.Add($"./{i}", []);
        TarDifferences differences = await Compare(expected.End(), new TarMaker().End(), most: 5);
        (differences.Total, differences.Messages.Count).ShouldBe((50, 5));
    }

    [Fact(Timeout = 30_000)]
    public async Task A_read_back_that_is_cut_is_an_error() =>
        await Should.ThrowAsync<IncompleteTarException>(() => Compare(new TarMaker().Add("./a", []).End(), new TarMaker().Add("./a", []).Cut()));
}
