namespace Backup.Cli;

/// <summary>Where the policy and the state are looked for.</summary>
internal static class Locations
{
    public const string SystemPolicy = "/etc/backup/backup.json";

    /// <summary><c>--policy</c>, else <c>$BACKUP_POLICY</c>, else <c>./backup.json</c>, else <see cref="SystemPolicy"/>.</summary>
    /// <exception cref="BackupException">Usage: there is none.</exception>
    public static string Policy(string? option, Surroundings surroundings)
    {
        string Absolute(string path) => Path.GetFullPath(path, surroundings.Directory);
        if (option is not null) return Existing(Absolute(option), "--policy");
        if (surroundings.Variable("BACKUP_POLICY") is { } variable) return Existing(Absolute(variable), "$BACKUP_POLICY");
        string here = Absolute("backup.json");
        if (File.Exists(here)) return here;
        if (File.Exists(SystemPolicy)) return SystemPolicy;
        throw new BackupException(
            $"no policy file: neither {here} nor {SystemPolicy} exists",
            "Write one for what runs here with 'backup init', or name yours with --policy FILE or $BACKUP_POLICY.",
            FailureKind.Usage);
    }

    /// <summary><c>$BACKUP_STATE_DIR</c>, else systemd's <c>$STATE_DIRECTORY</c>, else <c>/var/lib/backup</c> for root, else the user's own.</summary>
    public static string State(Surroundings surroundings)
    {
        if (surroundings.Variable("BACKUP_STATE_DIR") is { } own) return Path.GetFullPath(own, surroundings.Directory);
        // systemd joins several StateDirectory= values with colons; the first is ours.
        if (surroundings.Variable("STATE_DIRECTORY") is { } systemd) return systemd.Split(':')[0];
        if (surroundings.Root) return "/var/lib/backup";
        string home = surroundings.Variable("HOME") ?? "/";
        return Path.Combine(surroundings.Variable("XDG_STATE_HOME") ?? Path.Combine(home, ".local", "state"), "backup");
    }

    private static string Existing(string path, string origin) => File.Exists(path)
        ? path
        : throw new BackupException(
            $"no policy file at {path} (from {origin})",
            "Check the path, or write a policy for what runs here with 'backup init --output FILE'.",
            FailureKind.Usage);
}
