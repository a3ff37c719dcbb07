using Backup.Stores;
using Backup.Tests.Fakes;
using Shouldly;
using Xunit;

namespace Backup.Tests.Stores;

public sealed class RetryingObjectStoreTests
{
    private const int Limit = 30_000;
    private static readonly RetrySchedule Quick = new(4, TimeSpan.FromMilliseconds(5), TimeSpan.FromMilliseconds(20), TimeSpan.FromSeconds(10));

    private readonly RecordingContext _context = new();

    private (FaultyObjectStore Faulty, RetryingObjectStore Store) Open(int faults, bool transient, RetrySchedule? schedule = null, RunContext? context = null)
    {
        int left = faults;
        var faulty = new FaultyObjectStore(new MemoryObjectStore(), (op, key) => Interlocked.Decrement(ref left) >= 0 ? Fault.Fail($"{op} {key} went wrong", transient: transient) : null);
        return (faulty, new RetryingObjectStore(faulty, context ?? _context.Run, schedule ?? Quick));
    }

    public static TheoryData<string, Func<IObjectStore, Task>> Calls => new()
    {
        { "create", async s => await (await s.CreateAsync("a", null, default)).DisposeAsync() },
        { "open", s => s.OpenReadAsync("a", 0, null, default) },
        { "head", s => s.HeadAsync("a", default) },
        { "delete", s => s.DeleteAsync("a", default) },
        { "abort", s => s.AbortUploadsAsync("a", default) },
        { "uploads", async s => { await foreach (UnfinishedUpload _ in s.ListUploadsAsync("a/", default)) { } } },
        { "list", async s => { await foreach (ObjectInfo _ in s.ListAsync("a/", default)) { } } },
    };

    [Theory(Timeout = Limit)]
    [MemberData(nameof(Calls))]
    public async Task A_transient_failure_of_any_call_is_tried_again_quietly(string op, Func<IObjectStore, Task> call)
    {
        (FaultyObjectStore faulty, RetryingObjectStore store) = Open(3, transient: true);
        await call(store);
        faulty.Hits.ShouldBe(3);
        faulty.Calls.Count(c => c.StartsWith(op, StringComparison.Ordinal)).ShouldBe(4);
        _context.Events.Count.ShouldBe(3);
        _context.Events.ShouldAllBe(e => e is RunEvent.Step);
    }

    [Theory(Timeout = Limit)]
    [MemberData(nameof(Calls))]
    public async Task It_ends_after_its_attempts_with_the_last_failure(string op, Func<IObjectStore, Task> call)
    {
        (FaultyObjectStore faulty, RetryingObjectStore store) = Open(100, transient: true);
        (await Should.ThrowAsync<StoreException>(() => call(store))).Problem.ShouldContain(op);
        faulty.Hits.ShouldBe(4);
    }

    [Theory(Timeout = Limit)]
    [MemberData(nameof(Calls))]
    public async Task A_lasting_failure_is_not_tried_again(string op, Func<IObjectStore, Task> call)
    {
        (FaultyObjectStore faulty, RetryingObjectStore store) = Open(100, transient: false);
        (await Should.ThrowAsync<StoreException>(() => call(store))).Problem.ShouldContain(op);
        faulty.Hits.ShouldBe(1);
    }

    [Fact(Timeout = Limit)]
    public async Task No_attempt_starts_after_the_budget_is_used_up()
    {
        var schedule = new RetrySchedule(1_000, TimeSpan.FromMilliseconds(40), TimeSpan.FromMilliseconds(40), TimeSpan.FromMilliseconds(300));
        (FaultyObjectStore faulty, RetryingObjectStore store) = Open(int.MaxValue, transient: true, schedule, new RecordingContext(new DelayTime()).Run);
        await Should.ThrowAsync<StoreException>(() => store.HeadAsync("a", default));
        faulty.Hits.ShouldBeInRange(8, 16, "each delay is 20 to 40 ms");
    }

    [Fact(Timeout = Limit)]
    public async Task Cancelling_ends_the_waiting()
    {
        var schedule = new RetrySchedule(5, TimeSpan.FromHours(1), TimeSpan.FromHours(1), TimeSpan.FromDays(1));
        (_, RetryingObjectStore store) = Open(5, transient: true, schedule);
        using var cancel = new CancellationTokenSource(TimeSpan.FromMilliseconds(50));
        await Should.ThrowAsync<OperationCanceledException>(() => store.HeadAsync("a", cancel.Token));
    }

    [Fact]
    public void Delays_double_with_chance_in_them_and_have_a_ceiling()
    {
        var schedule = new RetrySchedule(9, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(10), TimeSpan.FromHours(1));
        foreach (var (attempt, longest) in new[] { (1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (40, 10) })
            for (int i = 0; i < 50; i++)
                schedule.DelayAfter(attempt, _context.Run).TotalSeconds.ShouldBeInRange(longest / 2.0, longest);
    }

    [Fact(Timeout = Limit)]
    public async Task The_death_of_the_process_is_not_a_failure_to_try_again()
    {
        FaultyObjectStore faulty = FaultyObjectStore.OnCall(new MemoryObjectStore(), 1, point => Fault.Die(point));
        var store = new RetryingObjectStore(faulty, _context.Run, Quick);
        await Should.ThrowAsync<ProcessDeath>(() => store.HeadAsync("a", default));
        await Should.ThrowAsync<ProcessDeath>(() => store.HeadAsync("a", default));
        faulty.Hits.ShouldBe(1);
        faulty.Calls.ShouldBe(["head a"]);
    }

    /// <summary>Only delays take time here, and they end at once.</summary>
    private sealed class DelayTime : TimeProvider
    {
        private long _now;

        public override long GetTimestamp() => Volatile.Read(ref _now);
        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            if (dueTime > TimeSpan.Zero) Interlocked.Add(ref _now, dueTime.Ticks);
            return System.CreateTimer(callback, state, dueTime > TimeSpan.Zero ? TimeSpan.FromMilliseconds(1) : dueTime, period);
        }
    }
}
