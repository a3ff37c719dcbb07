using System.Numerics;
using System.Runtime.InteropServices;

namespace Backup.Streams;

/// <summary>
/// CRC-32C (Castagnoli), by the processor's own instruction. Finds accidents, not attackers. The instruction takes three times as long to answer as
/// to be issued, so large inputs go through three lanes at once; a lane's result is moved on over what follows it, as if zeros were appended.
/// </summary>
internal struct Crc32C
{
    private const int Lane = 2048;

    private static readonly uint[] OverOneLane = Shift(Lane), OverTwoLanes = Shift(2 * Lane);

    private uint _state;

    public Crc32C() => _state = uint.MaxValue;

    internal readonly uint Value => ~_state;

    internal void Append(ReadOnlySpan<byte> bytes)
    {
        uint crc = _state;
        for (; bytes.Length >= 3 * Lane; bytes = bytes[(3 * Lane)..])
        {
            ReadOnlySpan<ulong> a = Words(bytes, 0), b = Words(bytes, Lane), c = Words(bytes, 2 * Lane);
            uint second = 0, third = 0;
            for (int i = 0; i < a.Length && i < b.Length && i < c.Length; i++)
            {
                crc = BitOperations.Crc32C(crc, a[i]);
                second = BitOperations.Crc32C(second, b[i]);
                third = BitOperations.Crc32C(third, c[i]);
            }
            crc = Move(OverTwoLanes, crc) ^ Move(OverOneLane, second) ^ third;
        }
        foreach (ulong word in MemoryMarshal.Cast<byte, ulong>(bytes)) crc = BitOperations.Crc32C(crc, word);
        foreach (byte b in bytes[(bytes.Length & ~7)..]) crc = BitOperations.Crc32C(crc, b);
        _state = crc;
    }

    private static ReadOnlySpan<ulong> Words(ReadOnlySpan<byte> bytes, int from) => MemoryMarshal.Cast<byte, ulong>(bytes.Slice(from, Lane));

    private static uint Move(uint[] shift, uint crc) =>
        shift[crc & 0xFF] ^ shift[256 + (crc >> 8 & 0xFF)] ^ shift[512 + (crc >> 16 & 0xFF)] ^ shift[768 + (crc >> 24)];

    /// <summary>What each byte of a state becomes over so many zero bytes. A state is the sum of its bits, and so is what becomes of it.</summary>
    private static uint[] Shift(int zeros)
    {
        var shift = new uint[4 * 256];
        for (int bit = 0; bit < 32; bit++)
        {
            uint crc = 1u << bit;
            for (int done = 0; done < zeros; done += sizeof(ulong)) crc = BitOperations.Crc32C(crc, 0UL);
            for (int value = 0; value < 256; value++)
                if ((value >> bit % 8 & 1) != 0) shift[256 * (bit / 8) + value] ^= crc;
        }
        return shift;
    }
}
