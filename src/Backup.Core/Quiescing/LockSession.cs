using Backup.Environments;

namespace Backup.Quiescing;

/// <summary>
/// A command that holds a lock in a container from before the read until its hook's after ends it. Only its exit code 0 proves that the lock was
/// held all along. It ends by itself when this program dies.
/// </summary>
internal sealed class LockSession
{
    /// <summary>Its own patience ends it long before; the read that it waits for may take hours.</summary>
    private static readonly TimeSpan Longest = TimeSpan.FromDays(1);

    /// <summary>From its last word, or the end that was asked for, to its exit code.</summary>
    private static readonly TimeSpan EndMargin = TimeSpan.FromSeconds(15);

    private readonly Task<ExecResult> _running;
    private readonly TimeProvider _time;

    private LockSession(Task<ExecResult> running, TimeProvider time) => (_running, _time) = (running, time);

    internal static LockSession Begin(ContainerFacts container, IReadOnlyList<string> command, HoldScene scene)
    {
        Task<ExecResult> running = scene.Environment.ExecAsync(container.Id, command, Longest, CancellationToken.None);
        // Nobody may ask for its end any more when everything else fails.
        _ = running.ContinueWith(static task => _ = task.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
        return new LockSession(running, scene.Context.Time);
    }

    /// <summary>Whoever waited for the lock in vain knows less than the session that did not get it.</summary>
    internal async Task<ExecResult> ExplainAsync(ExecResult waiting) =>
        await EndAsync(TimeSpan.FromSeconds(1)) is { ExitCode: not 0 } end ? waiting with { Error = $"{waiting.Error.TrimEnd()}\n{end.Error}" } : waiting;

    /// <summary>Null when it held to its end.</summary>
    internal async Task<string?> WhyNotHeldAsync() => await EndAsync(EndMargin) switch
    {
        null => "the session that held the lock did not end, or the connection to it broke, so nothing proves that the lock was held",
        { ExitCode: 0 } => null,
        { } end => $"the lock was not held all along{ExecText.Reason(end.Error, end.Output)}",
    };

    /// <summary>Null when it does not end within the limit, or how it ended cannot be told.</summary>
    private async Task<ExecResult?> EndAsync(TimeSpan limit)
    {
        try
        {
            return await _running.WaitAsync(limit, _time);
        }
        catch (Exception e) when (e is TimeoutException or EnvironmentException)
        {
            return null;
        }
    }
}
