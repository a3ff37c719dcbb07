namespace Backup.Streams;

/// <summary>Where one frame lies, in the object and in the tar, and the XXH64 its compressed bytes must have.</summary>
internal readonly record struct FrameSpan(long PackedOffset, int PackedLength, long RawOffset, int RawLength, ulong Checksum);
