namespace Backup.Environments;

/// <summary>A source mounted in a helper, to be read as often as needed, one read at a time.</summary>
internal sealed class SourceHandle(DockerApi api, HelperContainers helpers, SourceRef source, MountedSource mounted) : ISourceHandle
{
    private Stream? _open;
    private bool _disposed;

    public async Task<Stream> OpenAsync(CancellationToken cancel)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        await CloseAsync().ConfigureAwait(false);
        string path = mounted.IsDirectory ? mounted.Path + "/." : mounted.Path;
        return _open = await api.ReadArchiveAsync(mounted.Helper, path, $"read {source}", cancel).ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        if (_disposed) return;
        _disposed = true;
        await CloseAsync().ConfigureAwait(false);
        await helpers.RemoveAsync(mounted.Helper).ConfigureAwait(false);
    }

    /// <summary>The engine holds a container's lock while its archive is read: an unfinished read has to be cut before anything else.</summary>
    private async ValueTask CloseAsync()
    {
        if (_open is not null) await _open.DisposeAsync().ConfigureAwait(false);
        _open = null;
    }
}
