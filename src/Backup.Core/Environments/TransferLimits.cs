namespace Backup.Environments;

/// <summary>How long one request through a gateway may take before it is cut; null = as long as it likes.</summary>
/// <param name="Upload">From the first byte of a request's head to the last of its body.</param>
/// <param name="Download">From the end of a request's head to the last byte of its answer.</param>
public sealed record TransferLimits(TimeSpan? Upload, TimeSpan? Download)
{
    public static TransferLimits None { get; } = new(null, null);

    // Hard-coded in the agents, never told by them.
    private static readonly (Version From, TransferLimits Limits)[] OfAgents =
    [
        (new Version(2, 11), new TransferLimits(TimeSpan.FromSeconds(120), TimeSpan.FromMinutes(30))),
        (new Version(2, 6), new TransferLimits(TimeSpan.FromSeconds(5), TimeSpan.FromMinutes(30))),
        (new Version(2, 4), new TransferLimits(TimeSpan.FromSeconds(5), TimeSpan.FromMinutes(10))),
        (new Version(1, 5), new TransferLimits(TimeSpan.FromSeconds(5), TimeSpan.FromMinutes(2))),
    ];

    /// <param name="version">As a Portainer agent tells it, such as 2.23.0; one that cannot be read counts as new.</param>
    public static TransferLimits OfAgent(string? version)
    {
        if (!Version.TryParse(version, out Version? told)) return OfAgents[0].Limits;
        foreach ((Version from, TransferLimits limits) in OfAgents)
            if (told >= from) return limits;
        return None;
    }

    /// <summary>What is given replaces what is known.</summary>
    internal TransferLimits Or(TransferLimits known) => new(Upload ?? known.Upload, Download ?? known.Download);
}
