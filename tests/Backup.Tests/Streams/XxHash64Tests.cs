using Backup.Streams;
using Shouldly;
using Xunit;

namespace Backup.Tests.Streams;

public sealed class XxHash64Tests
{
    private static byte[] Pattern(int length)
    {
        var bytes = new byte[length];
        for (int i = 0; i < length; i++) bytes[i] = (byte)((i * i * 31 + i * 7 + 3) ^ ((i >> 8) * 13));
        return bytes;
    }

    /// <summary>Values of xxhsum 0.8.1 (<c>xxhsum -H1</c>) for the same bytes.</summary>
    [Theory]
    [InlineData(0, 0xEF46DB3751D8E999)]
    [InlineData(1, 0x1F25C8D0BC1F4BB6)]
    [InlineData(3, 0xA020F3294A68C3B2)]
    [InlineData(4, 0x9A05810A0D610553)]
    [InlineData(5, 0xFED9F649BC1B3214)]
    [InlineData(7, 0x85B3BE277ADA6206)]
    [InlineData(8, 0xE400A21C7735E336)]
    [InlineData(9, 0x080DE70BE655E8A0)]
    [InlineData(12, 0xFEE2C2B08B6C74E8)]
    [InlineData(13, 0xF13B06FD9580879E)]
    [InlineData(31, 0x799631C30D7E3922)]
    [InlineData(32, 0x6B7EAD39B05FCC7C)]
    [InlineData(33, 0xB6D285B00D90E573)]
    [InlineData(39, 0x8DCB915BFBFCD63B)]
    [InlineData(44, 0x2FCDBC2AD7EEA3F3)]
    [InlineData(63, 0x765796FDB42CAB38)]
    [InlineData(64, 0x7A9871C22557878C)]
    [InlineData(100, 0xB261BDBAD1498F82)]
    [InlineData(1000, 0xAC6032B3D4C5ACAF)]
    [InlineData(2097152, 0x3B94621914705FFB)]
    public void It_is_what_xxhsum_prints(int length, ulong expected) => XxHash64.Of(Pattern(length)).ShouldBe(expected);

    /// <summary>zstd ends a frame with the lower half of the XXH64 of its content.</summary>
    [Fact]
    public void It_is_what_zstd_computes_for_every_short_length()
    {
        using var zstd = new ZstdCompressor(3);
        var frame = new byte[ZstdCompressor.Bound(1100)];
        for (int length = 0; length < 1100; length++)
        {
            byte[] content = Pattern(length);
            int size = zstd.Frame(content, frame);
            ((uint)XxHash64.Of(content)).ShouldBe(BitConverter.ToUInt32(frame, size - 4), $"of {length} bytes");
        }
    }
}
