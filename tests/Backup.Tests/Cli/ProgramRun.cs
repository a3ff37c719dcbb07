using System.Text;
using Backup.Cli;

namespace Backup.Tests.Cli;

/// <summary>Runs the program in this process, in a folder of its own, with the real wiring unless told otherwise.</summary>
internal sealed class ProgramRun : IDisposable
{
    private readonly Dictionary<string, string> variables = [];

    public string Folder { get; } = Directory.CreateTempSubdirectory("backup-cli-").FullName;
    public Wiring Wiring { get; init; } = Wiring.Production;
    public bool Live { get; init; }

    public void Set(string name, string value) => variables[name] = value;

    public void Write(string name, string text, UnixFileMode mode = UnixFileMode.UserRead | UnixFileMode.UserWrite)
    {
        string path = Path.Combine(Folder, name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text);
        File.SetUnixFileMode(path, mode);
    }

    public async Task<Outcome> RunAsync(params string[] args)
    {
        var output = new StringWriter { NewLine = "\n" };
        var error = new StringWriter { NewLine = "\n" };
        var bytes = new MemoryStream();
        using var interruption = new Interruption();
        var surroundings = new Surroundings
        {
            Out = output,
            Error = error,
            OpenOutput = () => bytes,
            Live = Live,
            Color = false,
            Width = () => 100,
            Variable = name => variables.GetValueOrDefault(name) ?? (name == "BACKUP_STATE_DIR" ? Path.Combine(Folder, "state") : null),
            Directory = Folder,
            Root = false,
            Time = TimeProvider.System,
        };
        int code = await CommandLine.RunAsync(args, surroundings, Wiring, interruption);
        return new Outcome(code, output.ToString(), error.ToString());
    }

    public void Dispose() => Directory.Delete(Folder, recursive: true);
}

internal sealed record Outcome(int Code, string Out, string Error)
{
    public override string ToString() => new StringBuilder($"exit {Code}\n--- stdout\n{Out}\n--- stderr\n{Error}").ToString();
}
