using System.CommandLine;
using Backup.Cli.Systemd;

namespace Backup.Cli.Commands;

/// <summary>systemd units from the policy's schedules: print them, put them in place, take them away.</summary>
internal static class ScheduleCommand
{
    public static Command Create(Runner runner)
    {
        var command = new Verb("schedule", "Install, show or remove systemd timers for the policy's schedules")
        {
            Notes = "Each environment with a \"schedule\" gets a service and a timer of its own; one more unit runs 'backup recover' at boot.",
            Examples =
            [
                ("backup schedule show", "read the units first"),
                ("sudo backup schedule install", "write and enable them; again after the policy's schedules changed"),
                ("sudo backup schedule remove web", "one environment no longer"),
            ],
        };
        command.Add(Show(runner));
        command.Add(Install(runner));
        command.Add(Remove(runner));
        return command;
    }

    private static Verb Show(Runner runner)
    {
        Argument<string[]> environments = Options.Environments();
        var command = new Verb("show", "Print the units") { Arguments = { environments } };
        command.SetAction((parse, _) => runner.AskAsync(parse, (session, _) =>
        {
            session.Output.Units(Units(session, parse.GetRequiredValue(environments)), SystemdInstaller.DefaultDirectory);
            return Task.FromResult(ExitCode.Done);
        }));
        return command;
    }

    private static Verb Install(Runner runner)
    {
        Argument<string[]> environments = Options.Environments();
        Option<string?> directory = Directory();
        var command = new Verb("install", "Write the units and enable them") { Arguments = { environments }, Options = { directory } };
        command.SetAction((parse, _) => runner.AskAsync(parse, async (session, cancel) =>
        {
            (string folder, bool systemctl) = Target(parse.GetValue(directory), session);
            session.Output.Done(await SystemdInstaller.InstallAsync(Units(session, parse.GetRequiredValue(environments)), folder, systemctl, cancel));
            return ExitCode.Done;
        }));
        return command;
    }

    private static Verb Remove(Runner runner)
    {
        var environments = new Argument<string[]>("ENV")
        {
            Description = "Environments, also such as the policy no longer has; all when none is named",
            Arity = ArgumentArity.ZeroOrMore,
        };
        Option<string?> directory = Directory();
        var command = new Verb("remove", "Disable the units and delete them") { Arguments = { environments }, Options = { directory } };
        command.SetAction((parse, _) => runner.AskAsync(parse, async (session, cancel) =>
        {
            (string folder, bool systemctl) = Target(parse.GetValue(directory), session);
            IReadOnlyList<string> names = Chosen(SystemdInstaller.Installed(folder), parse.GetRequiredValue(environments), folder);
            session.Output.Done(await SystemdInstaller.RemoveAsync(names, folder, systemctl, cancel));
            return ExitCode.Done;
        }));
        return command;
    }

    private static Option<string?> Directory() => new("--directory")
    {
        Description = $"Where the units are instead of {SystemdInstaller.DefaultDirectory}; systemctl is then left to you",
        HelpName = "DIR",
    };

    private static (string Folder, bool Systemctl) Target(string? directory, Session session) => directory is null
        ? (SystemdInstaller.DefaultDirectory, true)
        : (Path.GetFullPath(directory, session.Surroundings.Directory), false);

    /// <exception cref="BackupException">None of the environments has a schedule.</exception>
    private static IReadOnlyList<UnitFile> Units(Session session, string[] environments)
    {
        // Only a directory that the caller chose is written into the units: systemd makes the usual one by itself.
        string? state = session.Surroundings.Variable("BACKUP_STATE_DIR") is null ? null : session.StateDirectory;
        IReadOnlyList<UnitFile> units = SystemdUnits.Render(session.Policy, session.Backends.Select(environments), new UnitSettings(Program(), state));
        return units.Count > 0 ? units : throw new BackupException(
            $"no environment {(environments.Length > 0 ? "of these" : $"of {session.Policy.Path}")} has a schedule",
            "Add \"schedule\": \"0 3 * * *\" (minute hour day month weekday) to the environment or to the defaults.",
            FailureKind.Usage);
    }

    /// <summary>This program as systemd has to call it: the published file, or the runtime with the library.</summary>
    private static string[] Program()
    {
        string path = System.Environment.ProcessPath ?? throw new InvalidOperationException("a process without a path");
        return Path.GetFileNameWithoutExtension(path) == "dotnet" ? [path, Path.Combine(AppContext.BaseDirectory, "backup.dll")] : [path];
    }

    /// <summary>The recovery at boot goes with the last timer.</summary>
    private static IReadOnlyList<string> Chosen(IReadOnlyList<string> installed, string[] environments, string folder)
    {
        if (environments.Length == 0) return installed;
        string[] prefixes = [.. environments.Select(SystemdUnits.UnitName)];
        for (int i = 0; i < prefixes.Length; i++)
            if (!installed.Contains($"{prefixes[i]}.timer"))
                throw new BackupException($"{folder} has no timer for \"{environments[i]}\"", "'systemctl list-timers backup-*' lists those that are installed.", FailureKind.NotFound);
        string[] chosen = [.. installed.Where(name => prefixes.Any(p => name == $"{p}.timer" || name == $"{p}.service"))];
        bool last = !installed.Except(chosen).Any(name => name.EndsWith(".timer", StringComparison.Ordinal));
        return last ? installed : chosen;
    }
}
