using Backup.Environments;
using Backup.Planning;
using Backup.Snapshots;

namespace Backup.Quiescing;

/// <param name="Restore">The restore target when it is a restore that stops its users, else null.</param>
public sealed record HoldScene(IEnvironment Environment, RunContext Context, UndoJournal Journal, string RunId, string? Restore);

/// <summary>
/// Containers that are held back together while their data is read. Each undo is in the journal, on the disk, before its step is done. Release
/// brings them back in the opposite order, exactly once, on deadlines of its own: neither a failed backup nor a signal shortens it.
/// </summary>
/// <param name="healthTimeout">How long a container that came back may take to be healthy again.</param>
/// <param name="maxDowntime">When it is over, everybody is brought back, whatever the reader does; null = no limit.</param>
public sealed class Quiescence(HoldScene scene, TimeSpan healthTimeout, TimeSpan? maxDowntime = null)
{
    private readonly Lock _gate = new();
    private readonly List<Holding> _earlier = [];
    private IReadOnlyList<Holding> _holdings = [];
    private Task? _release;
    private CancellationTokenSource _over = new();

    private IEnumerable<Holding> All => _earlier.Concat(_holdings);

    /// <summary>Cancelled when the limit is over: containers are on their way back.</summary>
    public CancellationToken Over => _over.Token;

    /// <summary>Every window that was closed so far, in the order of closing.</summary>
    public IReadOnlyList<QuiesceWindow> Windows => [.. All.SelectMany(h => h.Windows).OrderBy(w => w.Until)];

    /// <summary>Containers that could not be brought back. Their undo stays in the journal.</summary>
    public IReadOnlyList<ReleaseFailure> Failures => [.. All.SelectMany(h => h.Failures)];

    /// <summary>Somebody else brought a container back while it was held: what was read meanwhile is not of one moment.</summary>
    public IReadOnlyList<string> Disturbed => [.. _holdings.Where(h => h.Disturbed).Select(h => h.Name)];

    /// <summary>Presets whose promise could not be proved when they ended: what was read meanwhile must not become a snapshot.</summary>
    public IReadOnlyList<string> Unproved => [.. _holdings.SelectMany(h => h.Unproved)];

    /// <summary>The longest window, seconds.</summary>
    public double DowntimeSeconds => Windows.Select(w => (w.Until - w.From).TotalSeconds).DefaultIfEmpty(0).Max();

    /// <summary>
    /// First all hooks, one after the other, while everybody still runs: a command of one container may talk to another. Then whoever has no dependent
    /// left goes down, side by side. If a step fails, what was held is released before the failure is thrown; then it may be called again.
    /// </summary>
    /// <param name="cancel">Cancelled later, during the release, it only ends the waiting for health.</param>
    /// <exception cref="DowntimeExceededException">The limit was over before everybody was down.</exception>
    public async Task HoldAsync(IReadOnlyList<QuiesceStep> steps, CancellationToken cancel)
    {
        _earlier.AddRange(_holdings);
        _holdings = [.. steps.Select(s => new Holding(s, scene, healthTimeout, cancel))];
        _release = null;
        _over = maxDowntime is { } limit && steps.Count > 0 ? new CancellationTokenSource(limit, scene.Context.Time) : new CancellationTokenSource();
        _over.Token.Register(() => _ = ReleaseAsync());
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancel, _over.Token);
        Exception? failure = null;
        try
        {
            foreach (Holding holding in _holdings)
            {
                Begin(() => holding.Doing = GuardAsync(holding.RunBeforeHooksAsync(stop.Token)));
                await holding.Doing;
            }
            Begin(() =>
            {
                foreach (Holding holding in _holdings)
                {
                    Task[] dependents = [.. _holdings.TakeWhile(h => h != holding).Where(h => h.Needs(holding)).Select(h => h.Doing)];
                    holding.Doing = GuardAsync(HoldAsync(holding, dependents, stop.Token));
                }
            });
            await Task.WhenAll(_holdings.Select(h => h.Doing));
            stop.Token.ThrowIfCancellationRequested();
        }
        catch (Exception e)
        {
            await ReleaseAsync();
            Exception cause = failure ?? (e is OperationCanceledException && !cancel.IsCancellationRequested ? new DowntimeExceededException() : e);
            if (cause is BackupException && _holdings.SelectMany(h => h.Failures).FirstOrDefault() is { } first)
                throw new BackupException($"{cause.Message} — and {first.Problem}", first.Hint, FailureKind.NeedsPerson, cause);
            if (cause != e) System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(cause);
            throw;
        }

        // The first failure is the one that counts; it keeps others from beginning.
        async Task GuardAsync(Task doing)
        {
            try
            {
                await doing;
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                Interlocked.CompareExchange(ref failure, e, null);
                await stop.CancelAsync();
                throw;
            }
        }
    }

    /// <summary>Nothing begins any more once the release did: it would be left down.</summary>
    private void Begin(Action begin)
    {
        lock (_gate)
            if (_release is null) begin();
    }

    private static async Task HoldAsync(Holding holding, Task[] dependents, CancellationToken cancel)
    {
        await Task.WhenAll(dependents);
        await holding.HoldAsync(cancel);
    }

    /// <summary>Brings back everything that is still held. Never throws for the world's failures; see <see cref="Failures"/>.</summary>
    public Task ReleaseAsync()
    {
        lock (_gate) return _release ??= Task.Run(ReleaseAllAsync);
    }

    private async Task ReleaseAllAsync()
    {
        var back = new Dictionary<Holding, Task>();
        foreach (Holding holding in _holdings.Reverse()) back[holding] = ReleaseAsync(holding, back);
        await Task.WhenAll(back.Values);
        _over.CancelAfter(Timeout.InfiniteTimeSpan);
    }

    /// <summary>Waits for those alone whom it needs; who needs nobody is back at once.</summary>
    private async Task ReleaseAsync(Holding holding, Dictionary<Holding, Task> back)
    {
        List<(Task Back, Holding Need, bool Healthy)> needs = [.. back.Where(b => holding.Needs(b.Key)).Select(b => (b.Value, b.Key, holding.NeedsHealthy(b.Key)))];
        await holding.SettledAsync();
        foreach (var (done, need, healthy) in needs)
        {
            await done;
            if (healthy) await need.UntilHealthyAsync();
        }
        await holding.ReleaseAsync();
        holding.WatchHealth();
    }

    /// <summary>How those that were held are after their return. Waits, within the limit, for those with a health check.</summary>
    public async Task<IReadOnlyList<Recovery>> RecoveriesAsync()
    {
        var recoveries = new List<Recovery>();
        foreach (Holding holding in _holdings)
            if (await holding.UntilHealthyAsync() is { } recovery) recoveries.Add(recovery);
        return recoveries;
    }

    /// <summary>Those that were well when they came back, and are down by now.</summary>
    /// <param name="now">All containers.</param>
    /// <param name="asked">Those that were looked at already are left out, and those that are looked at now are added.</param>
    internal async Task<IReadOnlyList<Recovery>> LookAgainAsync(IReadOnlyList<ContainerSight> now, HashSet<string> asked, CancellationToken cancel)
    {
        var down = new List<Recovery>();
        foreach (Holding holding in _holdings.Where(h => asked.Add(h.Id)))
            if (await holding.LookAgainAsync(now, cancel) is { Problem: not null } recovery) down.Add(recovery);
        return down;
    }
}

public sealed record ReleaseFailure(string Problem, string Hint);

/// <summary>The containers were brought back before all of them were down.</summary>
public sealed class DowntimeExceededException() : BackupException(
    "Holding the containers took longer than maxDowntime allows: they were brought back before anything was read.",
    "Raise maxDowntime above the time that they need to stop, or pause them instead.");
