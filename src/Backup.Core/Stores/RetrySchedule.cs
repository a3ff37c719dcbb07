namespace Backup.Stores;

/// <summary>How often and how patiently a transient failure is tried again.</summary>
/// <param name="Attempts">In all, the first one included.</param>
/// <param name="First">Delay before the second attempt; it doubles from there, and half of each delay is random.</param>
/// <param name="Longest">No single delay is longer.</param>
/// <param name="Budget">No attempt starts later than this after the first one.</param>
internal sealed record RetrySchedule(int Attempts, TimeSpan First, TimeSpan Longest, TimeSpan Budget)
{
    /// <summary>Small calls: a dead store fails within about two minutes and one call's time-out.</summary>
    internal static RetrySchedule Calls { get; } = new(5, TimeSpan.FromSeconds(0.5), TimeSpan.FromSeconds(10), TimeSpan.FromMinutes(2));

    /// <summary>Parts of an upload: hours of work hang on each, so a store may be away for some minutes.</summary>
    internal static RetrySchedule Parts { get; } = new(9, TimeSpan.FromSeconds(0.5), TimeSpan.FromSeconds(45), TimeSpan.FromMinutes(10));

    /// <summary>Runs the attempt until it succeeds, fails for good, or the schedule is used up; then the last failure passes.</summary>
    /// <param name="attempt">Gets the attempt's number, from 1.</param>
    internal async Task<T> RunAsync<T>(RunContext context, Func<int, Task<T>> attempt, CancellationToken cancel)
    {
        long start = context.Time.GetTimestamp();
        for (int number = 1; ; number++)
        {
            StoreException failure;
            try
            {
                return await attempt(number);
            }
            catch (StoreException e) when (e.Transient && number < Attempts)
            {
                failure = e;
            }
            TimeSpan delay = DelayAfter(number, context);
            if (context.Time.GetElapsedTime(start) + delay > Budget) throw failure;
            context.Events.Report(new RunEvent.Step($"{failure.Problem}; trying again ({number + 1} of {Attempts})"));
            await Task.Delay(delay, context.Time, cancel);
        }
    }

    internal Task RunAsync(RunContext context, Func<int, Task> attempt, CancellationToken cancel) =>
        RunAsync<object?>(context, async number => { await attempt(number); return null; }, cancel);

    internal TimeSpan DelayAfter(int attempt, RunContext context)
    {
        TimeSpan full = TimeSpan.FromTicks(Math.Min(Longest.Ticks, First.Ticks << Math.Min(attempt - 1, 20)));
        return full * (0.5 + context.NextFraction() / 2);
    }
}
