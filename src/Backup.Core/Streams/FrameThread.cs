using System.Collections.Concurrent;

namespace Backup.Streams;

/// <summary>
/// Threads of their own for the stages that burn processor time: on the thread pool they would keep the sockets' continuations waiting for
/// milliseconds at a time, and on two cores that starves the very source they feed on.
/// </summary>
internal sealed class FrameThread : IDisposable
{
    private readonly BlockingCollection<Frame> _queue = [];
    private readonly Thread[] _threads;

    /// <param name="work">Called on each thread once; consumes the queue to its end and must not throw.</param>
    internal FrameThread(string name, int threads, Action<IEnumerable<Frame>> work)
    {
        _threads = new Thread[threads];
        for (int i = 0; i < threads; i++)
        {
            _threads[i] = new Thread(() => work(_queue.GetConsumingEnumerable()), 256 << 10) { IsBackground = true, Name = name };
            _threads[i].Start();
        }
    }

    internal void Add(Frame frame) => _queue.Add(frame);

    /// <summary>No more frames will come.</summary>
    internal void Finish() => _queue.CompleteAdding();

    /// <summary>Lets the threads finish what is queued and waits for them.</summary>
    public void Dispose()
    {
        _queue.CompleteAdding();
        foreach (Thread thread in _threads) thread.Join();
        _queue.Dispose();
    }
}
