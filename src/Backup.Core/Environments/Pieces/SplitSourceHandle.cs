namespace Backup.Environments.Pieces;

/// <summary>A source behind a way that cuts long answers: read in pieces, handed out as one tar. Never more than one read at a time.</summary>
internal sealed class SplitSourceHandle(
    DockerApi api, HelperContainers helpers, BorrowedImages images, SourceRef source, MountedSource mounted, string runId, TimeSpan limit, RunContext context)
    : ISourceHandle, ISourcePieces
{
    /// <summary>A read ends by itself well before it would be cut.</summary>
    private const double WindowShare = 0.8;

    private readonly string _root = RawPath.Of(mounted.Path);
    private JoinedTar? _open;
    private IFileAccess? _files;
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
        await api.StatRawAsync(mounted.Helper, Whole(path), cancel).ConfigureAwait(false) is { IsSocket: false };

    private string Whole(string path) => mounted.IsDirectory ? RawPath.Join(_root, path) : _root;

    async Task<TreeListing> ISourcePieces.ListAsync(CancellationToken cancel)
    {
        if (!mounted.IsDirectory) return new TreeListing([new TreeNode(_root[(_root.LastIndexOf('/') + 1)..], false, 0)]);
        IFileAccess files = await FilesAsync(cancel).ConfigureAwait(false);
        context.Events.Report(new RunEvent.Step($"{api.Http.Environment}: {source} takes longer than one read may last; it is read on in pieces"));
        return await files.ListAsync(cancel).ConfigureAwait(false);
    }

    async Task<Stream> ISourcePieces.OpenContentAsync(string path, long offset, long count, CancellationToken cancel) =>
        await (await FilesAsync(cancel).ConfigureAwait(false)).OpenContentAsync(mounted.IsDirectory ? path : "", offset, count, cancel).ConfigureAwait(false);

    private async Task<IFileAccess> FilesAsync(CancellationToken cancel)
    {
        _files ??= await ShellAccess.OpenAsync(api, helpers, images, source, runId, context, cancel).ConfigureAwait(false);
        if (_files is not null) return _files;
        (_files, string whyNot) = await AgentAccess.OpenAsync(api, source, context, cancel).ConfigureAwait(false);
        return _files ?? throw new EnvironmentException(api.Http.Environment,
            $"one read of {source} may last {limit.TotalMinutes:0.#} minutes on the way through {api.Http.Display}; no image on that host has what the rest could be read with (sh, find, stat, dd, sleep), and {whyNot}",
            "reach the engine directly (\"ssh://…\", or \"tcp://…\" with TLS), or load a small image on that host, such as: docker pull busybox");
    }

    public async ValueTask DisposeAsync()
    {
        if (_disposed) return;
        _disposed = true;
        if (_open is not null) await _open.DisposeAsync().ConfigureAwait(false);
        if (_files is not null) await _files.DisposeAsync().ConfigureAwait(false);
        await helpers.RemoveAsync(mounted.Helper).ConfigureAwait(false);
    }
}
