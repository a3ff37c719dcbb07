namespace Backup.Tests.Fakes;

/// <summary>The real clock, but back-off pauses of a few seconds end at once. Deadlines, which are longer, stay what they are.</summary>
public sealed class HastyTime : TimeProvider
{
    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
        System.CreateTimer(callback, state, dueTime > TimeSpan.Zero && dueTime < TimeSpan.FromSeconds(10) ? TimeSpan.FromMilliseconds(1) : dueTime, period);
}
