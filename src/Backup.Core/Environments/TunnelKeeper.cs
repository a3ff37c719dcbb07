namespace Backup.Environments;

/// <summary>
/// Keeps open a way that closes when no request is begun for a while, although one may be streaming through it: asks for something cheap when
/// nothing else did.
/// </summary>
internal sealed class TunnelKeeper : IDisposable
{
    private readonly CancellationTokenSource _stop = new();

    /// <param name="lastRequest">A time stamp of <paramref name="time"/>: when a request was last begun.</param>
    /// <param name="ping">May fail: whoever needs the way will be told.</param>
    internal TunnelKeeper(TimeSpan interval, TimeProvider time, Func<long> lastRequest, Func<CancellationToken, Task> ping) =>
        _ = KeepAsync(interval, time, lastRequest, ping, _stop.Token);

    private static async Task KeepAsync(TimeSpan interval, TimeProvider time, Func<long> lastRequest, Func<CancellationToken, Task> ping, CancellationToken stop)
    {
        try
        {
            while (true)
            {
                TimeSpan rest = interval - time.GetElapsedTime(lastRequest());
                if (rest > TimeSpan.Zero)
                {
                    await Task.Delay(rest, time, stop).ConfigureAwait(false);
                    continue;
                }
                try
                {
                    await ping(stop).ConfigureAwait(false);
                }
                catch (EnvironmentException)
                {
                    // Tried again after the next interval; the ping counts as a request even so.
                }
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // the end
        }
    }

    public void Dispose()
    {
        _stop.Cancel();
        _stop.Dispose();
    }
}
