using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Backup.Tests.Running;

public sealed record ProgramResult(int ExitCode, string Output, string Error)
{
    public override string ToString() => $"exit {ExitCode}\n{Error}\n{Output}";
}

/// <summary>The program as a user has it: the published file in $BACKUP_TEST_BINARY, else the one built beside the tests.</summary>
public static partial class BuiltProgram
{
    public static RunningProgram Start(IReadOnlyDictionary<string, string> surroundings, params string[] arguments) => Start([], surroundings, arguments);

    /// <summary>In a process group of its own, as a shell starts a job.</summary>
    public static RunningProgram StartGroup(IReadOnlyDictionary<string, string> surroundings, params string[] arguments) => Start(["setsid"], surroundings, arguments);

    private static RunningProgram Start(string[] by, IReadOnlyDictionary<string, string> surroundings, string[] arguments)
    {
        string? binary = Environment.GetEnvironmentVariable("BACKUP_TEST_BINARY") is { Length: > 0 } given ? given : null;
        string[] command = [.. by, .. binary is null ? ["dotnet", Path.Combine(AppContext.BaseDirectory, "backup.dll")] : (string[])[binary], .. arguments];
        var start = new ProcessStartInfo(command[0], command[1..]) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };
        foreach ((string key, string value) in surroundings) start.Environment[key] = value;
        return new RunningProgram(Process.Start(start)!);
    }

    public static async Task<ProgramResult> RunAsync(IReadOnlyDictionary<string, string> surroundings, params string[] arguments)
    {
        using RunningProgram program = Start(surroundings, arguments);
        return await program.EndAsync();
    }

    internal static void Signal(int process, PosixSignal signal)
    {
        int number = signal switch { PosixSignal.SIGINT => 2, PosixSignal.SIGTERM => 15, _ => throw new ArgumentOutOfRangeException(nameof(signal)) };
        if (Kill(process, number) != 0) throw new Win32Exception(Marshal.GetLastPInvokeError());
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int Kill(int process, int signal);
}

/// <summary>A process of the program that a test may signal or kill.</summary>
public sealed class RunningProgram : IDisposable
{
    private readonly Process _process;
    private readonly Task<string> _output, _error;
    private readonly Stopwatch _since = Stopwatch.StartNew();

    internal RunningProgram(Process process)
    {
        _process = process;
        _output = process.StandardOutput.ReadToEndAsync();
        _error = process.StandardError.ReadToEndAsync();
    }

    public bool Ended => _process.HasExited;
    public TimeSpan Elapsed => _since.Elapsed;

    /// <summary>As a power cut would: nothing of the process runs any more.</summary>
    public void KillHard() => _process.Kill();

    /// <returns>False when it had ended before.</returns>
    public bool Signal(PosixSignal signal)
    {
        if (_process.HasExited) return false;
        BuiltProgram.Signal(_process.Id, signal);
        return true;
    }

    /// <summary>To every process of its group, as a terminal sends Ctrl-C.</summary>
    public void SignalGroup(PosixSignal signal) => BuiltProgram.Signal(-_process.Id, signal);

    public async Task<ProgramResult> EndAsync(TimeSpan? limit = null)
    {
        using var deadline = new CancellationTokenSource(limit ?? TimeSpan.FromSeconds(90));
        try
        {
            await _process.WaitForExitAsync(deadline.Token);
        }
        catch (OperationCanceledException)
        {
            _process.Kill();
            throw new TimeoutException($"the program did not end in time: {await _error}{await _output}");
        }
        return new ProgramResult(_process.ExitCode, await _output, await _error);
    }

    public void Dispose()
    {
        if (!_process.HasExited) _process.Kill();
        _process.Dispose();
    }
}
