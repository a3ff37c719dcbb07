using Backup.Snapshots;
using Backup.Streams;

namespace Backup.Planning;

/// <summary>What of a group waits in the spool when the last of its volumes was read, were everything as at their last snapshots. Pure.</summary>
/// <param name="Bytes">Of tar, at most: what waits is compressed where there was time for it.</param>
/// <param name="AtLeast">Some of the volumes have no snapshot yet.</param>
public sealed record SpoolForecast(long Bytes, bool AtLeast)
{
    /// <summary>Null when nobody is held, or nothing is known.</summary>
    internal static SpoolForecast? Of(GroupStep group, History history)
    {
        List<Snapshot?> last = [.. group.Held.Select(v => history.Last(v.Source, v.Policy.Store))];
        List<Snapshot> known = [.. last.OfType<Snapshot>()];
        if (known.Count == 0) return null;
        // The source alone, for a full spool makes the whole read as slow as the store. Those of one window are read one after the other, and go up
        // in that order: until the last of them is there it took its own time, and the reads before it.
        double read = known.Sum(s => s.ReadSeconds ?? 0);
        double whole = known.GroupBy(s => s.TakenAt).Sum(w => w.Max(s => (s.Seconds ?? 0) - (s.ReadSeconds ?? 0)) + w.Sum(s => s.ReadSeconds ?? 0));
        bool told = known.TrueForAll(s => s.Seconds > 0), slow = known.Sum(s => s.Bytes) < FrameLane.QuickSource * read;
        // Beside a quick source a host of two cores has no time to compress, and without that nothing reaches the store.
        double waits = told && slow ? Math.Clamp(1 - read / whole, 0, 1) : 1;
        return new SpoolForecast((long)(known.Sum(s => s.Bytes) * waits), last.Contains(null));
    }

    /// <summary>Null when there is room enough.</summary>
    internal PlanWarning? Against(long room, string group) => Bytes <= room ? null : new PlanWarning(
        $"{group}: up to {Bytes >> 20} MiB may have to wait in the spool, which has room for {room >> 20} MiB: beyond that, its containers wait for the store too",
        "Give \"spool\" a \"path\" on a larger disk, or a larger \"maxBytes\"; or bound the wait with \"maxDowntime\".");
}
