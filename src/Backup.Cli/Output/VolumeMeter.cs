namespace Backup.Cli.Output;

/// <summary>How far one volume is: bytes, the rate of the last seconds, the time left.</summary>
internal sealed class VolumeMeter(string name, TimeProvider time)
{
    private static readonly TimeSpan Window = TimeSpan.FromSeconds(10);
    private readonly Queue<(long At, long Bytes)> samples = new();
    private long bytes;
    private long? expected;

    public bool Complete => expected is { } all && bytes >= all;

    public void Update(long now, long? of)
    {
        bytes = now;
        expected = of;
        long at = time.GetTimestamp();
        while (samples.Count > 1 && time.GetElapsedTime(samples.Peek().At, at) > Window) samples.Dequeue();
        // A sample each quarter second is enough for the rate and bounds the queue.
        if (samples.Count == 0 || time.GetElapsedTime(samples.Last().At, at).TotalSeconds >= 0.25) samples.Enqueue((at, now));
    }

    /// <summary>Such as <c>local/data  1.2 GiB of 3.0 GiB  40 %  120 MiB/s  15 s left</c>.</summary>
    public override string ToString()
    {
        var parts = new List<string> { Text.Plain(name) };
        // A volume may have outgrown its last snapshot: then the expectation says nothing any more.
        bool known = expected is > 0 && bytes <= expected;
        parts.Add(known ? $"{Text.Size(bytes)} of {Text.Size(expected!.Value)}" : Text.Size(bytes));
        if (known) parts.Add($"{100 * bytes / expected!.Value} %");
        if (Rate() is { } rate)
        {
            parts.Add($"{Text.Size((long)rate)}/s");
            if (known && rate >= 1) parts.Add($"{Text.Duration((expected!.Value - bytes) / rate)} left");
        }
        return string.Join("  ", parts);
    }

    private double? Rate()
    {
        if (samples.Count == 0) return null;
        (long at, long from) = samples.Peek();
        double seconds = time.GetElapsedTime(at).TotalSeconds;
        return seconds < 0.5 ? null : Math.Max(0, (bytes - from) / seconds);
    }
}
