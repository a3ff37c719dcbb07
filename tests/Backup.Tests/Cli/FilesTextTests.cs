using Backup.Cli.Output;
using Backup.Snapshots;
using Shouldly;
using Xunit;

namespace Backup.Tests.Cli;

public class FilesTextTests
{
    private static FileEntry Entry(string path, FileType type, int mode, long size = 0, string? link = null, decimal mtime = 0) =>
        new(path, type, size, mode, 1000, 100, mtime, link, 0, 512, null);

    [Theory]
    [InlineData(FileType.File, 0x9ED, "-rwsr-xr-x")] // 4755
    [InlineData(FileType.File, 0x9A4, "-rwSr--r--")] // 4644
    [InlineData(FileType.Directory, 0x3FF, "drwxrwxrwt")] // 1777
    [InlineData(FileType.Directory, 0x5E8, "drwxr-s---")] // 2750
    [InlineData(FileType.Directory, 0x5E0, "drwxr-S---")] // 2740
    [InlineData(FileType.Symlink, 0x1FF, "lrwxrwxrwx")]
    [InlineData(FileType.Fifo, 0x1A4, "prw-r--r--")]
    public void Modes_read_like_ls(FileType type, int mode, string text) => FilesText.Mode(Entry("x", type, mode)).ShouldBe(text);

    [Fact]
    public void Lines_are_aligned_and_names_are_made_harmless()
    {
        var writer = new StringWriter { NewLine = "\n" };
        FilesText.Write(
            writer,
            [
                Entry("", FileType.Directory, 0x1ED),
                Entry("a\nb", FileType.File, 0x1A4, 12345, mtime: 86400.5m),
                Entry("l", FileType.Symlink, 0x1FF, link: "/etc/passwd"),
                Entry("h", FileType.HardLink, 0x1A4, link: "a\nb"),
            ],
            TimeZoneInfo.Utc);
        writer.ToString().ShouldBe(
            "drwxr-xr-x 1000:100     0 1970-01-01 00:00:00 .\n"
            + "-rw-r--r-- 1000:100 12345 1970-01-02 00:00:00 a\\nb\n"
            + "lrwxrwxrwx 1000:100     0 1970-01-01 00:00:00 l -> /etc/passwd\n"
            + "hrw-r--r-- 1000:100     0 1970-01-01 00:00:00 h = a\\nb\n");
    }

    [Theory]
    [InlineData("99999999999999999999")]
    [InlineData("-99999999999999999999")]
    public void A_time_that_no_calendar_holds_does_not_stop_a_listing(string mtime)
    {
        var writer = new StringWriter();
        FilesText.Write(writer, [Entry("x", FileType.File, 0, mtime: decimal.Parse(mtime))], TimeZoneInfo.CreateCustomTimeZone("e", TimeSpan.FromHours(14), "e", "e"));
        writer.ToString().ShouldContain(" x");
    }
}
