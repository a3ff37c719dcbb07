using System.Diagnostics;
using Backup.Cli;
using Backup.Quiescing;
using Backup.Tests.Fakes;
using Shouldly;
using Xunit;

namespace Backup.Tests.Cli;

/// <summary>How a real process ends, which is what systemd and scripts see.</summary>
public class ProcessTests
{
    [Theory(Timeout = 60_000)]
    [InlineData("INT", 130)]
    [InlineData("TERM", 143)]
    [InlineData("HUP", 129)]
    public async Task A_signal_ends_the_program_with_its_number(string signal, int code)
    {
        using var program = new ProgramRun();
        program.Write("backup.json", """{ "stores": { "disk": { "type": "directory", "path": "data" } }, "environments": { } }""");
        // Holds the lock that the other one waits for, so that the signal finds it in the middle of its work.
        await using var held = await UndoJournal.OpenAsync(Path.Combine(program.Folder, "state"), new RecordingContext().Run, TimeSpan.Zero, default);

        using Process process = Start(program.Folder, "recover", "--wait", "5m", "--json");
        (await process.StandardOutput.ReadLineAsync()).ShouldBe("""{"event":"step","text":"waiting for another run to finish"}""");
        using (Process kill = Process.Start("kill", [$"-{signal}", process.Id.ToString()])) await kill.WaitForExitAsync();
        (await process.StandardError.ReadLineAsync()).ShouldBe("stopping: what is held comes back first, please wait");
        string rest = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        process.ExitCode.ShouldBe(code);
        rest.ShouldStartWith("""{"event":"error","problem":"interrupted",""");
    }

    [Theory(Timeout = 60_000)]
    [InlineData("--version")]
    [InlineData("snapshots")]
    [InlineData("snapshots --json")]
    [InlineData("--help")]
    public async Task A_full_disk_behind_standard_output_is_a_failure_in_words(string arguments)
    {
        using var program = new ProgramRun();
        program.Write("backup.json", """{ "stores": { "disk": { "type": "directory", "path": "data" } }, "environments": { } }""");
        var start = new ProcessStartInfo("sh", ["-c", $"exec dotnet \"$0\" {arguments} > /dev/full", Path.Combine(AppContext.BaseDirectory, "backup.dll")])
        {
            WorkingDirectory = program.Folder,
            RedirectStandardError = true,
        };
        using Process process = Process.Start(start)!;
        string error = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        process.ExitCode.ShouldBe(ExitCode.Failed, error);
        error.ShouldStartWith("error: cannot write to standard output: No space left on device");
    }

    [Fact]
    public void The_first_signal_counts_and_the_next_ones_change_nothing()
    {
        using var interruption = new Interruption();
        interruption.ExitCode.ShouldBeNull();
        interruption.Stop(2);
        interruption.Stop(15);
        interruption.ExitCode.ShouldBe(130);
        interruption.Token.IsCancellationRequested.ShouldBeTrue();
    }

    private static Process Start(string folder, params string[] arguments)
    {
        string program = Path.Combine(AppContext.BaseDirectory, "backup.dll");
        File.Exists(program).ShouldBeTrue();
        var start = new ProcessStartInfo("dotnet", [program, .. arguments]) { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["BACKUP_STATE_DIR"] = Path.Combine(folder, "state");
        start.Environment.Remove("BACKUP_POLICY");
        return Process.Start(start)!;
    }
}
