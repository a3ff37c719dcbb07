using Backup.Planning;
using Shouldly;
using Xunit;

namespace Backup.Tests.Planning;

public sealed class CronScheduleTests
{
    private static CronSchedule In(string zone, string cron) => CronSchedule.Parse(cron, TimeZoneInfo.FindSystemTimeZoneById(zone));
    private static DateTimeOffset At(string text) => DateTimeOffset.Parse(text, System.Globalization.CultureInfo.InvariantCulture);

    [Theory]
    [InlineData("Asia/Shanghai", "0 3 * * *", "2026-11-20T18:59:59Z", "2026-11-21T03:00:00+08:00")]
    [InlineData("Asia/Shanghai", "0 3 * * *", "2026-11-20T19:00:00Z", "2026-11-22T03:00:00+08:00")]
    // Spring forward: 02:30 does not exist on 29 March 2026 in Berlin; 03:00 summer time is the first instant after the gap.
    [InlineData("Europe/Berlin", "30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-29T03:00:00+02:00")]
    [InlineData("Europe/Berlin", "30 2 * * *", "2026-03-29T01:00:00Z", "2026-03-30T02:30:00+02:00")]
    [InlineData("Europe/Berlin", "15,30,45 2 * * *", "2026-03-29T01:00:00Z", "2026-03-30T02:15:00+02:00")]
    [InlineData("Europe/Berlin", "0 3 * * *", "2026-03-28T12:00:00Z", "2026-03-29T03:00:00+02:00")]
    // Fall back: 02:30 comes twice on 25 October 2026; only the first one counts.
    [InlineData("Europe/Berlin", "30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T02:30:00+02:00")]
    [InlineData("Europe/Berlin", "30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-26T02:30:00+01:00")]
    [InlineData("America/New_York", "30 1 * * *", "2026-11-01T05:30:00Z", "2026-11-02T01:30:00-05:00")]
    // Half an hour of daylight saving.
    [InlineData("Australia/Lord_Howe", "15 2 * * *", "2026-10-03T12:00:00Z", "2026-10-04T02:30:00+11:00")]
    public void The_next_occurrence_knows_the_zone(string zone, string cron, string after, string expected) =>
        In(zone, cron).Next(At(after)).ShouldBe(At(expected));

    [Theory]
    [InlineData("Europe/Berlin", "30 2 * * *", "2026-03-29T01:00:00Z", "2026-03-29T03:00:00+02:00")]
    [InlineData("Europe/Berlin", "30 2 * * *", "2026-03-29T00:59:59Z", "2026-03-28T02:30:00+01:00")]
    [InlineData("Europe/Berlin", "30 2 * * *", "2026-10-25T00:29:59Z", "2026-10-24T02:30:00+02:00")]
    [InlineData("Europe/Berlin", "30 2 * * *", "2026-10-25T01:10:00Z", "2026-10-25T02:30:00+02:00")]
    [InlineData("Europe/Berlin", "30 2 * * *", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00+02:00")]
    [InlineData("UTC", "0 0 * * SUN", "2026-11-21T22:00:00Z", "2026-11-15T00:00:00Z")]
    [InlineData("UTC", "0 0 29 2 *", "2027-01-01T00:00:00Z", "2024-02-29T00:00:00Z")]
    public void The_slot_of_an_instant_is_the_last_occurrence(string zone, string cron, string instant, string expected) =>
        In(zone, cron).SlotOf(At(instant)).ShouldBe(At(expected));

    [Theory]
    [InlineData("Europe/Berlin", "*/10 * * * *")]
    [InlineData("Europe/Berlin", "30 2 * * *")]
    [InlineData("Europe/Berlin", "0 */2 * * SAT,SUN")]
    [InlineData("America/New_York", "15,45 1-2 * * *")]
    [InlineData("Australia/Lord_Howe", "*/15 1-2 * * *")]
    [InlineData("America/Sao_Paulo", "0 0 1 * *")]
    [InlineData("Asia/Kathmandu", "5 4 * * *")]
    public void Next_and_slot_are_each_others_inverse(string zone, string cron)
    {
        CronSchedule schedule = In(zone, cron);
        var chance = new Random(7);
        DateTimeOffset start = At("2026-01-01T00:00:00Z");
        for (int i = 0; i < 3000; i++)
        {
            // A third of the instants lies in the night of a change of the clocks.
            DateTimeOffset instant = i % 3 == 0 ? At("2026-03-29T00:00:00Z").AddDays(i % 2 == 0 ? 0 : 210).AddMinutes(chance.Next(360)) : start.AddMinutes(chance.Next(525_600 * 2));
            DateTimeOffset slot = schedule.SlotOf(instant), next = schedule.Next(instant);
            slot.ShouldBeLessThanOrEqualTo(instant);
            next.ShouldBeGreaterThan(instant);
            schedule.Next(slot).ShouldBe(next);
            schedule.SlotOf(next).ShouldBe(next);
            schedule.Previous(next).ShouldBe(slot);
        }
    }

    [Fact]
    public void A_skipped_time_comes_exactly_once_and_a_repeated_one_too()
    {
        CronSchedule schedule = In("Europe/Berlin", "30 2 * * *");
        var days = new List<DateTimeOffset>();
        for (DateTimeOffset t = At("2026-01-01T00:00:00Z"); (t = schedule.Next(t)) < At("2027-01-01T00:00:00Z");) days.Add(t);
        days.Count.ShouldBe(365);
        days.Select(d => d.Date).Distinct().Count().ShouldBe(365);
    }
}
