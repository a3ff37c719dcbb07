using Backup.Snapshots;
using Backup.Streams;
using Shouldly;
using Xunit;

namespace Backup.Tests.Streams;

public sealed class TarScanTests
{
    internal static List<FileEntry> Scan(byte[] tar, int step = int.MaxValue)
    {
        List<FileEntry> entries = [];
        var scan = new TarScan(entries.Add);
        for (int at = 0; at < tar.Length; at += Math.Min(step, tar.Length - at)) scan.Push(tar.AsSpan(at, Math.Min(step, tar.Length - at)));
        scan.Complete();
        return entries;
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(511)]
    [InlineData(512)]
    [InlineData(513)]
    [InlineData(100_000)]
    public void However_the_bytes_are_cut_the_entries_are_the_same(int step)
    {
        byte[] tar = Backup.Tests.Snapshots.Sample.Tar();
        Scan(tar, step).ShouldBe(Scan(tar));
    }

    [Fact]
    public void Names_are_kept_as_bytes_without_the_leading_dot()
    {
        List<FileEntry> entries = Scan(Backup.Tests.Snapshots.Sample.Tar());
        entries.Select(e => e.RawPath).ShouldBe(["", "a.txt", "empty", "b.txt", "dangling", "name\nwith\tnew\\line\xff",
            new string('d', 150), new string('d', 150) + "/" + new string('f', 150), "ping", "fifo", "null"]);
        entries[3].RawLink.ShouldBe("a.txt");
        entries[4].RawLink.ShouldBe("/no/such/place");
        entries[5].Path.ShouldBe("name\nwith\tnew\\\\line\\xff");
        entries[8].Mode.ShouldBe(0x9ED);
    }

    [Fact]
    public void The_digest_is_crc32c_of_the_content()
    {
        // The check value of CRC-32C.
        Scan(new TarMaker().Add("x", "123456789"u8.ToArray()).End())[0].Digest.ShouldBe("e3069283");
        Scan(new TarMaker().Add("x", []).End())[0].Digest.ShouldBeNull();
    }

    [Fact]
    public void The_digest_covers_extended_attributes_and_device_numbers()
    {
        string?[] digests = [.. Scan(new TarMaker()
            .Add("x", [1]).Pax(("SCHILY.xattr.a", "1")).Add("x", [1]).Pax(("SCHILY.xattr.a", "2")).Add("x", [1])
            .Add("d", [], '3', major: 1, minor: 3).Add("d", [], '3', major: 1, minor: 5).End()).Select(e => e.Digest)];
        digests.Distinct().Count().ShouldBe(5);
        digests.ShouldNotContain((string?)null);
    }

    [Fact]
    public void Gnu_long_names_and_links_are_read()
    {
        string name = new('n', 300), link = new('l', 200);
        FileEntry e = Scan(new TarMaker().GnuLink(link).GnuName("./" + name).Add("./nnn", [], '2', "lll", magic: "ustar  \0").End()).ShouldHaveSingleItem();
        (e.RawPath, e.RawLink, e.Type).ShouldBe((name, link, FileType.Symlink));
        e.Offset.ShouldBe(0);
        e.DataOffset.ShouldBe(5 * 512);
    }

    [Fact]
    public void A_ustar_prefix_is_part_of_the_name_and_gnu_uses_that_room_otherwise()
    {
        Scan(new TarMaker().Add("file", [], prefix: "some/dir").End())[0].RawPath.ShouldBe("some/dir/file");
        Scan(new TarMaker().Add("file", [], magic: "ustar  \0", prefix: "14000000000").End())[0].RawPath.ShouldBe("file");
    }

    [Fact]
    public void Sizes_in_base_256_and_in_pax_count()
    {
        Scan(new TarMaker().Add("a", new byte[600], base256: true).Add("b", []).End()).Select(e => e.Size).ShouldBe([600, 0]);
        Scan(new TarMaker().Pax(("size", "600")).Add("a", new byte[600], size: 0).Add("b", []).End()).Select(e => e.Size).ShouldBe([600, 0]);
    }

    [Fact]
    public void A_size_beyond_eight_gibibytes_is_understood()
    {
        byte[] tar = new TarMaker().Add("big", [], base256: true, size: 9L << 30).Cut();
        long size = 0;
        var scan = new TarScan(e => size = e.Size);
        scan.Push(tar);
        var chunk = new byte[1 << 20];
        for (int i = 0; i < 9 << 10; i++) scan.Push(chunk);
        size.ShouldBe(9L << 30);
    }

    [Fact]
    public void Pax_numbers_and_times_win_over_the_header()
    {
        FileEntry e = Scan(new TarMaker().Pax(("mtime", "1700000001.25"), ("uid", "3000000000"), ("gid", "7"), ("path", "p")).Add("x", []).End())[0];
        (e.Mtime, e.Uid, e.Gid, e.RawPath).ShouldBe((1700000001.25m, 3000000000, 7, "p"));
        Scan(new TarMaker().Pax(("mtime", "-1.5")).Add("x", []).End())[0].Mtime.ShouldBe(-1.5m);
    }

    [Fact]
    public void A_global_header_holds_for_all_that_follow()
    {
        List<(long, long)> globals = [];
        List<FileEntry> entries = [];
        var scan = new TarScan(entries.Add, (start, end) => globals.Add((start, end)));
        scan.Push(new TarMaker().Add("a", []).Global(("uid", "42")).Add("b", []).Pax(("uid", "43")).Add("c", []).Add("d", []).End());
        scan.Complete();
        entries.Select(e => e.Uid).ShouldBe([0, 42, 43, 42]);
        globals.ShouldBe([(512, 1536)]);
        entries[1].Offset.ShouldBe(1536);
    }

    [Fact]
    public void Links_and_directories_have_no_content_whatever_their_size_field_says() =>
        Scan(new TarMaker().Add("d", [], '5', size: 4096).Add("h", [], '1', "x", size: 77).Add("f", [1]).End()).Select(e => e.Size).ShouldBe([0, 0, 1]);

    public static TheoryData<string, byte[]> Damaged() => new()
    {
        { "bytes follow", [.. new TarMaker().Add("a", [1]).End(), 1] },
        { "goes on", [.. new TarMaker().Add("a", [1]).Raw(new byte[512]).Add("b", []).End()] },
        { "checksum", Flip(new TarMaker().Add("a", [1]).End(), 3) },
        { "end mark", new TarMaker().Pax(("path", "x")).End() },
        { "PAX", new TarMaker().Add("x", "99 path=a\n"u8.ToArray(), 'x').Add("a", []).End() },
        { "extended header of", new TarMaker().Add("x", [], 'x', size: 1L << 30).End() },
        { "not a number", new TarMaker().Pax(("size", "-5")).Add("a", []).End() },
        { "between an extended header", new TarMaker().Pax(("path", "x")).Cut() },
    };

    [Theory]
    [MemberData(nameof(Damaged))]
    public void A_damaged_tar_is_refused(string says, byte[] tar) => Should.Throw<IncompleteTarException>(() => Scan(tar)).Problem.ShouldContain(says);

    [Fact]
    public void Every_cut_of_a_tar_is_noticed()
    {
        byte[] tar = new TarMaker().Directory("./").Pax(("path", "./long")).Add("./a", new byte[700]).End();
        for (int length = 0; length < tar.Length; length++)
        {
            byte[] cut = tar[..length];
            Should.Throw<IncompleteTarException>(() => Scan(cut), $"cut at {length}");
        }
        Scan(tar).Count.ShouldBe(2);
    }

    [Theory(Timeout = 30_000)]
    [InlineData("gnu", 250)]
    [InlineData("pax", 250)]
    [InlineData("ustar", 90)]
    [InlineData("v7", 60)]
    public async Task Tars_of_stock_tar_are_understood(string format, int length)
    {
        string directory = Directory.CreateTempSubdirectory("backup-tar-").FullName;
        try
        {
            string name = new('n', length);
            File.WriteAllText(Path.Combine(directory, name), "content");
            File.CreateSymbolicLink(Path.Combine(directory, "link"), name);
            Directory.CreateDirectory(Path.Combine(directory, "sub"));
            using var tar = System.Diagnostics.Process.Start(new System.Diagnostics.ProcessStartInfo("tar", ["-c", "--sort=name", "--numeric-owner", "--format=" + format, "."])
                { WorkingDirectory = directory, RedirectStandardOutput = true })!;
            using var bytes = new MemoryStream();
            await tar.StandardOutput.BaseStream.CopyToAsync(bytes);
            await tar.WaitForExitAsync();
            List<FileEntry> entries = Scan(bytes.ToArray());
            entries.Select(e => (e.RawPath, e.Type, e.Size)).ShouldBe([("", FileType.Directory, 0), ("link", FileType.Symlink, 0), (name, FileType.File, 7), ("sub", FileType.Directory, 0)]);
            entries[1].RawLink.ShouldBe(name);
            Math.Abs((double)entries[2].Mtime - new DateTimeOffset(File.GetLastWriteTimeUtc(Path.Combine(directory, name))).ToUnixTimeMilliseconds() / 1000.0).ShouldBeLessThan(1.0);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static byte[] Flip(byte[] bytes, int at)
    {
        bytes[at] ^= 1;
        return bytes;
    }
}
