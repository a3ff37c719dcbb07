using Backup.Snapshots;

namespace Backup.Streams;

/// <summary>Pulls a tar entry by entry, headers as the bytes they are. An end without the tar's own end mark is an <see cref="IncompleteTarException"/>.</summary>
/// <param name="tar">Is disposed with the reader.</param>
internal sealed class TarEntryReader(Stream tar) : IAsyncDisposable
{
    private const int BufferSize = 256 * 1024;

    private readonly Resolver _resolver = new();
    private readonly byte[] _buffer = new byte[BufferSize];
    private readonly MemoryStream _raw = new();
    private int _start, _end;
    private int _padding;

    /// <summary>The entry at hand, resolved; valid until the next one.</summary>
    internal TarHeader Header => _resolver.Header!;

    /// <summary>Its header blocks as they came, extended headers included; valid until the next one.</summary>
    internal ReadOnlyMemory<byte> Raw => _raw.GetBuffer().AsMemory(0, (int)_raw.Length);

    /// <summary>Bytes of its content that were not read yet.</summary>
    internal long Left { get; private set; }

    /// <summary>Moves to the next entry, over what was left of this one; false at the tar's end.</summary>
    internal async ValueTask<bool> NextAsync(CancellationToken cancel)
    {
        while (Left > 0) await SkipAsync(cancel).ConfigureAwait(false);
        while (_padding > 0) _padding -= Take(await FillAsync(cancel).ConfigureAwait(false) ? _padding : throw Cut()).Length;
        _raw.SetLength(0);
        _resolver.Header = null;
        for (int zeros = 0; _resolver.Header is null;)
        {
            while (_end - _start < TarParser.BlockSize)
                if (!await FillAsync(cancel, TarParser.BlockSize).ConfigureAwait(false)) throw Cut();
            ReadOnlyMemory<byte> block = Take(TarParser.BlockSize);
            zeros = _raw.Length == 0 && !block.Span.ContainsAnyExcept((byte)0) ? zeros + 1 : 0;
            if (zeros == 0) _raw.Write(block.Span);
            if (zeros < 2) continue;
            // Only zeros may follow; the parser sees to it.
            while (await FillAsync(cancel).ConfigureAwait(false)) Take(BufferSize);
            return false;
        }
        Left = Header.Size;
        _padding = (int)(TarParser.Padded(Left) - Left);
        return true;
    }

    /// <summary>Reads content of the entry at hand; 0 at its end.</summary>
    internal async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancel)
    {
        if (Left == 0 || buffer.Length == 0) return 0;
        int count = (int)Math.Min(Left, buffer.Length);
        if (_start < _end)
        {
            ReadOnlyMemory<byte> held = Take(count);
            held.CopyTo(buffer);
            count = held.Length;
        }
        else
        {
            count = await tar.ReadAsync(buffer[..count], cancel).ConfigureAwait(false);
            if (count == 0) throw Cut();
            _resolver.Push(buffer.Span[..count]);
        }
        Left -= count;
        return count;
    }

    private async ValueTask SkipAsync(CancellationToken cancel)
    {
        if (!await FillAsync(cancel).ConfigureAwait(false)) throw Cut();
        Left -= Take((int)Math.Min(Left, BufferSize)).Length;
    }

    private ReadOnlyMemory<byte> Take(int most)
    {
        ReadOnlyMemory<byte> taken = _buffer.AsMemory(_start, Math.Min(most, _end - _start));
        _start += taken.Length;
        _resolver.Push(taken.Span);
        return taken;
    }

    /// <summary>Reads on when fewer than <paramref name="wanted"/> bytes are held; false at the stream's end.</summary>
    private async ValueTask<bool> FillAsync(CancellationToken cancel, int wanted = 1)
    {
        if (_end - _start >= wanted) return true;
        if (_start > 0)
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            (_start, _end) = (0, _end - _start);
        }
        int read = await tar.ReadAsync(_buffer.AsMemory(_end), cancel).ConfigureAwait(false);
        _end += read;
        return read > 0;
    }

    private IncompleteTarException Cut()
    {
        try
        {
            Take(BufferSize);
            _resolver.Complete();
        }
        catch (IncompleteTarException e)
        {
            return e;
        }
        throw new InvalidOperationException("a tar that is complete was taken for one that is not");
    }

    public ValueTask DisposeAsync() => tar.DisposeAsync();

    private sealed class Resolver : TarParser
    {
        internal TarHeader? Header { get; set; }

        protected override void EntryStarts(TarHeader header) => Header = header;
        protected override void Content(ReadOnlySpan<byte> bytes) { }
        protected override void EntryEnds(TarHeader header) { }
    }
}
