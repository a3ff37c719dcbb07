using Backup.Cli.Output;
using Shouldly;
using Xunit;

namespace Backup.Tests.Cli;

public class TextTests
{
    [Theory]
    [InlineData(0, "0 B")]
    [InlineData(1023, "1023 B")]
    [InlineData(1024, "1.0 KiB")]
    [InlineData(1024 * 1024 - 1, "1.0 MiB")]
    [InlineData(150L << 20, "150 MiB")]
    [InlineData(3L << 30, "3.0 GiB")]
    [InlineData(long.MaxValue, "8192 PiB")]
    public void Sizes_have_binary_units(long bytes, string text) => Text.Size(bytes).ShouldBe(text);

    [Theory]
    [InlineData(0.04, "0.0 s")]
    [InlineData(9.94, "9.9 s")]
    [InlineData(9.96, "10 s")]
    [InlineData(59.9, "1 min 00 s")]
    [InlineData(200, "3 min 20 s")]
    [InlineData(3840, "1 h 04 min")]
    public void Durations_are_as_exact_as_a_person_needs(double seconds, string text) => Text.Duration(seconds).ShouldBe(text);

    [Theory]
    [InlineData(59, "59 s")]
    [InlineData(7199, "119 min")]
    [InlineData(7200, "2 h")]
    [InlineData(26 * 3600, "26 h")]
    [InlineData(72 * 3600, "3 d")]
    [InlineData(-5, "in the future")]
    public void Ages_have_one_unit(double seconds, string text) => Text.Age(TimeSpan.FromSeconds(seconds)).ShouldBe(text);

    [Fact]
    public void A_name_cannot_drive_the_terminal() => Text.Plain("a\nb\e[2Jc\td").ShouldBe(@"a\nb\x1b[2Jc\td");

    [Fact]
    public void A_table_aligns_its_columns_and_leaves_no_blanks_at_the_end()
    {
        var table = new Table("ID", ">SIZE", "NAME");
        table.Add("1", "12 B", "x");
        table.Add("long", "1.0 KiB", "y\n");
        var writer = new StringWriter { NewLine = "\n" };
        table.Write(writer);
        writer.ToString().ShouldBe("ID       SIZE  NAME\n1        12 B  x\nlong  1.0 KiB  y\\n\n");
    }

    [Fact]
    public void A_time_heading_names_the_zone()
    {
        Text.TimeHeading("TAKEN", TimeZoneInfo.Utc, DateTimeOffset.UnixEpoch).ShouldBe("TAKEN (UTC)");
        var west = TimeZoneInfo.CreateCustomTimeZone("w", TimeSpan.FromMinutes(-210), "w", "w");
        Text.TimeHeading("TAKEN", west, DateTimeOffset.UnixEpoch).ShouldBe("TAKEN (UTC-03:30)");
    }
}
