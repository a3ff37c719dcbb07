using System.Diagnostics;

namespace Backup.Cli.Systemd;

/// <summary>Runs systemctl with arguments; returns its exit code and what it said on standard error.</summary>
internal delegate Task<(int ExitCode, string Error)> Systemctl(IReadOnlyList<string> arguments, CancellationToken cancel);

/// <summary>Writes units to a directory, takes them away again, and tells systemd.</summary>
internal static class SystemdInstaller
{
    internal const string DefaultDirectory = "/etc/systemd/system";

    /// <summary>Writes and, with <paramref name="systemctl"/>, enables them: timers start now, the recovery at the next boot.</summary>
    /// <returns>What was done, a line each.</returns>
    /// <exception cref="BackupException">A file of somebody else stands in the way, the directory cannot be written, systemctl failed.</exception>
    internal static Task<IReadOnlyList<string>> InstallAsync(IReadOnlyList<UnitFile> units, string directory, bool systemctl, CancellationToken cancel) =>
        InstallAsync(units, directory, systemctl ? RunSystemctl : null, cancel);

    internal static async Task<IReadOnlyList<string>> InstallAsync(IReadOnlyList<UnitFile> units, string directory, Systemctl? systemctl, CancellationToken cancel)
    {
        var done = new List<string>();
        foreach (UnitFile unit in units) RefuseForeign(Path.Combine(directory, unit.Name));
        foreach (UnitFile unit in units)
        {
            string path = Path.Combine(directory, unit.Name);
            bool known = File.Exists(path), same = known && File.ReadAllText(path) == unit.Text;
            if (!same) Write(path, unit.Text);
            done.Add($"{(same ? "unchanged" : known ? "replaced" : "written")}: {path}");
        }
        if (systemctl is null || units.Count == 0) return done;
        await CallAsync(systemctl, ["daemon-reload"], cancel);
        List<string> timers = [.. units.Select(u => u.Name).Where(n => n.EndsWith(".timer", StringComparison.Ordinal))];
        if (timers.Count > 0) await CallAsync(systemctl, ["enable", "--now", "--", .. timers], cancel);
        if (units.Any(u => u.Name == SystemdUnits.RecoverUnit)) await CallAsync(systemctl, ["enable", "--", SystemdUnits.RecoverUnit], cancel);
        done.AddRange(timers.Select(t => $"enabled: {t}"));
        return done;
    }

    /// <summary>The units in a directory that this program wrote, sorted: what <see cref="RemoveAsync(IReadOnlyList{string},string,bool,CancellationToken)"/> may be given.</summary>
    internal static IReadOnlyList<string> Installed(string directory) => !Directory.Exists(directory) ? [] :
    [
        .. Directory.EnumerateFiles(directory, "backup-*").Where(IsOurs).Select(p => Path.GetFileName(p)!).Order(StringComparer.Ordinal),
    ];

    /// <summary>Disables and deletes units by name. Names that are not there, or that somebody else wrote, are left alone.</summary>
    /// <returns>What was done, a line each.</returns>
    internal static Task<IReadOnlyList<string>> RemoveAsync(IReadOnlyList<string> names, string directory, bool systemctl, CancellationToken cancel) =>
        RemoveAsync(names, directory, systemctl ? RunSystemctl : null, cancel);

    internal static async Task<IReadOnlyList<string>> RemoveAsync(IReadOnlyList<string> names, string directory, Systemctl? systemctl, CancellationToken cancel)
    {
        List<string> ours = [.. Installed(directory).Intersect(names)];
        if (ours.Count == 0) return [];
        // A running backup is not cut short: services are only disabled, timers are stopped too.
        List<string> timers = [.. ours.Where(n => n.EndsWith(".timer", StringComparison.Ordinal))];
        if (systemctl is not null && timers.Count > 0) await CallAsync(systemctl, ["disable", "--now", "--", .. timers], cancel);
        if (systemctl is not null && ours.Contains(SystemdUnits.RecoverUnit)) await CallAsync(systemctl, ["disable", "--", SystemdUnits.RecoverUnit], cancel);
        foreach (string name in ours) File.Delete(Path.Combine(directory, name));
        if (systemctl is not null) await CallAsync(systemctl, ["daemon-reload"], cancel);
        return [.. ours.Select(n => $"removed: {Path.Combine(directory, n)}")];
    }

    private static bool IsOurs(string path) => File.ReadLines(path).FirstOrDefault() == SystemdUnits.Marker;

    private static void RefuseForeign(string path)
    {
        if (File.Exists(path) && !IsOurs(path))
            throw new BackupException($"{path} exists and was not written by this program", $"Move it away: mv {path} {path}.old");
    }

    private static void Write(string path, string text)
    {
        string temporary = path + ".tmp";
        try
        {
            File.WriteAllText(temporary, text);
            File.Move(temporary, path, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new BackupException($"{path} cannot be written: {e.Message}", "Run it as root, or look at the units with `backup schedule show`.", FailureKind.Failed, e);
        }
    }

    private static async Task CallAsync(Systemctl systemctl, IReadOnlyList<string> arguments, CancellationToken cancel)
    {
        (int code, string error) = await systemctl(arguments, cancel);
        if (code != 0)
            throw new BackupException($"systemctl {string.Join(' ', arguments)} failed ({code}): {error.Trim()}", "The unit files are in place as said; run the same command by hand to see why.");
    }

    private static async Task<(int, string)> RunSystemctl(IReadOnlyList<string> arguments, CancellationToken cancel)
    {
        var start = new ProcessStartInfo("systemctl", arguments) { RedirectStandardError = true };
        try
        {
            using Process process = Process.Start(start)!;
            string error = await process.StandardError.ReadToEndAsync(cancel);
            await process.WaitForExitAsync(cancel);
            return (process.ExitCode, error);
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            throw new BackupException("there is no systemctl on this host", "Let cron call `backup run`; `backup schedule show` prints the units for another host.", FailureKind.Failed, e);
        }
    }
}
