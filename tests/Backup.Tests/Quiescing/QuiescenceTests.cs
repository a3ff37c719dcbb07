using Backup.Environments;
using Backup.Planning;
using Backup.Policies;
using Backup.Quiescing;
using Backup.Tests.Fakes;
using Shouldly;
using Xunit;

namespace Backup.Tests.Quiescing;

public sealed class QuiescenceTests : IDisposable
{
    private readonly string _state = Directory.CreateTempSubdirectory("backup-quiescence-").FullName;
    private readonly RecordingContext _context = new();

    public void Dispose() => Directory.Delete(_state, recursive: true);

    [Fact(Timeout = 30_000)]
    public async Task An_interruption_lets_the_before_hook_end_before_the_after_hook_undoes_it()
    {
        var engine = new FakeEnvironment("local", _context.Run);
        ContainerFacts db = engine.AddContainer("db");
        using var stop = new CancellationTokenSource();
        var happened = new List<string>();
        engine.ExecGoesOn = async (_, command) =>
        {
            happened.Add($"{command[0]} begins");
            if (command[0] == "flush")
            {
                await stop.CancelAsync();
                await Task.Delay(200);
            }
            happened.Add($"{command[0]} ends");
        };
        await using UndoJournal journal = await UndoJournal.OpenAsync(_state, _context.Run, TimeSpan.Zero, default);
        var step = new QuiesceStep(db, QuiesceMode.Pause, [new Hook(["flush"], ["unflush"], TimeSpan.FromSeconds(30))], "test");

        await Should.ThrowAsync<OperationCanceledException>(() => Quiescence.HoldAsync([step], engine, _context.Run, journal, "run", null, stop.Token));

        happened.ShouldBe(["flush begins", "flush ends", "unflush begins", "unflush ends"]);
        engine.Actions.ShouldBeEmpty("nobody is paused any more for a run that ends");
        journal.Pending.ShouldBeEmpty();
    }
}
