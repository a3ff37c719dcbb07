using Backup.Quiescing;
using Backup.Tests.Fakes;
using Shouldly;
using Xunit;

namespace Backup.Tests.Cli;

public class LockTests
{
    private const string Policy = """{ "stores": { "disk": { "type": "directory", "path": "data" } }, "environments": { } }""";

    [Theory(Timeout = 30_000)]
    [InlineData("run")]
    [InlineData("prune")]
    [InlineData("recover")]
    public async Task Another_run_that_holds_the_lock_is_exit_code_11(string verb)
    {
        using var program = new ProgramRun();
        program.Write("backup.json", Policy);
        await using (UndoJournal held = await UndoJournal.OpenAsync(Path.Combine(program.Folder, "state"), new RecordingContext().Run, TimeSpan.Zero, default))
            (await program.RunAsync(verb)).Code.ShouldBe(11);
        (await program.RunAsync(verb)).Code.ShouldBe(0);
    }

    [Fact(Timeout = 30_000)]
    public async Task A_run_that_is_told_to_wait_goes_on_when_the_lock_is_free()
    {
        using var program = new ProgramRun();
        program.Write("backup.json", Policy);
        UndoJournal held = await UndoJournal.OpenAsync(Path.Combine(program.Folder, "state"), new RecordingContext().Run, TimeSpan.Zero, default);
        Task<Outcome> waiting = Task.Run(() => program.RunAsync("recover", "--wait", "20s"));
        await Task.Delay(300);
        waiting.IsCompleted.ShouldBeFalse();
        await held.DisposeAsync();
        (await waiting).Code.ShouldBe(0);
    }

    [Fact(Timeout = 30_000)]
    public async Task Looking_into_a_restores_target_needs_the_lock_and_a_restore_into_a_directory_does_not()
    {
        using var program = new ProgramRun();
        program.Write("backup.json", Policy);
        await using (UndoJournal held = await UndoJournal.OpenAsync(Path.Combine(program.Folder, "state"), new RecordingContext().Run, TimeSpan.Zero, default))
        {
            (await program.RunAsync("restore", "web/data", "--dry-run")).Code.ShouldBe(11);
            (await program.RunAsync("restore", "web/data", "--output", "into")).Code.ShouldBe(10);
        }
        (await program.RunAsync("restore", "web/data", "--dry-run")).Code.ShouldBe(10);
    }

    [Fact(Timeout = 30_000)]
    public async Task Looking_needs_no_lock()
    {
        using var program = new ProgramRun();
        program.Write("backup.json", Policy);
        await using UndoJournal held = await UndoJournal.OpenAsync(Path.Combine(program.Folder, "state"), new RecordingContext().Run, TimeSpan.Zero, default);
        foreach (string verb in new[] { "snapshots", "status", "verify", "plan", "check" }) (await program.RunAsync(verb)).Code.ShouldBe(0, verb);
        (await program.RunAsync("run", "--dry-run")).Code.ShouldBe(0);
        (await program.RunAsync("prune", "--dry-run")).Code.ShouldBe(0);
    }
}
