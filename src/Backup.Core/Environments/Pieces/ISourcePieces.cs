namespace Backup.Environments.Pieces;

/// <summary>A source that can be read from any place on. Paths are bytes, each a char, below the root, which is empty.</summary>
internal interface ISourcePieces
{
    /// <summary>False = a single file, whose tar has its bare name.</summary>
    bool IsDirectory { get; }

    /// <summary>The engine's tar of a directory and all below it, with names that begin with <c>./</c>; or of a file, with its bare name.</summary>
    /// <exception cref="EnvironmentException">NotFound when it is not there any more.</exception>
    Task<Stream> OpenAsync(string path, bool isDirectory, CancellationToken cancel);

    /// <summary>There is something that a tar can hold.</summary>
    Task<bool> ExistsAsync(string path, CancellationToken cancel);

    /// <summary>Everything in the source.</summary>
    /// <exception cref="EnvironmentException">Nothing on the host can tell; with the cure.</exception>
    Task<TreeListing> ListAsync(CancellationToken cancel);

    /// <summary>So many bytes of a file from an offset on. Ends early only where the file does.</summary>
    Task<Stream> OpenContentAsync(string path, long offset, long count, CancellationToken cancel);
}
