using Backup.Streams;
using Shouldly;
using Xunit;

namespace Backup.Tests.Streams;

/// <summary>What is done while containers are held, and what has to come in the order of the tar.</summary>
public sealed class FrameScheduleTests : IDisposable
{
    private readonly FramePress _press = FramePress.Open(frameSize: 16, spool: null);

    public void Dispose() => _press.Close();

    private FrameLane Lane(FrameSchedule schedule)
    {
        var lane = new FrameLane(_press, 3, _ => { }, _ => { });
        schedule.Enter(lane);
        return lane;
    }

    /// <summary>A frame that was read and inspected.</summary>
    private static LaneFrame Inspected(FrameSchedule schedule, FrameLane lane, int number, bool away = false, bool digested = false)
    {
        schedule.TakeBuffer();
        var frame = new LaneFrame(lane, number, new byte[16], 16);
        schedule.Filled(frame);
        schedule.NextToInspect().ShouldBe(frame);
        if (digested) lane.Digested++;
        frame.Stage = FrameStage.Inspected;
        if (away)
        {
            frame.Buffer = null;
            schedule.GiveBuffer();
        }
        schedule.Waits(frame);
        return frame;
    }

    /// <summary>A packing thread begins, and is at the digest.</summary>
    private static void BeginsDigest(FrameSchedule schedule, LaneFrame frame)
    {
        FrameSchedule.IsNextToDigest(frame).ShouldBeTrue();
        schedule.Begins(frame);
        schedule.BeginsPacking(frame.Lane);
        frame.Lane.Digesting = true;
    }

    private static void EndsDigest(LaneFrame frame)
    {
        frame.Lane.Digested++;
        frame.Lane.Digesting = false;
    }

    [Fact]
    public void Beside_a_quick_source_two_cores_do_nothing_that_can_wait()
    {
        var schedule = new FrameSchedule(buffers: 6, elastic: true, spareCores: 0);
        FrameLane lane = Lane(schedule);
        LaneFrame first = Inspected(schedule, lane, 0);
        schedule.DigestsBeside(first).ShouldBeFalse();
        schedule.NextToPack().ShouldBeNull();

        lane.Reading = false;
        schedule.NextToPack().ShouldBe(first);
    }

    [Fact]
    public void A_full_spool_makes_the_reader_wait_so_the_work_is_done()
    {
        var schedule = new FrameSchedule(buffers: 6, elastic: true, spareCores: 0) { SpoolIsFull = true };
        LaneFrame first = Inspected(schedule, Lane(schedule), 0);
        schedule.DigestsBeside(first).ShouldBeTrue();
        schedule.NextToPack().ShouldBe(first);
    }

    [Fact]
    public void What_was_not_digested_is_packed_in_the_order_of_the_tar_one_digest_at_a_time()
    {
        var schedule = new FrameSchedule(buffers: 6, elastic: true, spareCores: 0);
        FrameLane lane = Lane(schedule);
        LaneFrame[] frames = [Inspected(schedule, lane, 0), Inspected(schedule, lane, 1), Inspected(schedule, lane, 2, away: true), Inspected(schedule, lane, 3)];
        lane.Reading = false;
        for (int i = 0; i < frames.Length; i++)
        {
            schedule.NextToPack().ShouldBe(frames[i], "although the last one is in memory and the one before it is not");
            BeginsDigest(schedule, frames[i]);
            schedule.NextToPack().ShouldBeNull("it would have to be digested");
            EndsDigest(frames[i]);
            schedule.EndsPacking(lane);
        }
    }

    [Fact]
    public void With_cores_to_spare_the_digest_follows_the_inspection_and_what_is_in_memory_is_packed_first()
    {
        var schedule = new FrameSchedule(buffers: 1, elastic: true, spareCores: 1);
        FrameLane lane = Lane(schedule);
        schedule.DigestsBeside(new LaneFrame(lane, 0, [], 0)).ShouldBeTrue();
        Inspected(schedule, lane, 0, away: true, digested: true);
        LaneFrame second = Inspected(schedule, lane, 1, digested: true);
        schedule.Free.ShouldBe(0);
        schedule.NextToPack().ShouldBe(second);
    }

    [Fact]
    public void What_has_to_wait_for_the_spool_does_not_keep_the_next_tar_waiting()
    {
        var schedule = new FrameSchedule(buffers: 2, elastic: true, spareCores: 1);
        FrameLane one = Lane(schedule), two = Lane(schedule);
        Inspected(schedule, one, 0, away: true);
        Inspected(schedule, one, 1);
        LaneFrame next = Inspected(schedule, two, 0);
        schedule.Free.ShouldBe(0);
        schedule.NextToPack().ShouldBe(next);
    }

    [Fact]
    public void A_digest_that_fell_behind_is_not_overtaken()
    {
        var schedule = new FrameSchedule(buffers: 6, elastic: true, spareCores: 1);
        FrameLane lane = Lane(schedule);
        LaneFrame first = Inspected(schedule, lane, 0), second = Inspected(schedule, lane, 1);
        schedule.DigestsBeside(second).ShouldBeFalse();
        schedule.NextToPack().ShouldBe(first);
    }
}
