namespace Backup.Streams;

/// <summary>
/// Threads of their own for the stages that burn processor time: on the thread pool they would keep the sockets' continuations waiting for
/// milliseconds at a time, and on two cores that starves the very source they feed on. Waiting is by monitor, which does not spin: the ready-made
/// blocking queues yield the processor hundreds of thousands of times in a backup of 1 GB, and the engine needs it.
/// </summary>
internal sealed class WorkThreads : IDisposable
{
    private readonly object _sync = new();
    private readonly Thread[] _threads;
    private int _wanted;
    private bool _stopped;

    /// <param name="work">Called on each thread once: works off what there is whenever <see cref="Wait"/> returns true. Must not throw.</param>
    internal WorkThreads(string name, int threads, Action<WorkThreads> work)
    {
        _threads = new Thread[threads];
        for (int i = 0; i < threads; i++)
        {
            _threads[i] = new Thread(() => work(this), 256 << 10) { IsBackground = true, Name = name };
            _threads[i].Start();
        }
    }

    /// <summary>There may be work for one more thread.</summary>
    internal void Wake()
    {
        lock (_sync)
        {
            if (_wanted < _threads.Length) _wanted++;
            Monitor.Pulse(_sync);
        }
    }

    /// <summary>Waits until there may be work; false at the end.</summary>
    internal bool Wait()
    {
        lock (_sync)
        {
            while (_wanted == 0 && !_stopped) Monitor.Wait(_sync);
            if (_stopped) return false;
            _wanted--;
            return true;
        }
    }

    /// <summary>Waits for the threads.</summary>
    public void Dispose()
    {
        lock (_sync)
        {
            _stopped = true;
            Monitor.PulseAll(_sync);
        }
        foreach (Thread thread in _threads) thread.Join();
    }
}
