using Backup.Environments;

namespace Backup.Quiescing;

/// <summary>How a container is after it was brought back.</summary>
/// <param name="Health">healthy, starting or unhealthy; null without a health check, and when it is gone or could not be asked.</param>
/// <param name="Problem">Why it is not as it was before; null when it is, or never was well.</param>
public sealed record Recovery(string Container, string? Health, string? Problem)
{
    /// <summary>What to do about the problem.</summary>
    public string Hint { get; init; } = $"Look at its log: docker logs {Container}";

    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(500);

    /// <summary>Waits until it is healthy, or cannot become so, or the limit is over. Never throws for the world's failures.</summary>
    /// <param name="before">As it was before it was held.</param>
    /// <param name="hurry">Ends the waiting: what is known then is the answer.</param>
    internal static async Task<Recovery> WatchAsync(
        ContainerFacts before, string how, IEnvironment environment, RunContext context, TimeSpan limit, CancellationToken hurry)
    {
        long started = context.Time.GetTimestamp();
        while (true)
        {
            bool last = context.Time.GetElapsedTime(started) >= limit || hurry.IsCancellationRequested;
            try
            {
                // What somebody removed or recreated meanwhile is theirs.
                ContainerFacts? now = await environment.FindContainerAsync(before.Id, hurry);
                if (now is null) return new Recovery(before.Name, null, null);
                if (Judge(now, before, how, limit, last) is { } verdict) return verdict;
            }
            catch (EnvironmentException e)
            {
                if (last) return new Recovery(before.Name, null, $"whether {before.Name} is well again could not be asked: {e.Problem}");
            }
            catch (OperationCanceledException) when (hurry.IsCancellationRequested)
            {
                return new Recovery(before.Name, null, null);
            }
            await Task.Delay(Poll, context.Time, hurry).ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
        }
    }

    /// <summary>Once more, later: null when it is not down, or was removed by somebody.</summary>
    internal static async Task<Recovery?> LookAgainAsync(ContainerFacts before, string how, IEnvironment environment, CancellationToken cancel) =>
        await environment.FindContainerAsync(before.Id, cancel) is { State: "exited" or "dead" } now ? Ended(now, how) : null;

    /// <summary>What was only paused may come to its own good end.</summary>
    private static Recovery Ended(ContainerFacts now, string how)
    {
        string came = how == "stop" ? "was started again" : "came back";
        return new Recovery(now.Name, now.Health, now.OutOfMemory ? $"{now.Name} {came} and was killed because its memory was over"
            : how == "stop" || now.ExitCode != 0 ? $"{now.Name} {came} and ended with exit code {now.ExitCode}" : null)
        {
            Hint = $"Unless somebody stopped it: look at its log (docker logs {now.Name}) and start it (docker start {now.Name}).",
        };
    }

    /// <summary>Null = not yet known.</summary>
    private static Recovery? Judge(ContainerFacts now, ContainerFacts before, string how, TimeSpan limit, bool last)
    {
        if (now.State is "exited" or "dead") return Ended(now, how);
        if (before.Health is null)
            return now.State != "restarting" || before.State == "restarting" ? new Recovery(now.Name, now.Health, null)
                : last ? new Recovery(now.Name, now.Health, $"{now.Name} was started again and does not stay up") : null;
        if (now.Health is null or "healthy") return new Recovery(now.Name, now.Health, null);
        // What was not healthy before owes nothing.
        if (before.Health != "healthy") return new Recovery(now.Name, now.Health, null);
        return last ? new Recovery(now.Name, now.Health, $"{now.Name} is not healthy {limit.TotalSeconds:0.#} s after it came back, but {now.Health}") : null;
    }
}
