using System.Numerics;
using Backup.Streams;
using Shouldly;
using Xunit;

namespace Backup.Tests.Streams;

public sealed class Crc32CTests
{
    [Theory]
    [InlineData("", 0x00000000)]
    [InlineData("a", 0xC1D04330)]
    [InlineData("123456789", 0xE3069283)] // the check value of the catalogue of CRCs
    public void It_is_Castagnolis(string text, uint expected) => Of(System.Text.Encoding.ASCII.GetBytes(text)).ShouldBe(expected);

    /// <summary>RFC 3720, B.4.</summary>
    [Theory]
    [InlineData(0x00, 0x8A9136AA)]
    [InlineData(0xFF, 0x62A8AB43)]
    public void It_is_what_iSCSI_computes(byte fill, uint expected) => Of([.. Enumerable.Repeat(fill, 32)]).ShouldBe(expected);

    [Fact]
    public void Lanes_change_nothing_whatever_the_length_and_however_it_is_cut()
    {
        var random = new Random(11);
        for (int round = 0; round < 1500; round++)
        {
            var bytes = new byte[round < 200 ? 6144 - 100 + round : random.Next(40_000)];
            random.NextBytes(bytes);
            uint expected = uint.MaxValue;
            foreach (byte b in bytes) expected = BitOperations.Crc32C(expected, b);
            Of(bytes).ShouldBe(~expected, $"{bytes.Length} bytes");
            int cut = random.Next(bytes.Length + 1);
            Of(bytes[..cut], bytes[cut..]).ShouldBe(~expected, $"{bytes.Length} bytes cut at {cut}");
        }
    }

    private static uint Of(params byte[][] pieces)
    {
        var crc = new Crc32C();
        foreach (byte[] piece in pieces) crc.Append(piece);
        return crc.Value;
    }
}
