using System.Globalization;
using System.IO.Compression;
using Backup.Snapshots;
using Backup.Streams;

namespace Backup.Environments.Pieces;

/// <summary>
/// Fills a source over a way that cuts long uploads: whole entries, as many at a time as pass well within the limit, are given to the engine. A file
/// that fits no upload is made empty, and its content is put into its place by a borrowed dd.
/// </summary>
/// <param name="place">What is mounted.</param>
internal sealed class PieceUpload(
    DockerApi api, HelperContainers helpers, BorrowedImages images, SourceRef place, MountedSource mounted, string runId, TimeSpan limit, RunContext context)
    : IAsyncDisposable
{
    private const int EndMark = 2 * TarParser.BlockSize;
    private const int BlockSize = 64 * 1024;
    /// <summary>The end of the year 9999, the last that touch can be told.</summary>
    private const long LastTime = 253402300799;

    private const string Stage = "backup-piece";
    private static readonly string[][] Programs = [["dd"], ["touch"], ["chmod"]];

    private readonly UploadPace _pace = new(limit);
    private readonly MemoryStream _piece = new();
    private readonly List<int> _entries = [];
    private readonly MemoryStream _directories = new();
    private int _sent;
    private ShellHelper? _shell;
    private bool _noShell;

    /// <summary>The header blocks of the first entry.</summary>
    internal byte[] Head { get; private set; } = [];

    private string Doing => $"write {place}";

    internal async Task FillAsync(Func<Stream, CancellationToken, Task> write, CancellationToken cancel)
    {
        await using var pushed = new PushPipe(write, cancel);
        await using var tar = new TarEntryReader(pushed.Reader.AsStream(leaveOpen: true));
        await using (var directories = new DeflateStream(_directories, CompressionLevel.Fastest, leaveOpen: true))
            while (await tar.NextAsync(cancel).ConfigureAwait(false))
            {
                if (Head.Length == 0) Head = tar.Raw.ToArray();
                if (tar.Header.Type == FileType.Directory && tar.Header.Path.Length > 0) await directories.WriteAsync(tar.Raw, cancel).ConfigureAwait(false);
                await AddAsync(tar, cancel).ConfigureAwait(false);
            }
        await FlushAsync(cancel).ConfigureAwait(false);
        if (_sent > 1) await FinishDirectoriesAsync(cancel).ConfigureAwait(false);
    }

    private async Task AddAsync(TarEntryReader tar, CancellationToken cancel)
    {
        long whole = tar.Raw.Length + TarParser.Padded(tar.Left);
        if (_piece.Length > 0 && _piece.Length + whole > _pace.Budget) await FlushAsync(cancel).ConfigureAwait(false);
        if (whole > _pace.Budget && tar.Left > 0)
        {
            await AddLargeAsync(tar, whole, cancel).ConfigureAwait(false);
            return;
        }
        _entries.Add((int)_piece.Length);
        _piece.Write(tar.Raw.Span);
        await CopyAsync(tar, _piece, (int)tar.Left, cancel).ConfigureAwait(false);
        _piece.SetLength(TarParser.Padded(_piece.Position));
        _piece.Position = _piece.Length;
    }

    private async Task AddLargeAsync(TarEntryReader tar, long whole, CancellationToken cancel)
    {
        if (_pace.FitsEasily(whole))
        {
            await StreamAsync(tar, whole, cancel).ConfigureAwait(false);
            return;
        }
        if (tar.Header is { Type: FileType.File } && await ShellAsync(cancel).ConfigureAwait(false) is { } shell)
        {
            await AssembleAsync(tar, shell, cancel).ConfigureAwait(false);
            return;
        }
        if (_pace.Rate is null) await MeasureAsync(cancel).ConfigureAwait(false);
        if (!_pace.Fits(whole)) throw TooLarge(tar.Header);
        await StreamAsync(tar, whole, cancel).ConfigureAwait(false);
    }

    private EnvironmentException TooLarge(TarHeader file) => new(api.Http.Environment,
        string.Create(CultureInfo.InvariantCulture, $"cannot {Doing}: {EntryNames.Display(file.Path)} has {file.Size / 1e6:0.#} MB, of which {_pace.Rate / 1e6:0.##} MB pass in a second; ")
        + string.Create(CultureInfo.InvariantCulture, $"the way through {api.Http.Display} cuts an upload after {limit.TotalSeconds:0.#} s, and no image on that host has what it could be put together with (sh, dd, touch, chmod, sleep)"),
        "restore over a direct connection (\"ssh://…\", or \"tcp://…\" with TLS), or load a small image on that host, such as: docker pull busybox");

    // ---- whole entries

    private async Task FlushAsync(CancellationToken cancel)
    {
        if (_entries.Count > 0) await SendAsync(_piece.GetBuffer().AsMemory(0, (int)_piece.Length), _entries, cancel).ConfigureAwait(false);
        _piece.SetLength(0);
        _entries.Clear();
    }

    /// <summary>What was cut is sent again in two halves: an engine that is given an entry twice has it once.</summary>
    /// <param name="entries">Where each begins in the piece.</param>
    private async Task SendAsync(ReadOnlyMemory<byte> piece, IReadOnlyList<int> entries, CancellationToken cancel)
    {
        if (await TryPutAsync(mounted.Helper, mounted.Path, piece, default, last: entries.Count == 1, cancel).ConfigureAwait(false)) return;
        int middle = entries.Count / 2, at = entries[middle];
        await SendAsync(piece[..at], [.. entries.Take(middle)], cancel).ConfigureAwait(false);
        await SendAsync(piece[at..], [.. entries.Skip(middle).Select(e => e - at)], cancel).ConfigureAwait(false);
    }

    /// <summary>False when the way cut it and <paramref name="last"/> does not say that there is no smaller way.</summary>
    /// <param name="content">Of the last entry, when it does not stand with its header.</param>
    private async Task<bool> TryPutAsync(string helper, string path, ReadOnlyMemory<byte> entries, ReadOnlyMemory<byte> content, bool last, CancellationToken cancel)
    {
        byte[] end = new byte[TarParser.Padded(content.Length) - content.Length + EndMark];
        long length = entries.Length + content.Length;
        long started = context.Time.GetTimestamp();
        try
        {
            await api.WriteArchiveAsync(helper, path, Doing, async (body, token) =>
            {
                await body.WriteAsync(entries, token).ConfigureAwait(false);
                await body.WriteAsync(content, token).ConfigureAwait(false);
                await body.WriteAsync(end, token).ConfigureAwait(false);
            }, cancel).ConfigureAwait(false);
        }
        catch (EnvironmentException) when (!last && _pace.WasCut(context.Time.GetElapsedTime(started)))
        {
            _pace.Slowed(length, context.Time.GetElapsedTime(started));
            return false;
        }
        _pace.Sent(length, context.Time.GetElapsedTime(started));
        _sent++;
        return true;
    }

    /// <summary>Every piece that put something into a directory changed its time.</summary>
    private async Task FinishDirectoriesAsync(CancellationToken cancel)
    {
        _directories.Position = 0;
        await using var headers = new DeflateStream(_directories, CompressionMode.Decompress, leaveOpen: true);
        using var ended = new MemoryStream(new byte[EndMark]);
        await using var tar = new TarEntryReader(new ChainedStream(headers, ended));
        while (await tar.NextAsync(cancel).ConfigureAwait(false)) await AddAsync(tar, cancel).ConfigureAwait(false);
        await FlushAsync(cancel).ConfigureAwait(false);
    }

    // ---- one entry larger than a piece

    /// <summary>In one upload, past the memory.</summary>
    private async Task StreamAsync(TarEntryReader tar, long whole, CancellationToken cancel)
    {
        byte[] end = new byte[TarParser.Padded(tar.Left) - tar.Left + EndMark];
        long started = context.Time.GetTimestamp();
        await api.WriteArchiveAsync(mounted.Helper, mounted.Path, Doing, async (body, token) =>
        {
            await body.WriteAsync(tar.Raw, token).ConfigureAwait(false);
            await CopyAsync(tar, body, tar.Left, token).ConfigureAwait(false);
            await body.WriteAsync(end, token).ConfigureAwait(false);
        }, cancel).ConfigureAwait(false);
        _pace.Sent(whole, context.Time.GetElapsedTime(started));
        _sent++;
    }

    private async Task AssembleAsync(TarEntryReader tar, ShellHelper shell, CancellationToken cancel)
    {
        TarHeader file = tar.Header;
        await SendAsync(TarRenamer.Emptied(tar.Raw.Span), [0], cancel).ConfigureAwait(false);
        string assign = RawPath.Assign("f", RawPath.Join(RawPath.Of(HelperContainers.Root), file.Path));
        for (long offset = 0; tar.Left > 0; offset += _piece.Length)
        {
            // Whole blocks, but for the last: a piece's place is counted in blocks, so that one that comes twice does no harm.
            int length = (int)Math.Min(tar.Left, Math.Max(_pace.Budget / BlockSize, 1) * BlockSize);
            _piece.SetLength(0);
            await CopyAsync(tar, _piece, length, cancel).ConfigureAwait(false);
            await PlaceAsync(shell, assign, _piece.GetBuffer().AsMemory(0, length), offset, cancel).ConfigureAwait(false);
        }
        _piece.SetLength(0);
        // Writing took away what the engine had set.
        DateTimeOffset time = DateTimeOffset.FromUnixTimeSeconds((long)Math.Clamp(Math.Floor(file.Mtime), 0, LastTime));
        string script = string.Create(CultureInfo.InvariantCulture,
            $"{assign}; {shell["chmod"]} {Convert.ToString(file.Mode, 8)} \"$f\" && TZ=UTC0 {shell["touch"]} -t {time:yyyyMMddHHmm.ss} \"$f\"");
        await RunAsync(shell, script, cancel).ConfigureAwait(false);
    }

    private async Task PlaceAsync(ShellHelper shell, string assign, ReadOnlyMemory<byte> content, long offset, CancellationToken cancel)
    {
        bool last = content.Length <= BlockSize;
        if (!await TryPutAsync(shell.Id, "/", TarRenamer.FileHeader(Stage, content.Length), content, last, cancel).ConfigureAwait(false))
        {
            int half = Math.Max(content.Length / 2 / BlockSize, 1) * BlockSize;
            await PlaceAsync(shell, assign, content[..half], offset, cancel).ConfigureAwait(false);
            await PlaceAsync(shell, assign, content[half..], offset + half, cancel).ConfigureAwait(false);
            return;
        }
        await RunAsync(shell, string.Create(CultureInfo.InvariantCulture,
            $"{assign}; exec {shell["dd"]} if=/{Stage} of=\"$f\" bs={BlockSize} seek={offset / BlockSize} conv=notrunc"), cancel).ConfigureAwait(false);
    }

    private async Task RunAsync(ShellHelper shell, string script, CancellationToken cancel)
    {
        ExecResult result = await shell.RunAsync($"put together a file of {place}", script, cancel).ConfigureAwait(false);
        if (result.ExitCode != 0)
            throw new EnvironmentException(api.Http.Environment,
                string.Create(CultureInfo.InvariantCulture, $"cannot {Doing}: the helper over image {shell.Image.Name} ended with exit code {result.ExitCode}{ExecText.Reason(result.Error, result.Output)}"),
                "see whether the disk of that host is full, or restore over a direct connection");
    }

    private async Task<ShellHelper?> ShellAsync(CancellationToken cancel)
    {
        if (_shell is not null || _noShell) return _shell;
        _shell = await ShellHelper.StartAsync(api, helpers, images, place, false, Programs, runId, cancel).ConfigureAwait(false);
        _noShell = _shell is null;
        return _shell;
    }

    /// <summary>Learns what the link carries from a file of the helper's own, which goes with it.</summary>
    private async Task MeasureAsync(CancellationToken cancel)
    {
        for (int tries = 2; tries > 0; tries--)
            if (await TryPutAsync(mounted.Helper, "/", TarRenamer.FileHeader(Stage, _pace.Budget), new byte[_pace.Budget], last: tries == 1, cancel).ConfigureAwait(false)) return;
    }

    private static async Task CopyAsync(TarEntryReader tar, Stream to, long count, CancellationToken cancel)
    {
        byte[] buffer = System.Buffers.ArrayPool<byte>.Shared.Rent(128 * 1024);
        try
        {
            while (count > 0)
            {
                int read = await tar.ReadAsync(buffer.AsMemory(0, (int)Math.Min(buffer.Length, count)), cancel).ConfigureAwait(false);
                await to.WriteAsync(buffer.AsMemory(0, read), cancel).ConfigureAwait(false);
                count -= read;
            }
        }
        finally
        {
            System.Buffers.ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_shell is not null) await _shell.DisposeAsync().ConfigureAwait(false);
    }

    private sealed class ChainedStream(Stream first, Stream second) : ReadOnlyStream
    {
        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancel = default) =>
            await first.ReadAsync(buffer, cancel).ConfigureAwait(false) is > 0 and int read ? read : await second.ReadAsync(buffer, cancel).ConfigureAwait(false);

        public override ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
