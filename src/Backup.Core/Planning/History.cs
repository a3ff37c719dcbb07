using System.Globalization;
using Backup.Environments;
using Backup.Snapshots;

namespace Backup.Planning;

/// <summary>What earlier snapshots of an environment tell about the next ones.</summary>
/// <param name="known">Of any environment.</param>
internal sealed class History(IReadOnlyList<Snapshot> known, string environment)
{
    private readonly ILookup<string, Snapshot> _byVolume = known.Where(s => s.Environment == environment).ToLookup(s => s.Volume);

    internal static string Time(Snapshot snapshot) => snapshot.TakenAt.UtcDateTime.ToString("yyyy-MM-dd HH:mm'Z'", CultureInfo.InvariantCulture);

    /// <summary>The newest, of the store that it goes to where that has one.</summary>
    internal Snapshot? Last(SourceRef source, string store) =>
        _byVolume[source.ToString()].OrderBy(s => s.Store == store).ThenBy(s => s.TakenAt).LastOrDefault();

    /// <summary>
    /// The last time that somebody was held for each of the volumes: as often as volumes were read together, and once more for each that was read by
    /// itself. Null when nobody is held now, or never was.
    /// </summary>
    internal ExpectedDowntime? Downtime(GroupStep group)
    {
        List<Snapshot?> last = [.. group.Held.Select(v => _byVolume[v.Source.ToString()].Where(s => s.DowntimeSeconds > 0).MaxBy(s => s.TakenAt))];
        List<IGrouping<DateTimeOffset, Snapshot>> windows = [.. last.OfType<Snapshot>().GroupBy(s => s.TakenAt).OrderBy(w => w.Key)];
        if (windows.Count == 0) return null;
        string times = Time(windows[^1].First());
        return new ExpectedDowntime(windows.Sum(w => w.Max(s => s.DowntimeSeconds)), last.Contains(null),
            windows.Count == 1 ? $"as in the run of {times}" : $"as in {windows.Count} windows until {times}");
    }
}
