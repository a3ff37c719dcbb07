using Backup.Snapshots;
using Backup.Streams;

namespace Backup.Environments.Pieces;

/// <summary>
/// One plain tar of a source over a way that cuts every answer after some time: begins with the whole, ends each read by itself before it is
/// cut, and goes on where that read stopped, with the largest part of the tree that begins there. The outcome is what one read would have given.
/// </summary>
/// <param name="window">How long one read may take.</param>
internal sealed class JoinedTar(ISourcePieces source, TimeSpan window, TimeProvider time) : ReadOnlyStream
{
    private const int EndMarkSize = 2 * TarParser.BlockSize;

    /// <summary>A read may begin with what is out already, when that takes no more of its window than this: it saves many small reads.</summary>
    private const double RepeatShare = 0.25;

    /// <summary>How much of a window is asked of a file at once, at the rate seen so far.</summary>
    private const double ContentShare = 0.5;

    private const long LeastContent = 1 << 20;
    private const int FruitlessReads = 3;
    private const int SkipSize = 64 * 1024;

    // What is out.
    private string? _last;
    private long _size, _left;
    private ReadOnlyMemory<byte> _pending;
    private bool _ordered = true, _ended;

    // The read that goes on: a piece, or a range of one file's content.
    private TarEntryReader? _piece;
    private Stream? _content;
    private long _contentLeft;
    private TreeNode _part = new("", true, 0);
    private bool _partSeen;
    private TreeCursor? _cursor;
    private byte[] _skipped = [];

    private long _openedAt, _bytes, _bytesAtOpen;
    private TimeSpan _readFor;
    private int _fruitless;

    /// <summary>What the names in the piece are relative to: empty, or with a slash at its end.</summary>
    private string Above => _part.Path.Length == 0 ? "" : _part.IsDirectory ? _part.Path + "/" : _part.Path[..(_part.Path.LastIndexOf('/') + 1)];

    private bool Reading => _piece is not null || _content is not null;

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancel = default)
    {
        if (buffer.Length == 0) return 0;
        while (true)
        {
            if (_pending.Length > 0)
            {
                int count = Math.Min(_pending.Length, buffer.Length);
                _pending[..count].CopyTo(buffer);
                _pending = _pending[count..];
                return count;
            }
            if (_ended) return 0;
            BackupException? broken = null;
            try
            {
                if (!Reading) await OpenNextAsync(cancel).ConfigureAwait(false);
                else if (time.GetElapsedTime(_openedAt) < window)
                {
                    if (_left == 0) await NextEntryAsync(cancel).ConfigureAwait(false);
                    else if (await ContentAsync(buffer, cancel).ConfigureAwait(false) is > 0 and int read) return read;
                    continue;
                }
            }
            catch (BackupException e) when (Reading && e is IncompleteTarException or EnvironmentException { Unreachable: false, Kind: FailureKind.Failed })
            {
                // It broke, or ended early under a clean end of HTTP: as good a place to go on from as any.
                broken = e;
            }
            if (broken is not null || (Reading && time.GetElapsedTime(_openedAt) >= window)) await StopAsync(broken, cancel).ConfigureAwait(false);
        }
    }

    private async ValueTask NextEntryAsync(CancellationToken cancel)
    {
        if (!await _piece!.NextAsync(cancel).ConfigureAwait(false))
        {
            await CloseAsync().ConfigureAwait(false);
            if (_cursor is null)
            {
                End();
                return;
            }
            if (!_partSeen && await source.ExistsAsync(_part.Path, cancel).ConfigureAwait(false))
                throw new IncompleteTarException($"'{EntryNames.Display(_part.Path)}' is there, but the engine does not give it.");
            _cursor.PartDone();
            return;
        }
        TarHeader header = _piece.Header;
        string path = PathOf(header);
        _partSeen = true;
        bool isOut = _last is not null && TreeOrder.Instance.Compare(path, _last) <= 0;
        if (_cursor is null)
        {
            _ordered &= !isOut;
            _pending = _piece.Raw.ToArray();
            _size = header.Size;
        }
        else
        {
            if (isOut) return;
            string dot = source.IsDirectory ? "./" : "";
            string? link = _cursor.LinkOf(path, header, Above);
            _pending = TarRenamer.Rename(_piece.Raw.Span, dot + path + (header.Name.EndsWith('/') ? "/" : ""), link is null ? null : dot + link);
            _size = link is null ? header.Size : 0;
        }
        _left = _size;
        _last = path;
        _bytes += _pending.Length;
    }

    private async ValueTask<int> ContentAsync(Memory<byte> buffer, CancellationToken cancel)
    {
        int count = (int)Math.Min(buffer.Length, _left);
        int read = _content is null
            ? await _piece!.ReadAsync(buffer[..count], cancel).ConfigureAwait(false)
            : await _content.ReadAsync(buffer[..count], cancel).ConfigureAwait(false);
        _left -= read;
        _contentLeft -= read;
        _bytes += read;
        if (read > 0 && _left == 0) _pending = new byte[TarParser.Padded(_size) - _size];
        if (_content is null || (read > 0 && _contentLeft > 0)) return read;
        if (_contentLeft > 0) throw Changed();
        // Its end is the proof that the command which sent it ended well.
        if (await _content.ReadAsync(new byte[1], cancel).ConfigureAwait(false) > 0) throw Changed();
        if (_left == 0) _cursor!.StoppedAt(_last, inside: false);
        await CloseAsync().ConfigureAwait(false);
        return read;
    }

    // ---- from one read to the next

    private async Task OpenNextAsync(CancellationToken cancel)
    {
        bool inside = _left > 0;
        (_openedAt, _bytesAtOpen) = (time.GetTimestamp(), _bytes);
        if (_cursor is null)
        {
            _piece = new TarEntryReader(await source.OpenAsync("", source.IsDirectory, cancel).ConfigureAwait(false));
            return;
        }
        if (_cursor.AtEnd)
        {
            End();
            return;
        }
        double aWindow = _bytes / Math.Max(_readFor.TotalSeconds, 0.001) * window.TotalSeconds;
        // A read of which nothing new came had too much to repeat.
        long allowance = (_fruitless > 0 ? 0 : (long)(aWindow * RepeatShare)) - (inside ? _size - _left : 0);
        if (inside && allowance < 0)
        {
            _contentLeft = Math.Min(_left, Math.Max((long)(aWindow * ContentShare), LeastContent));
            _content = await source.OpenContentAsync(_last!, _size - _left, _contentLeft, cancel).ConfigureAwait(false);
            return;
        }
        _part = _cursor.ChoosePart(allowance);
        _partSeen = false;
        try
        {
            _piece = new TarEntryReader(await source.OpenAsync(_part.Path, _part.IsDirectory, cancel).ConfigureAwait(false));
        }
        catch (EnvironmentException e) when (e.Kind == FailureKind.NotFound && !inside)
        {
            // Removed since it was listed: one read, too, leaves out what is removed before its turn.
            _cursor.PartGone();
            return;
        }
        if (inside) await FindAgainAsync(cancel).ConfigureAwait(false);
    }

    /// <summary>Moves a new read to the byte at which the last one stopped.</summary>
    private async Task FindAgainAsync(CancellationToken cancel)
    {
        do
        {
            if (!await _piece!.NextAsync(cancel).ConfigureAwait(false)) throw Changed();
        }
        while (PathOf(_piece.Header) != _last);
        _partSeen = true;
        if (_piece.Header.Size != _size) throw Changed();
        if (_skipped.Length == 0) _skipped = new byte[SkipSize];
        for (long skip = _size - _left; skip > 0;)
            skip -= await _piece.ReadAsync(_skipped.AsMemory(0, (int)Math.Min(skip, _skipped.Length)), cancel).ConfigureAwait(false);
    }

    /// <summary>Ends a read. What is to come is learnt from what is there, once.</summary>
    private async Task StopAsync(BackupException? broken, CancellationToken cancel)
    {
        await CloseAsync().ConfigureAwait(false);
        _fruitless = _bytes > _bytesAtOpen ? 0 : _fruitless + 1;
        if (_fruitless == FruitlessReads)
            throw broken ?? new IncompleteTarException($"{FruitlessReads} reads of {window.TotalSeconds:0.#} s each brought not one new byte.");
        if (_cursor is null)
        {
            if (!_ordered)
                throw broken ?? new IncompleteTarException("One read cannot hold it all, and the engine gives the files in no order in which another could go on.");
            _cursor = new TreeCursor(await ListAsync(broken, cancel).ConfigureAwait(false), _last);
        }
        _cursor.StoppedAt(_last, inside: _left > 0);
    }

    private async Task<TreeListing> ListAsync(BackupException? broken, CancellationToken cancel)
    {
        try
        {
            return await source.ListAsync(cancel).ConfigureAwait(false);
        }
        catch (EnvironmentException e) when (broken is not null)
        {
            throw new EnvironmentException(e.Environment, $"{broken.Problem.TrimEnd('.')}; {e.Problem}", e.Hint, inner: broken);
        }
    }

    private string PathOf(TarHeader header) => header.Path.Length == 0 ? _part.Path : Above + header.Path;

    private IncompleteTarException Changed() => new($"'{EntryNames.Display(_last!)}' changed while it was read.");

    private void End()
    {
        _pending = new byte[EndMarkSize];
        _ended = true;
    }

    private async ValueTask CloseAsync()
    {
        if (Reading) _readFor += time.GetElapsedTime(_openedAt);
        if (_piece is not null) await _piece.DisposeAsync().ConfigureAwait(false);
        if (_content is not null) await _content.DisposeAsync().ConfigureAwait(false);
        (_piece, _content) = (null, null);
    }

    public override ValueTask DisposeAsync() => CloseAsync();
}
