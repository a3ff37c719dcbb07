using Backup.Policies;
using Shouldly;
using Xunit;

namespace Backup.Tests.Policies;

public sealed class QuantitiesTests
{
    [Theory]
    [InlineData("16MiB", 16L << 20)]
    [InlineData("16 MiB", 16L << 20)]
    [InlineData("16m", 16L << 20)]
    [InlineData("16MB", 16_000_000L)]
    [InlineData("5GiB", 5L << 30)]
    [InlineData("100B", 100L)]
    [InlineData("5242880", 5242880L)]
    [InlineData("999999999999999T", null)]
    [InlineData("16 parsecs", null)]
    [InlineData("-1", null)]
    [InlineData("1.5MiB", null)]
    public void Sizes(string text, long? bytes) => Quantities.Size(text).ShouldBe(bytes);

    [Theory]
    [InlineData("36h", 0, 36)]
    [InlineData("14d", 0, 14 * 24)]
    [InlineData("8w", 0, 56 * 24)]
    [InlineData("12mo", 12, 0)]
    [InlineData("2y", 24, 0)]
    [InlineData("1y 6mo 3d", 18, 72)]
    public void Spans(string text, int months, int hours) => Quantities.Span(text).ShouldBe(new CalendarSpan(text, months, TimeSpan.FromHours(hours)));

    [Theory]
    [InlineData("")]
    [InlineData("14")]
    [InlineData("d")]
    [InlineData("14 days")]
    [InlineData("-3d")]
    [InlineData("0d")]
    [InlineData("5m")]
    public void No_spans(string text) => Quantities.Span(text).ShouldBeNull();

    [Theory]
    [InlineData("pause", "paus", 1)]
    [InlineData("disk", "dsik", 1)]
    [InlineData("keep", "KEEP", 0)]
    [InlineData("", "abc", 3)]
    public void Distances(string a, string b, int distance) => Nearest.Distance(a, b).ShouldBe(distance);
}
