using Backup.Snapshots;

namespace Backup.Streams;

/// <summary>The dump that <see cref="DumpTarStream"/> cut into pieces, in one piece again. Ends only when the tar has ended well, too.</summary>
/// <param name="tar">The whole tar; disposed with this.</param>
/// <param name="pieces">Its entries in tar order.</param>
internal sealed class DumpContentStream(Stream tar, IReadOnlyList<FileEntry> pieces) : ReadOnlyStream
{
    private readonly byte[] _skipped = new byte[64 * 1024];
    private long _at;
    private int _piece;

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancel = default)
    {
        if (buffer.Length == 0) return 0;
        while (_piece < pieces.Count && _at == pieces[_piece].DataOffset + pieces[_piece].Size) _piece++;
        if (_piece == pieces.Count)
        {
            while (await tar.ReadAsync(_skipped, cancel).ConfigureAwait(false) > 0) { }
            return 0;
        }
        FileEntry piece = pieces[_piece];
        while (_at < piece.DataOffset)
        {
            int gap = (int)Math.Min(_skipped.Length, piece.DataOffset - _at);
            await tar.ReadExactlyAsync(_skipped.AsMemory(0, gap), cancel).ConfigureAwait(false);
            _at += gap;
        }
        int read = await tar.ReadAsync(buffer[..(int)Math.Min(buffer.Length, piece.DataOffset + piece.Size - _at)], cancel).ConfigureAwait(false);
        if (read == 0) throw new EndOfStreamException("the tar ended inside a piece of the dump");
        _at += read;
        return read;
    }

    public override ValueTask DisposeAsync() => tar.DisposeAsync();
}
