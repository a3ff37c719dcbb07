namespace Backup.Cli;

/// <summary>The exit codes of every command; scripts and systemd units depend on them.</summary>
internal static class ExitCode
{
    public const int Done = 0;
    public const int Failed = 1;
    public const int Usage = 2;
    public const int Partial = 3;
    public const int NeedsPerson = 4;
    public const int NotFound = 10;
    public const int Locked = 11;

    /// <summary>What the help of the program says about them.</summary>
    public static IReadOnlyList<(string Code, string Meaning)> Meanings { get; } =
    [
        ("0", "done, nothing to report"),
        ("1", "failed; or the answer is no (check, status, verify found problems)"),
        ("2", "the command line or the policy is wrong"),
        ("3", "part of the work failed, the rest is safe in the store"),
        ("4", "a container could not be brought back: needs a person"),
        ("10", "no such store, environment, volume or snapshot"),
        ("11", "another run holds the lock"),
        ("130, 143", "interrupted by SIGINT, SIGTERM, after the containers were brought back"),
    ];

    /// <summary>The code of a command that was ended by an expected failure.</summary>
    public static int Of(FailureKind kind) => kind switch
    {
        FailureKind.Failed => Failed,
        FailureKind.Usage => Usage,
        FailureKind.NotFound => NotFound,
        FailureKind.Locked => Locked,
        FailureKind.NeedsPerson => NeedsPerson,
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, null),
    };

    /// <summary>The code of work in parts.</summary>
    /// <param name="good">How many parts succeeded.</param>
    /// <param name="bad">How many failed.</param>
    public static int Of(int good, int bad, bool needsPerson = false) => (needsPerson, good, bad) switch
    {
        (true, _, _) => NeedsPerson,
        (_, _, 0) => Done,
        (_, 0, _) => Failed,
        _ => Partial,
    };
}
