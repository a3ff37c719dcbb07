using System.Numerics;
using System.Runtime.InteropServices;

namespace Backup.Streams;

/// <summary>XXH64 with seed 0, as <c>xxhsum</c> prints it. Finds accidents, not attackers; runs at the speed of memory, where SHA-256 takes a core.</summary>
internal static class XxHash64
{
    private const ulong P1 = 0x9E3779B185EBCA87, P2 = 0xC2B2AE3D27D4EB4F, P3 = 0x165667B19E3779F9, P4 = 0x85EBCA77C2B2AE63, P5 = 0x27D4EB2F165667C5;

    internal static ulong Of(ReadOnlySpan<byte> bytes)
    {
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(bytes);
        ulong hash = P5;
        if (bytes.Length >= 32)
        {
            ulong a = unchecked(P1 + P2), b = P2, c = 0, d = unchecked(0 - P1);
            for (; words.Length >= 4; words = words[4..])
            {
                d = Round(d, words[3]);
                a = Round(a, words[0]);
                b = Round(b, words[1]);
                c = Round(c, words[2]);
            }
            hash = BitOperations.RotateLeft(a, 1) + BitOperations.RotateLeft(b, 7) + BitOperations.RotateLeft(c, 12) + BitOperations.RotateLeft(d, 18);
            hash = Merge(Merge(Merge(Merge(hash, a), b), c), d);
        }
        hash += (ulong)bytes.Length;
        foreach (ulong word in words) hash = BitOperations.RotateLeft(hash ^ Round(0, word), 27) * P1 + P4;
        ReadOnlySpan<byte> rest = bytes[(bytes.Length & ~7)..];
        if (rest.Length >= 4)
        {
            hash = BitOperations.RotateLeft(hash ^ MemoryMarshal.Read<uint>(rest) * P1, 23) * P2 + P3;
            rest = rest[4..];
        }
        foreach (byte b in rest) hash = BitOperations.RotateLeft(hash ^ b * P5, 11) * P1;
        hash = (hash ^ hash >> 33) * P2;
        hash = (hash ^ hash >> 29) * P3;
        return hash ^ hash >> 32;
    }

    private static ulong Round(ulong lane, ulong word) => BitOperations.RotateLeft(lane + word * P2, 31) * P1;

    private static ulong Merge(ulong hash, ulong lane) => (hash ^ Round(0, lane)) * P1 + P4;
}
