namespace Backup.Environments.Pieces;

/// <summary>What tells of a source, beside the engine's own archives, what is in it, and gives parts of its files. Paths as in <see cref="ISourcePieces"/>.</summary>
internal interface IFileAccess : IAsyncDisposable
{
    /// <exception cref="EnvironmentException">It cannot be told whole; with the cure.</exception>
    Task<TreeListing> ListAsync(CancellationToken cancel);

    /// <summary>So many bytes of a file from an offset on. Ends early only where the file does.</summary>
    Task<Stream> OpenContentAsync(string path, long offset, long count, CancellationToken cancel);
}
