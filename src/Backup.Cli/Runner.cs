using System.CommandLine;
using Backup.Cli.Commands;
using Backup.Cli.Output;

namespace Backup.Cli;

/// <summary>Runs the work of one command and turns what comes out of it, failures and signals included, into an exit code.</summary>
internal sealed class Runner(Surroundings surroundings, Wiring wiring, Interruption interruption)
{
    public static IOutput OutputFor(ParseResult parse, Surroundings surroundings, bool question) => parse.GetValue(Options.Json)
        ? new JsonOutput(surroundings, question)
        : new HumanOutput(surroundings, parse.GetValue(Options.Quiet), parse.GetValue(Options.Verbose));

    /// <summary>A command that answers a question: its JSON is one document.</summary>
    public Task<int> AskAsync(ParseResult parse, Func<Session, CancellationToken, Task<int>> work) => RunAsync(parse, true, work);

    /// <summary>A command that does long work: its JSON is a line per event, the report last.</summary>
    public Task<int> WorkAsync(ParseResult parse, Func<Session, CancellationToken, Task<int>> work) => RunAsync(parse, false, work);

    private async Task<int> RunAsync(ParseResult parse, bool question, Func<Session, CancellationToken, Task<int>> work)
    {
        using IOutput output = OutputFor(parse, surroundings, question);
        // Said at once: whoever waits in silence for a container to stop reaches for kill -9.
        using CancellationTokenRegistration told = interruption.Announced.Register(
            () => output.Message("stopping: what is held comes back first, please wait"));
        try
        {
            int code;
            await using (var session = new Session(surroundings, wiring, output, parse.GetValue(Options.Policy)))
                code = await work(session, interruption.Token);
            // The last part was done when the signal came, or a person is needed: that is worth more than the number of a signal.
            return code is ExitCode.Done or ExitCode.NeedsPerson ? code : interruption.ExitCode ?? code;
        }
        catch (OperationCanceledException) when (interruption.ExitCode is not null)
        {
            output.Error("interrupted", "Nothing half-done counts as a snapshot. Containers that were held are back; 'backup recover' makes sure.");
            return interruption.ExitCode.Value;
        }
        catch (BackupException failure)
        {
            output.Error(failure.Problem, failure.Hint);
            return failure.Kind == FailureKind.NeedsPerson ? ExitCode.NeedsPerson : interruption.ExitCode ?? ExitCode.Of(failure.Kind);
        }
    }
}
