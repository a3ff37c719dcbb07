namespace Backup.Streams;

/// <summary>Cuts extents of a tar out of the frames that hold them and closes with the tar's end mark.</summary>
/// <param name="source">The frames' content, back to back.</param>
/// <param name="frames">Where each frame lies in the tar.</param>
/// <param name="ranges">Extents in the tar, ascending, apart; all within the frames.</param>
internal sealed class TarRangesStream(FrameReadStream source, IReadOnlyList<FrameSpan> frames, IReadOnlyList<(long Start, long End)> ranges) : ReadOnlyStream
{
    private const int EndMark = 2 * TarParser.BlockSize;
    private ReadOnlyMemory<byte> _piece;
    private int _frame = -1, _range;
    private long _at;
    private long _inRange;
    private int _ended;

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancel = default)
    {
        if (buffer.Length == 0) return 0;
        while (_range < ranges.Count)
        {
            var (start, end) = ranges[_range];
            long want = start + _inRange;
            if (want == end) { _range++; _inRange = 0; continue; }
            while (_frame < 0 || want >= _at + _piece.Length)
            {
                _piece = await source.ReadPieceAsync(cancel).ConfigureAwait(false);
                if (_piece.Length == 0) throw new InvalidDataException("an extent lies outside the frames that were chosen for it");
                _at = frames[++_frame].RawOffset;
            }
            int count = (int)Math.Min(Math.Min(end - want, buffer.Length), _at + _piece.Length - want);
            _piece.Slice((int)(want - _at), count).CopyTo(buffer);
            _inRange += count;
            return count;
        }
        int zeros = Math.Min(buffer.Length, EndMark - _ended);
        buffer.Span[..zeros].Clear();
        _ended += zeros;
        return zeros;
    }

    public override async ValueTask DisposeAsync()
    {
        await source.DisposeAsync().ConfigureAwait(false);
    }
}
