using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Parsing;
using System.Reflection;
using Backup.Cli.Commands;
using Backup.Cli.Output;
using Backup.Policies;

namespace Backup.Cli;

/// <summary>From arguments to an exit code.</summary>
internal static class CommandLine
{
    private static readonly string[] VersionFlags = ["--version"];

    /// <summary>The version that manifests and <c>--version</c> name.</summary>
    public static string Version { get; } =
        typeof(CommandLine).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion;

    public static async Task<int> RunAsync(string[] args, Surroundings surroundings, Wiring wiring, Interruption interruption)
    {
        if (args.AsSpan().SequenceEqual(VersionFlags))
        {
            surroundings.Out.WriteLine($"backup {Version}");
            return ExitCode.Done;
        }
        ParseResult parse = Root(new Runner(surroundings, wiring, interruption), surroundings).Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null });
        string[] stray = [.. StrayOptions(args, parse)];
        if (parse.Errors.Count + stray.Length > 0 && parse.Action is not FullHelp) return WrongCommandLine(args, parse, stray, surroundings);
        return await parse.InvokeAsync(new InvocationConfiguration
        {
            Output = surroundings.Out,
            Error = surroundings.Error,
            EnableDefaultExceptionHandler = false,
            ProcessTerminationTimeout = null, // see Interruption
        });
    }

    private static RootCommand Root(Runner runner, Surroundings surroundings)
    {
        var root = new RootCommand(
            "Backs up the volumes of Docker engines, and restores them.\n"
            + "Containers that write to a volume are paused or stopped while it is read and brought back before anything is uploaded that can wait.");
        foreach (Option option in root.Options)
            switch (option)
            {
                case HelpOption { Action: HelpAction standard }:
                    standard.MaxWidth = Math.Clamp(surroundings.Width(), 80, 120);
                    option.Action = new FullHelp(standard);
                    break;
                case VersionOption:
                    option.Description = "Show the version";
                    break;
            }
        root.Add(Options.Policy);
        root.Add(Options.Json);
        root.Add(Options.Quiet);
        root.Add(Options.Verbose);
        root.Add(InitCommand.Create(runner));
        root.Add(CheckCommand.Create(runner));
        root.Add(PlanCommand.Create(runner));
        root.Add(RunCommand.Create(runner));
        root.Add(SnapshotsCommand.Create(runner));
        root.Add(FilesCommand.Create(runner));
        root.Add(RestoreCommand.Create(runner));
        root.Add(VerifyCommand.Create(runner));
        root.Add(PruneCommand.Create(runner));
        root.Add(RecoverCommand.Create(runner));
        root.Add(StatusCommand.Create(runner));
        root.Add(ScheduleCommand.Create(runner));
        return root;
    }

    /// <summary>A bare <c>backup</c> or <c>backup schedule</c> shows the help; anything else says what is wrong with it.</summary>
    private static int WrongCommandLine(string[] args, ParseResult parse, string[] stray, Surroundings surroundings)
    {
        Command command = parse.CommandResult.Command;
        string path = command is RootCommand ? "backup" : $"backup {string.Join(" ", Words(parse))}";
        bool json = parse.GetValue(Options.Json);
        if (!json && command.Subcommands.Count > 0 && parse.UnmatchedTokens.Count == 0 && parse.Tokens.Count == args.Length && command.Action is null)
        {
            Root(new Runner(surroundings, Wiring.Production, new Interruption()), surroundings).Parse([.. args, "--help"])
                .Invoke(new InvocationConfiguration { Output = surroundings.Error });
            return ExitCode.Usage;
        }
        string[] unknown = [.. parse.UnmatchedTokens.Concat(stray).Distinct()];
        // What is unknown explains what is missing: 'backup rnu' needs no second line about a missing command.
        string problem = unknown.Length > 0
            ? $"'{unknown[0]}' is no {(unknown[0].StartsWith('-') ? "option" : command.Subcommands.Count > 0 ? "command" : "argument")} of '{path}'"
            : string.Join("\n", parse.Errors.Select(e => e.Message.TrimEnd('.')).Distinct());
        string hint = $"See '{path} --help'.";
        string[] known = unknown.Length == 0 ? [] : [.. Known(command, unknown[0].StartsWith('-'))];
        if (known.Length > 0) hint = Nearest.Hint(unknown[0], known) is var near && near.EndsWith('?') ? $"{near} {hint}" : $"{near}. {hint}";
        using IOutput output = Runner.OutputFor(parse, surroundings, question: true);
        output.Error(problem, hint);
        return ExitCode.Usage;
    }

    /// <summary>The library takes an unknown option for an argument where arguments may stand. After <c>--</c> that is right.</summary>
    private static IEnumerable<string> StrayOptions(string[] args, ParseResult parse) =>
        parse.CommandResult.Children.OfType<ArgumentResult>().SelectMany(a => a.Tokens).Select(t => t.Value)
            .Where(v => v.Length > 1 && v[0] == '-' && args.TakeWhile(a => a != "--").Any(a => a == v || a.StartsWith(v + "=", StringComparison.Ordinal)));

    private static IEnumerable<string> Words(ParseResult parse)
    {
        for (var result = parse.CommandResult; result?.Parent is not null; result = result.Parent as CommandResult)
            yield return result.Command.Name;
    }

    private static IEnumerable<string> Known(Command command, bool options) => options
        ? command.Options.Select(o => o.Name).Concat([Options.Policy.Name, Options.Json.Name, Options.Quiet.Name, Options.Verbose.Name]).Distinct()
        : command.Subcommands.Select(c => c.Name);
}
