using System.Numerics;
using System.Runtime.InteropServices;

namespace Backup.Streams;

/// <summary>CRC-32C (Castagnoli), by the processor's own instruction. Finds accidents, not attackers.</summary>
internal struct Crc32C
{
    private uint _state;

    public Crc32C() => _state = uint.MaxValue;

    internal readonly uint Value => ~_state;

    internal void Append(ReadOnlySpan<byte> bytes)
    {
        uint crc = _state;
        foreach (ulong word in MemoryMarshal.Cast<byte, ulong>(bytes)) crc = BitOperations.Crc32C(crc, word);
        foreach (byte b in bytes[(bytes.Length & ~7)..]) crc = BitOperations.Crc32C(crc, b);
        _state = crc;
    }
}
