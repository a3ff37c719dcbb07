using System.Text;
using Backup.Policies;

namespace Backup.Cli.Systemd;

/// <param name="Name">Such as <c>backup-local.timer</c>.</param>
internal sealed record UnitFile(string Name, string Text);

/// <param name="Command">The program with its leading arguments, absolute: <c>/usr/local/bin/backup</c>, or <c>/usr/bin/dotnet …/backup.dll</c>.</param>
/// <param name="StateDirectory">Absolute; null = systemd's own, /var/lib/backup.</param>
internal sealed record UnitSettings(IReadOnlyList<string> Command, string? StateDirectory = null)
{
    public UnitSettings(string binary, string? stateDirectory = null) : this([binary], stateDirectory) { }

    /// <summary>Variables for <c>env:</c> secrets, NAME=value a line, mode 600.</summary>
    public string EnvironmentFile { get; init; } = "/etc/backup/environment";
}

/// <summary>Service and timer of every environment with a schedule, and the recovery at boot.</summary>
internal static class SystemdUnits
{
    /// <summary>The first line of every unit; a file without it is not ours and is never replaced or removed.</summary>
    internal const string Marker = "# Written by `backup schedule install`; the next install overwrites changes. Use `systemctl edit` for your own.";
    internal const string RecoverUnit = "backup-recover.service";

    /// <summary>Empty when no environment has a schedule.</summary>
    internal static IReadOnlyList<UnitFile> Render(Policy policy, IEnumerable<EnvironmentPolicy> environments, UnitSettings settings)
    {
        List<EnvironmentPolicy> scheduled = [.. environments.Where(e => e.Schedule is not null)];
        if (scheduled.Count == 0) return [];
        var files = new List<UnitFile>();
        foreach (EnvironmentPolicy environment in scheduled)
        {
            files.Add(new UnitFile(UnitName(environment.Name) + ".service", Service(policy, environment, settings)));
            files.Add(new UnitFile(UnitName(environment.Name) + ".timer", Timer(environment)));
        }
        files.Add(new UnitFile(RecoverUnit, Recover(policy, settings)));
        return files;
    }

    /// <summary>Without its ending. An environment called "recover" keeps out of the way of <see cref="RecoverUnit"/>.</summary>
    internal static string UnitName(string environment) =>
        environment == "recover" ? "backup-\\x72ecover" : "backup-" + UnitText.Name(environment);

    private static string Timer(EnvironmentPolicy environment)
    {
        SchedulePolicy schedule = environment.Schedule!;
        IEnumerable<string> calendar = CronToCalendar.Translate(schedule.Cron, schedule.TimeZone).Select(c => $"OnCalendar={c}");
        return $"""
            {Marker}
            [Unit]
            Description=Schedule of the backup of {UnitText.Line(environment.Name)} ({UnitText.Line(schedule.Cron)})

            [Timer]
            {string.Join('\n', calendar)}
            # A time that was missed while the host was off is made up for.
            Persistent=true
            RandomizedDelaySec=5min
            AccuracySec=1min

            [Install]
            WantedBy=timers.target

            """;
    }

    private static string Service(Policy policy, EnvironmentPolicy environment, UnitSettings settings)
    {
        string run = Command(policy, settings), name = UnitText.Argument(environment.Name);
        IReadOnlyList<string> stores = StorePaths(policy, environment);
        return $"""
            {Marker}
            [Unit]
            Description=Backup of {UnitText.Line(environment.Name)}
            Wants=network-online.target
            After=network-online.target docker.service {RecoverUnit}

            [Service]
            Type=oneshot
            {Lines(stores.Select(p => $"ExecStartPre=+/bin/mkdir -p -m 700 {UnitText.Argument(p)}"))}ExecStart={run} run {name} --wait 6h
            # After a run that was killed: brings containers back. When another run holds the lock, that one has done it.
            ExecStopPost=-{run} recover --wait 5m
            # 143 is a run that SIGTERM ended, with its containers brought back.
            SuccessExitStatus=143
            TimeoutStartSec=infinity
            # Longer than any undo may take.
            TimeoutStopSec=20min
            KillMode=mixed
            {Sandbox(policy, stores, Secrets(policy, [environment]), MaxLevel(environment), settings)}
            """;
    }

    private static string Recover(Policy policy, UnitSettings settings) => $"""
        {Marker}
        [Unit]
        Description=Undo what a backup that was cut short left held back
        Wants=network-online.target
        After=network-online.target docker.service

        [Service]
        Type=oneshot
        ExecStart={Command(policy, settings)} recover --wait 1h
        TimeoutStartSec=90min
        TimeoutStopSec=20min
        KillMode=mixed
        {Sandbox(policy, [], Secrets(policy, policy.Environments), 3, settings)}
        [Install]
        WantedBy=multi-user.target

        """;

    /// <summary>
    /// As little as a backup needs: the engine's socket, the network, the state directory, the spool's and directory stores. Not there on purpose:
    /// MemoryDenyWriteExecute and a private /proc, which the .NET runtime does not survive.
    /// </summary>
    private static string Sandbox(Policy policy, IReadOnlyList<string> stores, IReadOnlyList<Secret> secrets, int level, UnitSettings settings)
    {
        List<string> writable = [.. new[] { settings.StateDirectory, policy.Spool.Path }.OfType<string>(), .. stores];
        var text = new StringBuilder();
        void Add(string line) => text.Append(line).Append('\n');

        if (settings.StateDirectory is null) Add("StateDirectory=backup\nStateDirectoryMode=0700");
        else Add($"Environment={UnitText.Word("BACKUP_STATE_DIR=" + settings.StateDirectory)}");
        Add("CacheDirectory=backup\nEnvironment=DOTNET_BUNDLE_EXTRACT_BASE_DIR=%C/backup");
        Add($"EnvironmentFile=-{settings.EnvironmentFile}");
        foreach (string credential in secrets.Select(s => s.Reference).Where(r => r.StartsWith("cred:", StringComparison.Ordinal)).Distinct().Order(StringComparer.Ordinal))
            Add($"LoadCredential={credential[5..]}:/etc/credstore/{credential[5..]}");
        Add("UMask=0077");
        Add("Nice=10\nIOSchedulingClass=idle\nCPUWeight=20");
        // The highest zstd levels keep a large window for every core.
        Add($"MemoryMax={(level > 12 ? "2G" : "512M")}\nOOMScoreAdjust=300");
        Add("NoNewPrivileges=true\nCapabilityBoundingSet=CAP_DAC_OVERRIDE");
        Add("ProtectSystem=strict\nProtectHome=read-only");
        if (writable.Count > 0) Add($"ReadWritePaths={string.Join(' ', writable.Select(p => UnitText.Word("-" + p)))}");
        // A private /tmp would hide what the policy names there.
        if (!Touched(policy, writable, settings).Any(p => p.StartsWith("/tmp/", StringComparison.Ordinal) || p.StartsWith("/var/tmp/", StringComparison.Ordinal))) Add("PrivateTmp=true");
        Add("PrivateDevices=true\nProtectKernelTunables=true\nProtectKernelModules=true\nProtectKernelLogs=true\nProtectControlGroups=true\nProtectClock=true\nProtectHostname=true");
        Add("RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\nRestrictNamespaces=true\nRestrictRealtime=true\nRestrictSUIDSGID=true\nLockPersonality=true");
        Add("SystemCallArchitectures=native\nSystemCallFilter=@system-service\nSystemCallErrorNumber=EPERM");
        return text.ToString();
    }

    private static string Command(Policy policy, UnitSettings settings) =>
        string.Join(' ', settings.Command.Append("--policy").Append(policy.Path).Select(UnitText.Argument));

    private static string Lines(IEnumerable<string> lines) => string.Concat(lines.Select(l => l + "\n"));

    private static int MaxLevel(EnvironmentPolicy e) => e.Rules.Select(r => r.CompressionLevel ?? 0).Append(e.Default.CompressionLevel).Max();

    private static IReadOnlyList<string> StorePaths(Policy policy, EnvironmentPolicy environment) =>
        [.. policy.Stores.OfType<DirectoryStorePolicy>().Where(s => environment.StoresUsed().Contains(s.Name)).Select(s => s.Path)];

    private static IReadOnlyList<Secret> Secrets(Policy policy, IEnumerable<EnvironmentPolicy> environments)
    {
        List<EnvironmentPolicy> all = [.. environments];
        IEnumerable<Secret> keys = all.SelectMany(e => e.Connect.Secrets);
        IEnumerable<string> used = all.SelectMany(e => e.StoresUsed());
        return [.. keys, .. policy.Stores.OfType<S3StorePolicy>().Where(s => used.Contains(s.Name)).SelectMany(s => new[] { s.AccessKeyId, s.SecretAccessKey })];
    }

    private static IEnumerable<string> Touched(Policy policy, IEnumerable<string> writable, UnitSettings settings) =>
    [
        policy.Path, .. settings.Command, .. writable,
        .. policy.Environments.Select(e => e.Connect).OfType<DockerConnectPolicy>().Where(c => c.Url.Scheme == "unix").Select(c => c.Url.AbsolutePath),
        .. policy.Environments.Select(e => (e.Connect as DockerConnectPolicy)?.Tls).SelectMany(t => new[] { t?.Ca, t?.Cert }).OfType<string>(),
        .. policy.Environments.Select(e => (e.Connect as PortainerConnectPolicy)?.CaFile).OfType<string>(),
        .. Secrets(policy, policy.Environments).Where(s => s.Reference.StartsWith("file:", StringComparison.Ordinal)).Select(s => s.Reference[5..]),
    ];
}
