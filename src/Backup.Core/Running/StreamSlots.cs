using System.Collections.Concurrent;
using Backup.Streams;

namespace Backup.Running;

/// <summary>
/// Bounds how many groups are read and uploaded at a time, however many environments there are. Each has a share of the spool for itself: containers
/// that are held for one wait for nothing of another's.
/// </summary>
internal sealed class StreamSlots : IDisposable
{
    private readonly SemaphoreSlim _free;
    private readonly ConcurrentBag<Spool?> _spools;
    private readonly Spool?[] _shares;

    /// <param name="spool">Stays the caller's; null = there is none.</param>
    internal StreamSlots(int count, Spool? spool)
    {
        _free = new SemaphoreSlim(count);
        _shares = [.. Enumerable.Range(0, count).Select(_ => count == 1 ? spool : spool?.ShareOf(count))];
        _spools = [.. _shares];
        if (count == 1) _shares = [];
    }

    internal async Task UseAsync(Func<Spool?, Task> work, CancellationToken cancel)
    {
        await _free.WaitAsync(cancel);
        _spools.TryTake(out Spool? spool);
        try
        {
            await work(spool);
        }
        finally
        {
            _spools.Add(spool);
            _free.Release();
        }
    }

    public void Dispose()
    {
        foreach (Spool? share in _shares) share?.Dispose();
        _free.Dispose();
    }
}
