using Backup.Cli.Systemd;
using Backup.Running;
using Backup.Snapshots;

namespace Backup.Cli.Output;

/// <summary>Everything a user reads: for people or as JSON. Events arrive from several threads at once.
/// What a run came to arrives as its last event, and is written last of all, by Dispose.</summary>
internal interface IOutput : IProgress<RunEvent>, IDisposable
{
    void Error(string problem, string hint);

    /// <summary>A short message that is not a result.</summary>
    void Message(string text);

    void Plan(PlanReport report);
    void Snapshots(SnapshotListing listing);
    void Files(IReadOnlyList<FileEntry> files);

    /// <param name="asResult">True for a dry run, whose answer the plan is; else it is shown before the work.</param>
    void RestorePlan(RestorePlan plan, bool asResult);

    void Restored(RestorePlan plan, RestoreReport report);
    void Verified(VerifyReport report, bool readData);
    void Pruned(PruneReport report, bool dryRun);
    void Recovered(RecoverReport report);
    void Status(StatusReport report);
    void Checked(CheckReport report);

    /// <param name="directory">Where they would stand.</param>
    void Units(IReadOnlyList<UnitFile> units, string directory);

    /// <summary>What a short command did, a line each.</summary>
    void Done(IReadOnlyList<string> lines);
}
