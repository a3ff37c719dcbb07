namespace Backup.PortainerRig.Server;

/// <summary>
/// The way to an Edge agent: opened when the agent next asks for it, closed when no request was begun for a while, whatever is streaming
/// through it (server 2.5).
/// </summary>
public sealed class EdgeTunnel(TimeSpan checkIn, TimeSpan idle)
{
    private readonly Lock _lock = new();
    private CancellationTokenSource? _open;
    private DateTimeOffset _lastActivity;
    private int _opened, _cut;

    /// <summary>The agent does not ask any more.</summary>
    public bool AgentAsleep { get; set; }

    /// <summary>How often it was opened.</summary>
    public int Opened => Volatile.Read(ref _opened);

    /// <summary>How many requests were cut because it was closed under them.</summary>
    public int Cut => Volatile.Read(ref _cut);

    private static DateTimeOffset Now => TimeProvider.System.GetUtcNow();

    /// <summary>Waits up to two check-ins for it. Null when the agent did not come; else a token that is cancelled when it closes.</summary>
    internal async Task<CancellationToken?> UseAsync(CancellationToken cancel)
    {
        DateTimeOffset from = Now;
        while (true)
        {
            lock (_lock)
                if (_open is { } open)
                {
                    _lastActivity = Now;
                    return open.Token;
                }
            // An agent that is awake comes after one check-in, however late this loop is to see it.
            if (!AgentAsleep && Now - from >= checkIn) Open();
            else if (Now - from > 2 * checkIn) return null;
            else await Task.Delay(checkIn / 20, cancel);
        }
    }

    /// <summary>The answer's head counts as well as the request (server 2.5).</summary>
    internal void Active()
    {
        lock (_lock) _lastActivity = Now;
    }

    internal void WasCut() => Interlocked.Increment(ref _cut);

    private void Open()
    {
        var open = new CancellationTokenSource();
        lock (_lock)
        {
            if (_open is not null) return;
            _open = open;
            _lastActivity = Now;
        }
        Interlocked.Increment(ref _opened);
        _ = CloseWhenIdleAsync(open);
    }

    private async Task CloseWhenIdleAsync(CancellationTokenSource open)
    {
        while (true)
        {
            await Task.Delay(idle / 20);
            lock (_lock)
            {
                if (Now - _lastActivity < idle) continue;
                _open = null;
            }
            await open.CancelAsync();
            return;
        }
    }
}
