namespace Backup;

/// <summary>What sort of expected failure it is; the command line maps each to one exit code.</summary>
public enum FailureKind
{
    /// <summary>The world failed: an engine, a store, a disk, a tampered file.</summary>
    Failed,
    /// <summary>The command line or the policy is wrong.</summary>
    Usage,
    /// <summary>No such store, environment, volume or snapshot.</summary>
    NotFound,
    /// <summary>Another run holds the lock.</summary>
    Locked,
    /// <summary>A container could not be brought back.</summary>
    NeedsPerson,
}

/// <summary>
/// An expected failure: what went wrong, in the user's words, and what to do about it.
/// A bug is any other exception and crashes with its stack.
/// </summary>
public class BackupException(string problem, string hint, FailureKind kind = FailureKind.Failed, Exception? inner = null)
    : Exception(problem, inner)
{
    public string Problem => Message;
    public string Hint { get; } = hint;
    public FailureKind Kind { get; } = kind;
}
