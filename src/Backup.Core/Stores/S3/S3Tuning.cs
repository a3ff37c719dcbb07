namespace Backup.Stores.S3;

/// <summary>Deadlines and patience, as production has them unless a test shortens them.</summary>
/// <param name="Timeouts">Of single requests.</param>
/// <param name="Calls">Retries of small calls inside the store (pages of a listing, starting and completing an upload).</param>
/// <param name="Parts">Retries of a part, a whole PUT, or a read that was cut.</param>
internal sealed record S3Tuning(S3Timeouts Timeouts, RetrySchedule Calls, RetrySchedule Parts)
{
    internal static S3Tuning Default { get; } = new(S3Timeouts.Default, RetrySchedule.Calls, RetrySchedule.Parts);

    /// <summary>Of one upload; every store's limit.</summary>
    internal int MaxParts { get; init; } = 10_000;

    /// <summary>Host that is connected to whatever the URL says; null = the URL's. Stands in for DNS in tests of virtual hosts.</summary>
    internal string? ConnectTo { get; init; }
}

/// <param name="Connect">TCP and TLS.</param>
/// <param name="Call">A request with a small body, until its whole answer.</param>
/// <param name="Complete">Joining the parts; some stores copy them.</param>
/// <param name="PartFloor">The least that any body is given, whatever its size.</param>
/// <param name="SlowestRate">Bytes per second below which an upload is given up: with two parts in flight, 64 KiB/s each is a line of 1 Mbit/s.</param>
/// <param name="Stall">A read that brings no byte for so long is cut and resumed.</param>
internal sealed record S3Timeouts(TimeSpan Connect, TimeSpan Call, TimeSpan Complete, TimeSpan PartFloor, long SlowestRate, TimeSpan Stall)
{
    internal static S3Timeouts Default { get; } = new(TimeSpan.FromSeconds(15), TimeSpan.FromSeconds(60), TimeSpan.FromMinutes(5),
        TimeSpan.FromMinutes(3), 32 << 10, TimeSpan.FromSeconds(60));

    /// <summary>
    /// An upload of which the connection takes no byte for so long is cut and tried again. The kernel takes some megabytes ahead of the line, so this
    /// is also what two parts in flight have to drain that: enough for 1 Mbit/s.
    /// </summary>
    internal TimeSpan UploadStall { get; init; } = TimeSpan.FromSeconds(90);

    internal TimeSpan Part(long bytes)
    {
        TimeSpan slowest = TimeSpan.FromSeconds((double)bytes / SlowestRate);
        return slowest > PartFloor ? slowest : PartFloor;
    }
}
