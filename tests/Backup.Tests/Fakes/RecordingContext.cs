using System.Collections.Concurrent;
using System.Security.Cryptography;

namespace Backup.Tests.Fakes;

/// <summary>A run context on the real clock that keeps its events.</summary>
public sealed class RecordingContext : IProgress<RunEvent>
{
    public ConcurrentQueue<RunEvent> Events { get; } = new();
    public RunContext Run { get; }

    public RecordingContext(TimeProvider? time = null) => Run = new RunContext(time ?? TimeProvider.System, RandomNumberGenerator.Fill, this);

    public void Report(RunEvent value) => Events.Enqueue(value);
}
