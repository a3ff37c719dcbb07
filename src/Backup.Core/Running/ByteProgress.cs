namespace Backup.Running;

/// <summary>Turns byte counts, which come with every buffer, into at most five events a second.</summary>
internal sealed class ByteProgress(RunContext context, string environment, string volume, long? expected) : IProgress<long>
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(200);
    private long _last = context.Time.GetTimestamp();

    public void Report(long bytes)
    {
        long last = Interlocked.Read(ref _last);
        if (context.Time.GetElapsedTime(last) < Interval) return;
        if (Interlocked.CompareExchange(ref _last, context.Time.GetTimestamp(), last) != last) return;
        context.Events.Report(new RunEvent.VolumeProgress(environment, volume, bytes, expected));
    }
}
