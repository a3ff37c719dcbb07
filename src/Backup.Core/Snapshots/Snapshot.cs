namespace Backup.Snapshots;

/// <summary>One snapshot as listings show it. It exists exactly when its manifest does.</summary>
/// <param name="Id">32 hex digits.</param>
/// <param name="Volume">A volume's name or <c>bind:/path</c>.</param>
/// <param name="TakenAt">When the read began (after quiescing), UTC.</param>
/// <param name="Format"><c>archive</c>.</param>
/// <param name="Store">The store's name in the policy.</param>
/// <param name="Bytes">Size of the tar.</param>
/// <param name="StoredBytes">What it takes in the store.</param>
/// <param name="Files">Entries in the tar that are not directories.</param>
/// <param name="Sha256">Of the tar, lower-case hex.</param>
/// <param name="Consistency"><c>none</c>, <c>pause</c>, <c>stop</c> or <c>hook</c>.</param>
public sealed record Snapshot(
    string Id,
    string Environment,
    string Volume,
    DateTimeOffset TakenAt,
    string Format,
    string Store,
    long Bytes,
    long StoredBytes,
    long Files,
    string Sha256,
    string Consistency)
{
    /// <summary>The longest time that a container was held for it; the same for all snapshots of one group and run. 0 = nobody was.</summary>
    public double DowntimeSeconds { get; init; }

    /// <summary>How long the source was waited for, in seconds: the least that a read of it takes. Null = not recorded.</summary>
    public double? ReadSeconds { get; init; }

    /// <summary>From the beginning of its read until its data and index were in the store, in seconds. Null = not recorded.</summary>
    public double? Seconds { get; init; }
}
