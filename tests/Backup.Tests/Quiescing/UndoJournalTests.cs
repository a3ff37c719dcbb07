using Xunit;
using System.Text;
using Backup.Quiescing;
using Shouldly;

namespace Backup.Tests.Quiescing;

public sealed class UndoJournalTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("journal").FullName;
    private readonly RunContext _context = new(TimeProvider.System, System.Security.Cryptography.RandomNumberGenerator.Fill, new NoEvents());

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private string File => Path.Combine(_folder, "undo.journal");

    private UndoEntry Entry(string name, string? restore = null) =>
        new(_context.NewId(), "run1", "local", UndoKind.Unpause, new HeldContainer(name + "-id", name, "2026-01-01T00:00:00Z", "shop", name, "1"),
            null, null, DateTimeOffset.UnixEpoch, restore);

    private Task<UndoJournal> Open(TimeSpan wait = default) => UndoJournal.OpenAsync(_folder, _context, wait, CancellationToken.None);

    [Fact(Timeout = 10_000)]
    public async Task What_was_added_and_not_struck_out_is_there_after_a_crash()
    {
        UndoEntry first = Entry("db"), second = Entry("web");
        await using (UndoJournal journal = await Open())
        {
            journal.Add(first);
            journal.Add(second);
            journal.Done(first);
        }
        await using UndoJournal again = await Open();
        again.Pending.ShouldHaveSingleItem().ShouldBeEquivalentTo(second);
    }

    [Fact(Timeout = 10_000)]
    public async Task The_file_is_empty_when_everything_was_undone()
    {
        await using UndoJournal journal = await Open();
        UndoEntry entry = Entry("db");
        journal.Add(entry);
        new FileInfo(File).Length.ShouldBeGreaterThan(0);
        journal.Done(entry);
        new FileInfo(File).Length.ShouldBe(0);
    }

    [Fact(Timeout = 10_000)]
    public async Task A_second_run_is_refused_while_the_first_holds_the_journal_and_admitted_after()
    {
        UndoJournal first = await Open();
        (await Should.ThrowAsync<BackupException>(() => Open())).Kind.ShouldBe(FailureKind.Locked);
        Task<UndoJournal> waiting = Open(TimeSpan.FromSeconds(8));
        await Task.Delay(300);
        waiting.IsCompleted.ShouldBeFalse();
        await first.DisposeAsync();
        await (await waiting).DisposeAsync();
    }

    [Fact(Timeout = 10_000)]
    public async Task A_last_line_that_a_crash_cut_short_is_dropped_and_the_next_one_starts_cleanly()
    {
        UndoEntry whole = Entry("db"), later = Entry("web");
        await using (UndoJournal journal = await Open()) journal.Add(whole);
        byte[] line = await System.IO.File.ReadAllBytesAsync(File);
        for (int cut = 1; cut < line.Length; cut += 7)
        {
            await System.IO.File.WriteAllBytesAsync(File, [.. line, .. line[..cut]]);
            await using (UndoJournal journal = await Open())
            {
                journal.Pending.ShouldHaveSingleItem().Container!.Name.ShouldBe("db");
                journal.Add(later);
            }
            await using UndoJournal again = await Open();
            again.Pending.Select(e => e.Container!.Name).ShouldBe(["db", "web"]);
        }
    }

    [Fact(Timeout = 10_000)]
    public async Task A_damaged_line_in_the_middle_needs_a_person_and_is_not_overwritten()
    {
        await System.IO.File.WriteAllTextAsync(File, "{\"undo\":{\"id\":\n{}\n", Encoding.UTF8);
        BackupException refused = await Should.ThrowAsync<BackupException>(() => Open());
        refused.Kind.ShouldBe(FailureKind.NeedsPerson);
        refused.Hint.ShouldContain("by hand");
        new FileInfo(File).Length.ShouldBeGreaterThan(0);
    }

    [Fact(Timeout = 10_000)]
    public async Task A_restore_target_stays_broken_across_a_crash_until_it_is_cleared()
    {
        await using (UndoJournal journal = await Open()) journal.MarkBroken("local", "db");
        await using (UndoJournal journal = await Open())
        {
            journal.IsBroken("local", "db").ShouldBeTrue();
            journal.IsBroken("local", "other").ShouldBeFalse();
            journal.ClearBroken("local", "db");
        }
        await using UndoJournal again = await Open();
        again.IsBroken("local", "db").ShouldBeFalse();
        new FileInfo(File).Length.ShouldBe(0);
    }

    [Fact(Timeout = 10_000)]
    public async Task A_state_directory_that_cannot_be_made_names_the_cure()
    {
        await System.IO.File.WriteAllTextAsync(Path.Combine(_folder, "file"), "");
        BackupException refused = await Should.ThrowAsync<BackupException>(
            () => UndoJournal.OpenAsync(Path.Combine(_folder, "file", "state"), _context, TimeSpan.Zero, CancellationToken.None));
        refused.Hint.ShouldContain("BACKUP_STATE_DIR");
    }

    private sealed class NoEvents : IProgress<RunEvent>
    {
        public void Report(RunEvent value) { }
    }
}
