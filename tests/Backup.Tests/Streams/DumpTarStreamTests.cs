using System.Text;
using Backup.Quiescing;
using Backup.Snapshots;
using Backup.Streams;
using Backup.Tests.Environments;
using Backup.Tests.Fakes;
using Shouldly;
using Xunit;

namespace Backup.Tests.Streams;

public sealed class DumpTarStreamTests
{
    private const int Limit = 30_000;
    private static readonly DumpMark Mark = new("its last line", "--"u8.ToArray(), "-- end"u8.ToArray());
    private static readonly DateTimeOffset Time = DateTimeOffset.FromUnixTimeSeconds(1_700_000_000);

    private static byte[] Dump(int size) => Encoding.ASCII.GetBytes("--" + new string('x', size - 8) + "-- end");

    private static DumpTarStream Tar(Stream dump, int piece = 1000) => new(dump, "db.sql", Mark, Time, piece);

    private static async Task<byte[]> ReadAsync(Stream stream, int at = 777)
    {
        using var all = new MemoryStream();
        await stream.CopyToAsync(all, at);
        return all.ToArray();
    }

    [Theory(Timeout = Limit)]
    [InlineData(8)]
    [InlineData(512)]
    [InlineData(999)]
    [InlineData(1000)]
    [InlineData(1001)]
    [InlineData(5000)]
    public async Task A_dump_becomes_numbered_pieces_and_one_again(int size)
    {
        byte[] dump = Dump(size);
        byte[] tar = await ReadAsync(Tar(new FaultyStream(dump, dump.Length, null)));
        List<FileEntry> pieces = [];
        var scan = new TarScan(pieces.Add);
        scan.Push(tar);
        scan.Complete();
        pieces.Select(p => p.Path).ShouldBe(Enumerable.Range(1, (size + 999) / 1000).Select(n => $"db.sql.{n:000000}"));
        pieces.ShouldAllBe(p => p.Mtime == 1_700_000_000 && p.Type == FileType.File);
        (await ReadAsync(new DumpContentStream(new FaultyStream(tar, tar.Length, null), pieces), 333)).ShouldBe(dump);
    }

    [Fact(Timeout = Limit)]
    public async Task Stock_tar_puts_the_pieces_together()
    {
        byte[] dump = Dump(3_500_000);
        string file = Path.GetTempFileName();
        await File.WriteAllBytesAsync(file, await ReadAsync(Tar(new FaultyStream(dump, dump.Length, null), DumpTarStream.DefaultPieceSize / 4)));
        (await HostProcess.RunAsync("tar", ["-xOf", file])).ShouldBe(Encoding.ASCII.GetString(dump));
        File.Delete(file);
    }

    [Theory(Timeout = Limit)]
    [InlineData("", "empty")]
    [InlineData("-- half a dump", "is not whole: its last line is missing")]
    [InlineData("no head -- end", "is not whole")]
    public async Task A_dump_that_is_not_whole_has_no_end(string dump, string problem)
    {
        byte[] bytes = Encoding.ASCII.GetBytes(dump);
        IncompleteDumpException e = await Should.ThrowAsync<IncompleteDumpException>(ReadAsync(Tar(new FaultyStream(bytes, bytes.Length, null))));
        e.Problem.ShouldContain(problem);
    }

    [Fact(Timeout = Limit)]
    public async Task A_dump_whose_program_failed_behind_its_last_byte_has_no_end()
    {
        byte[] dump = Dump(100);
        var failed = new EnvironmentFailure();
        var read = new MemoryStream();
        (await Should.ThrowAsync<EnvironmentFailure>(Tar(new FaultyStream(dump, dump.Length, failed)).CopyToAsync(read))).ShouldBeSameAs(failed);
        read.ToArray().Length.ShouldBeLessThan(512 + 512 + 1024, "the end mark of the tar must not be there");
    }

    [Theory(Timeout = Limit)]
    [InlineData(1)]
    [InlineData(511)]
    [InlineData(1023)]
    public async Task The_mark_is_found_across_the_border_of_two_pieces(int last)
    {
        byte[] dump = Dump(2000 + last);
        await ReadAsync(Tar(new FaultyStream(dump, dump.Length, null)));
    }

    [Fact(Timeout = Limit)]
    public async Task A_tar_that_is_cut_gives_no_whole_dump()
    {
        byte[] dump = Dump(3000);
        byte[] tar = await ReadAsync(Tar(new FaultyStream(dump, dump.Length, null)));
        List<FileEntry> pieces = [];
        var scan = new TarScan(pieces.Add);
        scan.Push(tar);
        await Should.ThrowAsync<EndOfStreamException>(ReadAsync(new DumpContentStream(new FaultyStream(tar, tar.Length - 2000, null), pieces)));
    }

    private sealed class EnvironmentFailure : Exception;
}
