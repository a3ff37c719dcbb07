using System.Globalization;
using System.Text;
using Backup.Quiescing;
using Backup.Snapshots;

namespace Backup.Streams;

/// <summary>
/// A dump, whose size nobody knows in advance, as a tar of numbered pieces: <c>tar xO</c> puts them together again. The tar's end is written only when
/// the dump came to its own end with exit code 0 and is whole by its mark. Takes memory for one piece.
/// </summary>
internal sealed class DumpTarStream(Stream dump, string fileName, DumpMark mark, DateTimeOffset takenAt, int pieceSize = DumpTarStream.DefaultPieceSize) : ReadOnlyStream
{
    internal const int DefaultPieceSize = 4 << 20;
    private const int Block = 512;

    private readonly byte[] _buffer = new byte[Block + pieceSize + Block];
    private readonly byte[] _head = new byte[mark.Head.Length];
    private readonly byte[] _tail = new byte[DumpMark.TailSpan];
    private int _headLength, _tailLength, _start, _end, _pieces;
    private bool _ended;

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancel = default)
    {
        if (_start == _end && !_ended) await FillAsync(cancel).ConfigureAwait(false);
        int count = Math.Min(buffer.Length, _end - _start);
        _buffer.AsSpan(_start, count).CopyTo(buffer.Span);
        _start += count;
        return count;
    }

    private async ValueTask FillAsync(CancellationToken cancel)
    {
        int size = await dump.ReadAtLeastAsync(_buffer.AsMemory(Block, pieceSize), pieceSize, throwOnEndOfStream: false, cancel).ConfigureAwait(false);
        (_start, _end) = (0, 0);
        if (size > 0)
        {
            Remember(_buffer.AsSpan(Block, size));
            WriteHeader(_buffer.AsSpan(0, Block), string.Create(CultureInfo.InvariantCulture, $"{fileName}.{++_pieces:000000}"), size, takenAt);
            int padded = (size + Block - 1) / Block * Block;
            _buffer.AsSpan(Block + size, padded - size).Clear();
            _end = Block + padded;
            return;
        }
        if (!mark.IsWhole(_head.AsSpan(0, _headLength), _tail.AsSpan(0, _tailLength)))
            throw new IncompleteDumpException(_pieces == 0 ? "The dump is empty." : $"The dump is not whole: {mark.Words} is missing.");
        _ended = true;
        _end = 2 * Block;
        _buffer.AsSpan(0, _end).Clear();
    }

    private void Remember(ReadOnlySpan<byte> piece)
    {
        int head = Math.Min(_head.Length - _headLength, piece.Length);
        piece[..head].CopyTo(_head.AsSpan(_headLength));
        _headLength += head;

        ReadOnlySpan<byte> last = piece[Math.Max(0, piece.Length - _tail.Length)..];
        int keep = Math.Min(_tailLength, _tail.Length - last.Length);
        _tail.AsSpan(_tailLength - keep, keep).CopyTo(_tail);
        last.CopyTo(_tail.AsSpan(keep));
        _tailLength = keep + last.Length;
    }

    private static void WriteHeader(Span<byte> block, string name, long size, DateTimeOffset time)
    {
        block.Clear();
        Text(block, 0, name);
        Text(block, 100, "0000600\0");
        Text(block, 108, "0000000\0");
        Text(block, 116, "0000000\0");
        Octal(block, 124, size);
        Octal(block, 136, time.ToUnixTimeSeconds());
        block[148..156].Fill((byte)' ');
        block[156] = (byte)'0';
        Text(block, 257, "ustar\000");
        int sum = 0;
        foreach (byte b in block) sum += b;
        Text(block, 148, Convert.ToString(sum, 8).PadLeft(6, '0') + "\0 ");
    }

    private static void Octal(Span<byte> block, int at, long value) => Text(block, at, Convert.ToString(value, 8).PadLeft(11, '0') + "\0");

    private static void Text(Span<byte> block, int at, string text) => Encoding.ASCII.GetBytes(text, block[at..]);

    public override ValueTask DisposeAsync() => dump.DisposeAsync();
}

/// <summary>What a dump wrote is not all of it, whatever its exit code said.</summary>
public sealed class IncompleteDumpException(string problem) : BackupException(problem, "Look at the container's log, and run the dump by hand in the container.");
