using System.Globalization;
using Backup.Streams;

namespace Backup.Environments.Pieces;

/// <summary>A source behind a way that cuts long answers: read in pieces, handed out as one tar. Never more than one read at a time.</summary>
internal sealed class SplitSourceHandle(
    DockerApi api, HelperContainers helpers, BorrowedImages images, SourceRef source, MountedSource mounted, string runId, TimeSpan limit, RunContext context)
    : ISourceHandle, ISourcePieces
{
    /// <summary>A read ends by itself well before it would be cut.</summary>
    private const double WindowShare = 0.8;

    private const int BlockSize = 64 * 1024;
    private const int MarkLength = 16;
    private static readonly string[][] Programs = [["find"], ["stat"], ["dd"]];

    private readonly string _root = RawPath.Of(mounted.Path);
    private JoinedTar? _open;
    private ShellHelper? _shell;
    private bool _disposed;

    public bool IsDirectory => mounted.IsDirectory;

    public async Task<Stream> OpenAsync(CancellationToken cancel)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_open is not null) await _open.DisposeAsync().ConfigureAwait(false);
        return _open = new JoinedTar(this, limit * WindowShare, context.Time);
    }

    Task<Stream> ISourcePieces.OpenAsync(string path, bool isDirectory, CancellationToken cancel) =>
        api.ReadArchiveRawAsync(mounted.Helper, Whole(path) + (isDirectory ? "/." : ""), $"read {source}", cancel);

    async Task<bool> ISourcePieces.ExistsAsync(string path, CancellationToken cancel) =>
        await api.StatRawAsync(mounted.Helper, Whole(path), cancel).ConfigureAwait(false) is not null;

    private string Whole(string path) => mounted.IsDirectory ? RawPath.Join(_root, path) : _root;

    async Task<TreeListing> ISourcePieces.ListAsync(CancellationToken cancel)
    {
        if (!mounted.IsDirectory) return new TreeListing([new TreeNode(_root[(_root.LastIndexOf('/') + 1)..], false, 0)], knowsLinks: false);
        ShellHelper shell = await ShellAsync(cancel).ConfigureAwait(false);
        context.Events.Report(new RunEvent.Step($"{api.Http.Environment}: {source} takes longer than one read may last; it is read on in pieces"));
        string mark = context.NewId()[..MarkLength];
        await using Stream output = await shell.OpenAsync($"list {source}", ShellListing.Script(shell, mark), cancel).ConfigureAwait(false);
        try
        {
            return await ShellListing.ReadAsync(output, mark, cancel).ConfigureAwait(false);
        }
        catch (Exception e) when (e is InvalidDataException or FormatException or IndexOutOfRangeException)
        {
            throw new EnvironmentException(api.Http.Environment, $"cannot list {source} with the programs of image {shell.Image.Name}: {e.Message}",
                "reach the engine directly, or load another small image on that host, such as: docker pull busybox", inner: e);
        }
    }

    async Task<Stream> ISourcePieces.OpenContentAsync(string path, long offset, long count, CancellationToken cancel)
    {
        ShellHelper shell = await ShellAsync(cancel).ConfigureAwait(false);
        string file = mounted.IsDirectory ? RawPath.Join(RawPath.Of(HelperContainers.Root), path) : RawPath.Of(HelperContainers.Root);
        long first = offset / BlockSize, blocks = (offset + count + BlockSize - 1) / BlockSize - first;
        string script = string.Create(CultureInfo.InvariantCulture,
            $"{RawPath.Assign("f", file)}; exec {shell["dd"]} if=\"$f\" bs={BlockSize} skip={first} count={blocks} 2>/dev/null");
        Stream output = await shell.OpenAsync($"read a part of {source}", script, cancel).ConfigureAwait(false);
        return new CutStream(output, offset - first * BlockSize, count);
    }

    private async Task<ShellHelper> ShellAsync(CancellationToken cancel) =>
        _shell ??= await ShellHelper.StartAsync(api, helpers, images, source, true, Programs, runId, cancel).ConfigureAwait(false)
            ?? throw new EnvironmentException(api.Http.Environment,
                $"one read of {source} may last {limit.TotalMinutes:0.#} minutes on the way through {api.Http.Display}, and no image on that host has what the rest could be read with (sh, find, stat, dd, sleep)",
                "reach the engine directly (\"ssh://…\", or \"tcp://…\" with TLS), or load a small image on that host, such as: docker pull busybox");

    public async ValueTask DisposeAsync()
    {
        if (_disposed) return;
        _disposed = true;
        if (_open is not null) await _open.DisposeAsync().ConfigureAwait(false);
        if (_shell is not null) await _shell.DisposeAsync().ConfigureAwait(false);
        await helpers.RemoveAsync(mounted.Helper).ConfigureAwait(false);
    }

    /// <summary>So many bytes from an offset on; what follows is read, so that its end is seen, and dropped.</summary>
    private sealed class CutStream(Stream inner, long skip, long count) : ReadOnlyStream
    {
        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancel = default)
        {
            byte[] dropped = new byte[skip > 0 || count == 0 ? BlockSize : 0];
            while (skip > 0)
            {
                int passed = await inner.ReadAsync(dropped.AsMemory(0, (int)Math.Min(skip, dropped.Length)), cancel).ConfigureAwait(false);
                if (passed == 0) return 0;
                skip -= passed;
            }
            if (count > 0)
            {
                int read = await inner.ReadAsync(buffer[..(int)Math.Min(count, buffer.Length)], cancel).ConfigureAwait(false);
                count -= read;
                return read;
            }
            while (await inner.ReadAsync(dropped, cancel).ConfigureAwait(false) > 0) { }
            return 0;
        }

        public override ValueTask DisposeAsync() => inner.DisposeAsync();
    }
}
