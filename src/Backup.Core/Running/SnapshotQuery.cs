using System.Globalization;
using Backup.Policies;
using Backup.Snapshots;

namespace Backup.Running;

/// <param name="Damaged">Manifests that exist and cannot be trusted.</param>
/// <param name="Failures">Stores that did not answer.</param>
public sealed record SnapshotListing(IReadOnlyList<Snapshot> Snapshots, IReadOnlyList<DamagedManifest> Damaged, IReadOnlyList<RunFailure> Failures);

/// <summary>Finds snapshots in all stores of the policy.</summary>
public sealed class SnapshotQuery(Backends backends)
{
    /// <param name="latest">Only the newest of each environment and volume.</param>
    public async Task<SnapshotListing> ListAsync(string? environment, string? volume, bool latest, CancellationToken cancel)
    {
        var snapshots = new List<Snapshot>();
        var damaged = new List<DamagedManifest>();
        var failures = new List<RunFailure>();
        foreach (StorePolicy policy in backends.Policy.Stores)
        {
            try
            {
                SnapshotList list = await backends.Store(policy.Name).ListAsync(environment, volume, cancel);
                snapshots.AddRange(list.Snapshots);
                damaged.AddRange(list.Damaged);
            }
            catch (BackupException e) when (e.Kind == FailureKind.Failed)
            {
                failures.Add(Blame.Failure(environment ?? "", volume, e, "store"));
            }
        }
        IEnumerable<Snapshot> ordered = snapshots.OrderBy(s => s.Environment, StringComparer.Ordinal).ThenBy(s => s.Volume, StringComparer.Ordinal).ThenByDescending(s => s.TakenAt);
        if (latest) ordered = ordered.GroupBy(s => (s.Environment, s.Volume)).Select(g => g.First());
        return new SnapshotListing([.. ordered], damaged, failures);
    }

    /// <summary>Reads an id, a unique prefix of one, <c>ENV/VOLUME</c> (its latest) or <c>ENV/VOLUME@TIME</c> (the latest at or before).</summary>
    /// <exception cref="BackupException">NotFound; Usage when a prefix is ambiguous or a time is no time.</exception>
    public async Task<Snapshot> ResolveAsync(string reference, CancellationToken cancel)
    {
        int slash = reference.IndexOf('/');
        return slash > 0
            ? await ResolveNameAsync(reference, reference[..slash], reference[(slash + 1)..], cancel)
            : await ResolveIdAsync(reference, cancel);
    }

    public Task<SnapshotReader> OpenAsync(Snapshot snapshot, CancellationToken cancel) => backends.Store(snapshot.Store).OpenAsync(snapshot, cancel);

    private async Task<Snapshot> ResolveIdAsync(string reference, CancellationToken cancel)
    {
        if (reference.Length < 4 || !reference.All(char.IsAsciiHexDigit))
            throw new BackupException($"\"{reference}\" is not a snapshot.",
                "Give an id or the first 8 characters of one, ENV/VOLUME, or ENV/VOLUME@TIME. `backup snapshots` lists them.", FailureKind.NotFound);
        SnapshotListing listing = await ListAsync(null, null, latest: false, cancel);
        Snapshot[] found = [.. listing.Snapshots.Where(s => s.Id.StartsWith(reference, StringComparison.OrdinalIgnoreCase))];
        return found switch
        {
            [var one] => one,
            [] => throw Missing($"There is no snapshot {reference}.", listing, s => s.Key.Contains(reference, StringComparison.OrdinalIgnoreCase)),
            _ => throw new BackupException($"\"{reference}\" stands for {found.Length} snapshots.", "Give more characters of the id.", FailureKind.Usage),
        };
    }

    private async Task<Snapshot> ResolveNameAsync(string reference, string environment, string rest, CancellationToken cancel)
    {
        // A bind path may contain '@', so the whole is tried as a name before its tail is read as a time.
        SnapshotListing listing = await ListAsync(environment, rest, latest: true, cancel);
        if (listing.Snapshots is [var latest, ..]) return latest;
        int at = rest.LastIndexOf('@');
        if (at <= 0) throw Missing($"There is no snapshot of {reference}.", listing, _ => true);

        DateTimeOffset until = ParseTime(rest[(at + 1)..]);
        listing = await ListAsync(environment, rest[..at], latest: false, cancel);
        return listing.Snapshots.FirstOrDefault(s => s.TakenAt <= until)
            ?? throw Missing($"There is no snapshot of {environment}/{rest[..at]} at or before {rest[(at + 1)..]}.", listing, _ => true);
    }

    /// <summary>A time is taken as it stands; a date means the end of that day in this machine's zone.</summary>
    private static DateTimeOffset ParseTime(string text)
    {
        if (DateOnly.TryParseExact(text, "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out DateOnly date))
        {
            DateTime end = date.ToDateTime(TimeOnly.MaxValue);
            return new DateTimeOffset(end, TimeZoneInfo.Local.GetUtcOffset(end));
        }
        if (DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeLocal, out DateTimeOffset time)) return time;
        throw new BackupException($"\"{text}\" is not a time.", "Write a date such as 2026-11-20 or a time such as 2026-11-20T03:00:00+08:00.", FailureKind.Usage);
    }

    private static BackupException Missing(string problem, SnapshotListing listing, Func<DamagedManifest, bool> concerns)
    {
        if (listing.Failures is [var failure, ..])
            return new BackupException($"{problem} But not every store answered: {failure.Problem}", failure.Hint);
        if (listing.Damaged.FirstOrDefault(concerns) is { } damaged)
            return new BackupException($"{problem} A damaged manifest was found: {damaged.Key}: {damaged.Problem}", "Run `backup verify` to see what is left of it.");
        return new BackupException(problem, "`backup snapshots` lists what there is.", FailureKind.NotFound);
    }
}
