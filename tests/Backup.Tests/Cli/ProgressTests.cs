using Backup.Cli.Output;
using Shouldly;
using Xunit;

namespace Backup.Tests.Cli;

public class ProgressTests
{
    private sealed class Clock : TimeProvider
    {
        private long now = 1;
        public override long TimestampFrequency => 1000;
        public override long GetTimestamp() => now;
        public void Advance(double seconds) => now += (long)(seconds * 1000);
    }

    private readonly Clock clock = new();
    private readonly StringWriter writer = new() { NewLine = "\n" };

    [Fact]
    public void A_meter_tells_bytes_share_rate_and_time_left()
    {
        var meter = new VolumeMeter("local/data", clock);
        meter.Update(0, 400 << 20);
        clock.Advance(2);
        meter.Update(200 << 20, 400 << 20);
        meter.ToString().ShouldBe("local/data  200 MiB of 400 MiB  50 %  100 MiB/s  2.0 s left");
    }

    [Fact]
    public void A_volume_that_outgrew_its_last_snapshot_promises_nothing()
    {
        var meter = new VolumeMeter("local/data", clock);
        meter.Update(0, 100);
        clock.Advance(1);
        meter.Update(200, 100);
        meter.ToString().ShouldBe("local/data  200 B  200 B/s");
    }

    [Fact]
    public void A_stall_shows_as_a_falling_rate()
    {
        var meter = new VolumeMeter("local/data", clock);
        meter.Update(0, null);
        clock.Advance(1);
        meter.Update(100, null);
        clock.Advance(9);
        meter.ToString().ShouldBe("local/data  100 B  10 B/s");
    }

    [Fact]
    public void A_terminal_is_redrawn_at_most_five_times_a_second()
    {
        var progress = new Progress(writer, clock, live: true, () => 80);
        for (int i = 0; i < 100; i++)
        {
            progress.Update("a", i, null);
            clock.Advance(0.01);
        }
        Count("\e[2K").ShouldBeInRange(3, 5);
    }

    [Fact]
    public void A_line_of_progress_never_wraps()
    {
        var progress = new Progress(writer, clock, live: true, () => 30);
        progress.Update(new string('x', 100), 1, null);
        writer.ToString().TrimEnd('\n').Length.ShouldBe(29);
    }

    [Fact]
    public void Clearing_removes_exactly_what_was_drawn()
    {
        var progress = new Progress(writer, clock, live: true, () => 80);
        progress.Update("a", 1, null);
        progress.Update("b", 1, null);
        progress.Draw();
        writer.GetStringBuilder().Clear();
        progress.Clear();
        writer.ToString().ShouldBe("\e[1A\e[2K\e[1A\e[2K\r");
        progress.Clear();
        writer.ToString().ShouldBe("\e[1A\e[2K\e[1A\e[2K\r");
    }

    [Fact]
    public void A_journal_gets_one_line_a_minute_and_no_control_characters()
    {
        var progress = new Progress(writer, clock, live: false, () => 80);
        progress.Start("local/data");
        for (int i = 0; i < 150; i++)
        {
            progress.Update("local/data", i, null);
            clock.Advance(1);
        }
        Count("local/data").ShouldBe(2);
        writer.ToString().ShouldNotContain("\e");
    }

    private int Count(string part) => writer.ToString().Split(part).Length - 1;
}
