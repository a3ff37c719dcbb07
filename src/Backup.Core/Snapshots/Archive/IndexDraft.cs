using Backup.Stores;
using Backup.Streams;

namespace Backup.Snapshots.Archive;

/// <summary>
/// The index while it grows: compressed text in memory; beyond some megabytes it waits in the spool or, without one, streams into its object.
/// </summary>
internal sealed class IndexDraft(IObjectStore store, string key, Spool? spool) : IAsyncDisposable
{
    private const int InMemory = 4 << 20;

    private readonly Queue<(ReadOnlyMemory<byte> Bytes, SpoolSlot? Slot)> _pieces = new();
    private bool _crowded;
    private ObjectWriter? _object;

    internal FileIndexWriter Text { get; } = new();

    /// <summary>Called now and then by whoever adds to the text.</summary>
    internal void Relieve() => Cut(InMemory);

    /// <summary>Writes on what no longer fits in memory; called by the one task that writes to the store.</summary>
    internal Task WriteOnAsync(CancellationToken cancel) => Volatile.Read(ref _crowded) ? WriteAllAsync(cancel) : Task.CompletedTask;

    /// <summary>When all entries were added: ends the text with the frames and makes the object.</summary>
    internal async Task<ObjectReceipt> CommitAsync(IReadOnlyList<FrameSpan> frames, CancellationToken cancel)
    {
        foreach (FrameSpan frame in frames) Text.AddFrame(frame);
        Text.End(frames.Count);
        Cut(1);
        await WriteAllAsync(cancel).ConfigureAwait(false);
        return await _object!.CommitAsync(cancel).ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var (_, slot) in _pieces)
            if (slot is not null) spool!.Free(slot);
        if (_object is not null) await _object.DisposeAsync().ConfigureAwait(false);
        Text.Dispose();
    }

    private void Cut(int least)
    {
        for (ReadOnlyMemory<byte> ready = Text.Take(least); ready.Length > 0;)
        {
            ReadOnlyMemory<byte> piece = ready[..Math.Min(ready.Length, Spool.SlotBytes)];
            ready = ready[piece.Length..];
            SpoolSlot? slot = least < InMemory ? null : spool?.TryKeep(piece.Span);
            lock (_pieces) _pieces.Enqueue((slot is null ? piece : default, slot));
            if (slot is null) Volatile.Write(ref _crowded, true);
        }
    }

    private async Task WriteAllAsync(CancellationToken cancel)
    {
        Volatile.Write(ref _crowded, false);
        _object ??= await store.CreateAsync(key, null, cancel).ConfigureAwait(false);
        while (true)
        {
            (ReadOnlyMemory<byte> Bytes, SpoolSlot? Slot) piece;
            lock (_pieces)
                if (!_pieces.TryDequeue(out piece)) return;
            await _object.WriteAsync(piece.Slot is null ? piece.Bytes : spool!.TakeBack(piece.Slot), cancel).ConfigureAwait(false);
        }
    }
}
