namespace Backup.Streams;

/// <summary>
/// Threads of their own for the stages that burn processor time: on the thread pool they would keep the sockets' continuations waiting for
/// milliseconds at a time, and on two cores that starves the very source they feed on. Waiting is by monitor, which does not spin: the ready-made
/// blocking queues yield the processor hundreds of thousands of times in a backup of 1 GB, and the engine needs it.
/// </summary>
internal sealed class FrameThread : IDisposable
{
    private readonly Queue<Frame> _queue = new();
    private readonly Thread[] _threads;
    private bool _finished;

    /// <param name="work">Called on each thread once; consumes the queue to its end and must not throw.</param>
    internal FrameThread(string name, int threads, Action<IEnumerable<Frame>> work)
    {
        _threads = new Thread[threads];
        for (int i = 0; i < threads; i++)
        {
            _threads[i] = new Thread(() => work(Consume()), 256 << 10) { IsBackground = true, Name = name };
            _threads[i].Start();
        }
    }

    internal void Add(Frame frame)
    {
        lock (_queue)
        {
            if (_finished) throw new InvalidOperationException("no frame may follow the end");
            _queue.Enqueue(frame);
            Monitor.Pulse(_queue);
        }
    }

    /// <summary>No more frames will come.</summary>
    internal void Finish()
    {
        lock (_queue)
        {
            _finished = true;
            Monitor.PulseAll(_queue);
        }
    }

    /// <summary>Lets the threads finish what is queued and waits for them.</summary>
    public void Dispose()
    {
        Finish();
        foreach (Thread thread in _threads) thread.Join();
    }

    private IEnumerable<Frame> Consume()
    {
        while (true)
        {
            Frame? frame;
            lock (_queue)
            {
                while (!_queue.TryDequeue(out frame))
                {
                    if (_finished) yield break;
                    Monitor.Wait(_queue);
                }
            }
            yield return frame;
        }
    }
}
