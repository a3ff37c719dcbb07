using Backup.Environments;
using Backup.Quiescing;
using Backup.Snapshots;
using Backup.Stores;

namespace Backup.Running;

/// <summary>Which side failed: the report says whom to blame.</summary>
internal static class Blame
{
    internal static RunFailure Failure(string environment, string? volume, BackupException e, string? side = null) =>
        new(environment, volume, e.Problem, e.Hint, side ?? Side(e), e.Kind == FailureKind.NeedsPerson);

    internal static RunFailure Failure(string environment, Recovery unwell) => new(environment, null, unwell.Problem!, unwell.Hint, "quiesce");

    /// <summary>A second try has a chance: the engine is there, and something in between broke.</summary>
    internal static bool MayPass(BackupException e) =>
        e is IncompleteTarException or EnvironmentException { Unreachable: false, Kind: FailureKind.Failed };

    private static string Side(BackupException e) => e switch
    {
        StoreException => "store",
        EnvironmentException or IncompleteTarException => "source",
        _ => "run",
    };
}
