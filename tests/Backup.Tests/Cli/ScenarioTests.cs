using System.CommandLine.Parsing;
using System.Runtime.CompilerServices;
using Shouldly;
using Xunit;

namespace Backup.Tests.Cli;

/// <summary>
/// What a user types and reads, as text: each file of Scenarios/ holds stanzas, one per behaviour.
/// <code>
/// == A title
/// file NAME [MODE]       the lines that follow with "| " are its content
/// env NAME=VALUE
/// $ backup ...           $DIR stands for the stanza's own folder, which is the working directory
/// exit N
/// out: TEXT              a fragment of stdout; "out none": nothing
/// err: TEXT              a fragment of stderr; "err none": nothing
/// not: TEXT              neither says this
/// </code>
/// A stanza may have several command lines; what follows one belongs to it.
/// </summary>
public class ScenarioTests
{
    public static TheoryData<string, string> All()
    {
        var data = new TheoryData<string, string>();
        foreach (string file in Directory.EnumerateFiles(Folder(), "*.txt").Order(StringComparer.Ordinal))
            foreach (string line in File.ReadLines(file).Where(l => l.StartsWith("== ", StringComparison.Ordinal)))
                data.Add(Path.GetFileName(file), line[3..]);
        return data;
    }

    [Theory(Timeout = 60_000)]
    [MemberData(nameof(All))]
    public async Task A_user_reads_what_the_scenario_says(string file, string title)
    {
        using var program = new ProgramRun();
        Outcome? outcome = null;
        int judged = 0;
        string? name = null;
        UnixFileMode mode = default;
        var content = new List<string>();
        foreach (string raw in Stanza(file, title).Append(""))
        {
            if (name is not null && !raw.StartsWith('|'))
            {
                program.Write(name, string.Concat(content.Select(l => l + "\n")), mode);
                name = null;
                content.Clear();
            }
            string line = raw.Replace("$DIR", program.Folder);
            string[] words = line.Split(' ', 2);
            string rest = words.Length > 1 ? words[1] : "";
            switch (words[0])
            {
                case "" or "#":
                    break;
                case "|":
                    content.Add(rest);
                    break;
                case "file":
                    string[] parts = rest.Split(' ');
                    (name, mode) = (parts[0], (UnixFileMode)Convert.ToInt32(parts.ElementAtOrDefault(1) ?? "0600", 8));
                    break;
                case "env":
                    program.Set(rest.Split('=', 2)[0], rest.Split('=', 2)[1]);
                    break;
                case "$":
                    string[] command = [.. CommandLineParser.SplitCommandLine(rest)];
                    command[0].ShouldBe("backup");
                    outcome = await program.RunAsync(command[1..]);
                    break;
                case "exit":
                    outcome.ShouldNotBeNull().Code.ShouldBe(int.Parse(rest), outcome.ToString());
                    judged++;
                    break;
                case "out:":
                    outcome.ShouldNotBeNull().Out.ShouldContain(rest, Case.Sensitive, outcome.ToString());
                    break;
                case "err:":
                    outcome.ShouldNotBeNull().Error.ShouldContain(rest, Case.Sensitive, outcome.ToString());
                    break;
                case "out":
                    rest.ShouldBe("none");
                    outcome.ShouldNotBeNull().Out.ShouldBeEmpty(outcome.ToString());
                    break;
                case "err":
                    rest.ShouldBe("none");
                    outcome.ShouldNotBeNull().Error.ShouldBeEmpty(outcome.ToString());
                    break;
                case "not:":
                    (outcome.ShouldNotBeNull().Out + outcome.Error).ShouldNotContain(rest, Case.Sensitive, outcome.ToString());
                    break;
                default:
                    Assert.Fail($"{file}, {title}: not understood: {line}");
                    break;
            }
        }
        judged.ShouldBeGreaterThan(0, "a stanza without an exit code proves nothing");
    }

    private static IEnumerable<string> Stanza(string file, string title) =>
        File.ReadLines(Path.Combine(Folder(), file)).SkipWhile(l => l != $"== {title}").Skip(1)
            .TakeWhile(l => !l.StartsWith("== ", StringComparison.Ordinal));

    private static string Folder([CallerFilePath] string path = "") => Path.GetFullPath(Path.Combine(Path.GetDirectoryName(path)!, "..", "Scenarios"));
}
