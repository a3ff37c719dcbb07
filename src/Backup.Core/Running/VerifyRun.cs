using Backup.Snapshots;

namespace Backup.Running;

public sealed record VerifiedSnapshot(Snapshot Snapshot, IReadOnlyList<string> Problems);

public sealed record VerifyReport(IReadOnlyList<VerifiedSnapshot> Snapshots, IReadOnlyList<DamagedManifest> Damaged, IReadOnlyList<RunFailure> Failures)
{
    public bool Ok => Damaged.Count == 0 && Failures.Count == 0 && Snapshots.All(s => s.Problems.Count == 0);
}

/// <summary>Proves that what the manifests promise is there.</summary>
public sealed class VerifyRun(RunContext context, Backends backends)
{
    /// <param name="references">SNAPSHOTs as the command line names them; empty = every snapshot of every store.</param>
    /// <param name="readData">Re-read and re-hash every byte.</param>
    public async Task<VerifyReport> RunAsync(IReadOnlyList<string> references, bool readData, CancellationToken cancel)
    {
        var query = new SnapshotQuery(backends);
        SnapshotListing listing;
        if (references.Count == 0)
        {
            listing = await query.ListAsync(null, null, latest: false, cancel);
        }
        else
        {
            var chosen = new List<Snapshot>();
            foreach (string reference in references) chosen.Add(await query.ResolveAsync(reference, cancel));
            listing = new SnapshotListing([.. chosen.DistinctBy(s => s.Id)], [], []);
        }

        var verified = new List<VerifiedSnapshot>();
        List<RunFailure> failures = [.. listing.Failures];
        foreach (Snapshot snapshot in listing.Snapshots)
        {
            try
            {
                var progress = readData ? new ByteProgress(context, snapshot.Environment, snapshot.Volume, snapshot.Bytes) : null;
                verified.Add(new VerifiedSnapshot(snapshot, await backends.Store(snapshot.Store).VerifyAsync(snapshot, readData, progress, cancel)));
            }
            catch (BackupException e) when (e.Kind == FailureKind.Failed)
            {
                failures.Add(Blame.Failure(snapshot.Environment, snapshot.Volume, e, "store"));
            }
        }
        return new VerifyReport(verified, listing.Damaged, failures);
    }
}
