using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace Backup.Cli.Commands;

/// <summary>A command whose help ends in notes and examples.</summary>
internal sealed class Verb(string name, string description) : Command(name, description)
{
    /// <summary>Command lines with what they do, shown under "Examples".</summary>
    public IReadOnlyList<(string Line, string Does)> Examples { get; init; } = [];

    /// <summary>A paragraph below the options; its own line breaks are kept.</summary>
    public string? Notes { get; init; }
}

/// <summary>The library's help, then what it has no place for: notes, examples, exit codes.</summary>
internal sealed class FullHelp(HelpAction standard) : SynchronousCommandLineAction
{
    public override bool ClearsParseErrors => true;

    public override int Invoke(ParseResult parse)
    {
        standard.Invoke(parse);
        TextWriter output = parse.InvocationConfiguration.Output;
        if (parse.CommandResult.Command is Verb verb)
        {
            if (verb.Notes is not null) Section(output, "Notes:", verb.Notes.Split('\n'));
            if (verb.Examples.Count > 0)
            {
                int width = verb.Examples.Max(e => e.Line.Length);
                Section(output, "Examples:", verb.Examples.Select(e => $"{e.Line.PadRight(width)}  {e.Does}"));
            }
        }
        else if (parse.CommandResult.Command is RootCommand)
        {
            Section(output, "First steps:",
            [
                "backup init               write ./backup.json for what runs here, then read it",
                "backup check              reach the engine and the store, see what is wrong and how to cure it",
                "backup plan               see what a run would do",
                "backup run                do it",
                "backup COMMAND --help     options and examples of one command",
            ]);
            Section(output, "Files:",
            [
                "policy  --policy, else $BACKUP_POLICY, else ./backup.json, else /etc/backup/backup.json",
                "state   $BACKUP_STATE_DIR, else $STATE_DIRECTORY, else /var/lib/backup (root) or $XDG_STATE_HOME/backup",
            ]);
            Section(output, "Exit codes:", ExitCode.Meanings.Select(m => $"{m.Code,-8}  {m.Meaning}"));
        }
        return ExitCode.Done;
    }

    private static void Section(TextWriter output, string title, IEnumerable<string> lines)
    {
        output.WriteLine(title);
        foreach (string line in lines) output.WriteLine($"  {line}".TrimEnd());
        output.WriteLine();
    }
}
