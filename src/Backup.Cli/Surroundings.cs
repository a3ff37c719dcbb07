using System.Text;

namespace Backup.Cli;

/// <summary>What the process stands in, passed in rather than reached for, so that tests run the very program.</summary>
internal sealed class Surroundings
{
    /// <summary>Results.</summary>
    public required TextWriter Out { get; init; }

    /// <summary>Progress and messages.</summary>
    public required TextWriter Error { get; init; }

    /// <summary>Standard output for bytes (<c>restore --output -</c>).</summary>
    public required Func<Stream> OpenOutput { get; init; }

    /// <summary>True when somebody watches standard error, so that lines may be redrawn.</summary>
    public required bool Live { get; init; }

    public required bool Color { get; init; }

    /// <summary>Columns of the terminal now.</summary>
    public required Func<int> Width { get; init; }

    /// <summary>Environment variables; an empty one counts as not set.</summary>
    public required Func<string, string?> Variable { get; init; }

    /// <summary>The working directory.</summary>
    public required string Directory { get; init; }

    public required bool Root { get; init; }
    public required TimeProvider Time { get; init; }

    public static Surroundings OfProcess()
    {
        string? Variable(string name) => System.Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : null;
        bool terminal = !Console.IsErrorRedirected && Variable("TERM") is not (null or "dumb");
        return new Surroundings
        {
            // Not Console.Out: that flushes on every write, which makes a listing of 100,000 files slow.
            Out = new StreamWriter(new StandardOutput(Console.OpenStandardOutput()), new UTF8Encoding(false), 1 << 16),
            Error = new StreamWriter(Console.OpenStandardError(), new UTF8Encoding(false)) { AutoFlush = true },
            OpenOutput = () => new StandardOutput(Console.OpenStandardOutput()),
            Live = terminal,
            Color = terminal && Variable("NO_COLOR") is null,
            Width = () => terminal && Console.WindowWidth > 0 ? Console.WindowWidth : 80,
            Variable = Variable,
            Directory = System.Environment.CurrentDirectory,
            Root = System.Environment.IsPrivilegedProcess,
            Time = TimeProvider.System,
        };
    }
}
