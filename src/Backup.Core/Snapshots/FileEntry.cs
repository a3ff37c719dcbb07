namespace Backup.Snapshots;

public enum FileType
{
    File,
    Directory,
    Symlink,
    HardLink,
    Fifo,
    CharDevice,
    BlockDevice,
    Other,
}

/// <summary>One entry of a tar, from its headers. Paths are raw bytes kept as Latin-1 text, so that names that are not UTF-8 survive.</summary>
/// <param name="RawPath">Path without a leading <c>./</c>, the root itself is empty; each char is one byte of the name.</param>
/// <param name="RawLink">Target of a symlink (verbatim) or a hard link (without leading <c>./</c>); null otherwise. Same coding.</param>
/// <param name="Size">Bytes of content in the tar.</param>
/// <param name="Mode">Permission bits with setuid, setgid and sticky.</param>
/// <param name="Mtime">Modification time, seconds since 1970, with a fraction when PAX gave one.</param>
/// <param name="Offset">Where the entry's first header block starts in the tar.</param>
/// <param name="DataOffset">Where its content starts in the tar.</param>
/// <param name="Digest">Of content and extended attributes, to compare with a read-back: see FORMAT.md. Null when there is nothing to hash.</param>
public sealed record FileEntry(
    string RawPath,
    FileType Type,
    long Size,
    int Mode,
    long Uid,
    long Gid,
    decimal Mtime,
    string? RawLink,
    long Offset,
    long DataOffset,
    string? Digest)
{
    /// <summary>For people and JSON: decoded as UTF-8 where it is, else with <c>\xNN</c> for the bytes that are not.</summary>
    public string Path => Display(RawPath);
    public string? Link => RawLink is null ? null : Display(RawLink);

    /// <summary>Decodes raw bytes for display. Reversible by <see cref="Raw"/>: backslashes double when an escape is needed anywhere.</summary>
    public static string Display(string raw) => EntryNames.Display(raw);

    /// <summary>The raw form of a path a user typed.</summary>
    public static string Raw(string typed) => EntryNames.Raw(typed);
}
