using System.Globalization;
using System.Text;
using Backup.Planning;
using Backup.Policies;
using Backup.Snapshots;
using Backup.Tests.Golden;
using Shouldly;
using Xunit;

namespace Backup.Tests.Planning;

public sealed class RetentionTests
{
    private static readonly DateTimeOffset Now = At("2026-11-21T12:00:00Z");

    private static DateTimeOffset At(string text) => DateTimeOffset.Parse(text, CultureInfo.InvariantCulture);
    private static TimeZoneInfo Zone(string id) => TimeZoneInfo.FindSystemTimeZoneById(id);

    private static Snapshot Taken(DateTimeOffset at, int number = 0) =>
        new(at.ToUnixTimeSeconds().ToString("x24") + number.ToString("x8"), "local", "data", at, "archive", "disk", 1, 1, 1, new string('0', 64), "pause");

    private static IReadOnlyList<Snapshot> Every(TimeSpan step, int count, DateTimeOffset? newest = null) =>
        [.. Enumerable.Range(0, count).Select(i => Taken((newest ?? Now.AddHours(-9)) - i * step))];

    private static RetentionSlot Slot(string cron, string? span = null, int? count = null) => new(cron, span is null ? null : Quantities.Span(span)!, count);

    private static readonly RetentionPolicy Documented = new(3,
        [Slot("0 0 * * *", "14d"), Slot("0 0 * * SUN", "8w"), Slot("0 0 1 * *", "12mo")], 2);

    private static string Print(IReadOnlyList<RetentionDecision> decisions)
    {
        var text = new StringBuilder();
        foreach (RetentionDecision d in decisions)
            text.Append($"{d.Snapshot.TakenAt.UtcDateTime:yyyy-MM-dd HH:mm}Z  {(d.Keep ? "keep  " : "remove")}  {string.Join("; ", d.Reasons)}\n");
        return text.ToString();
    }

    [Fact]
    public void The_documented_policy_over_a_daily_history() =>
        GoldenFile.Check("retention-documented.txt", Print(Retention.Decide(Every(TimeSpan.FromDays(1), 420), Documented, Zone("Asia/Shanghai"), Now)));

    [Fact]
    public void Counts_of_slots_over_a_six_hourly_history() =>
        GoldenFile.Check("retention-counts.txt", Print(Retention.Decide(Every(TimeSpan.FromHours(6), 120),
            new RetentionPolicy(0, [Slot("0 * * * *", count: 5), Slot("0 0 * * *", count: 7), Slot("0 0 * * MON", count: 3)], 0), TimeZoneInfo.Utc, Now)));

    [Fact]
    public void A_repeated_hour_belongs_to_one_slot_and_a_skipped_one_makes_none() =>
        GoldenFile.Check("retention-dst.txt", Print(
        [
            .. Retention.Decide(Every(TimeSpan.FromMinutes(30), 12, At("2026-10-25T03:15:00Z")),
                new RetentionPolicy(0, [Slot("0 * * * *", count: 100)], 0), Zone("Europe/Berlin"), Now),
            .. Retention.Decide(Every(TimeSpan.FromMinutes(30), 12, At("2026-03-29T03:15:00Z")),
                new RetentionPolicy(0, [Slot("30 2 * * *", count: 100)], 0), Zone("Europe/Berlin"), Now),
        ]));

    [Fact]
    public void Without_a_policy_everything_stays() =>
        Retention.Decide(Every(TimeSpan.FromDays(100), 20), null, TimeZoneInfo.Utc, Now).ShouldAllBe(d => d.Keep && d.Reasons[0].Contains("no retention"));

    [Fact]
    public void The_newest_stays_even_when_no_rule_keeps_it()
    {
        IReadOnlyList<RetentionDecision> decisions = Retention.Decide(Every(TimeSpan.FromDays(1), 3, Now.AddYears(-5)), new RetentionPolicy(0, [Slot("0 0 * * *", "1d")], 0), TimeZoneInfo.Utc, Now);
        decisions.Select(d => d.Keep).ShouldBe([true, false, false]);
        decisions[0].Reasons.ShouldBe(["the newest is never removed"]);
        decisions[1].Reasons.ShouldBe(["older than every rule"]);
    }

    [Fact]
    public void The_minimum_holds_whatever_the_age()
    {
        IReadOnlyList<RetentionDecision> decisions = Retention.Decide(Every(TimeSpan.FromDays(1), 5, Now.AddYears(-5)), new RetentionPolicy(0, [Slot("0 0 * * *", "1d")], 3), TimeZoneInfo.Utc, Now);
        decisions.Select(d => d.Keep).ShouldBe([true, true, true, false, false]);
        decisions[2].Reasons.ShouldBe(["minimum 3"]);
    }

    [Fact]
    public void A_snapshot_from_the_future_stays_and_takes_nobodys_place()
    {
        IReadOnlyList<Snapshot> past = Every(TimeSpan.FromDays(1), 4);
        IReadOnlyList<RetentionDecision> decisions = Retention.Decide([Taken(Now.AddYears(20)), .. past], new RetentionPolicy(2, [], 0), TimeZoneInfo.Utc, Now);
        decisions.Select(d => d.Keep).ShouldBe([true, true, true, false, false]);
        decisions[0].Reasons[0].ShouldContain("future");
    }

    [Fact]
    public void The_order_in_which_snapshots_are_listed_does_not_matter()
    {
        IReadOnlyList<Snapshot> snapshots = Every(TimeSpan.FromHours(7), 200);
        var shuffled = snapshots.ToArray();
        new Random(3).Shuffle(shuffled);
        Print(Retention.Decide(shuffled, Documented, TimeZoneInfo.Utc, Now)).ShouldBe(Print(Retention.Decide(snapshots, Documented, TimeZoneInfo.Utc, Now)));
    }

    [Fact]
    public void Two_snapshots_of_the_same_instant_are_two()
    {
        IReadOnlyList<RetentionDecision> decisions = Retention.Decide([Taken(Now, 1), Taken(Now, 2), Taken(Now, 3)], new RetentionPolicy(2, [], 0), TimeZoneInfo.Utc, Now);
        decisions.Count(d => d.Keep).ShouldBe(2);
    }

    [Fact]
    public void A_month_is_a_calendar_month()
    {
        DateTimeOffset now = At("2026-03-31T12:00:00Z");
        var policy = new RetentionPolicy(0, [Slot("0 0 * * *", "1mo")], 0);
        Retention.Decide([Taken(now), Taken(At("2026-02-28T12:00:00Z")), Taken(At("2026-02-27T12:00:00Z"))], policy, TimeZoneInfo.Utc, now)
            .Select(d => d.Keep).ShouldBe([true, true, false]);
    }

    public static TheoryData<int> Seeds => [.. Enumerable.Range(1, 40)];

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Whatever_the_history_retention_is_stable_and_never_resurrects(int seed)
    {
        var chance = new Random(seed);
        string[] crons = ["0 * * * *", "0 0 * * *", "30 2 * * *", "0 0 * * SUN", "0 0 1 * *", "0 0 1 1 *", "0 */6 * * *", "0 0 13 * FRI"];
        string[] spans = ["36h", "3d", "14d", "8w", "1mo", "12mo", "1y6mo"];
        TimeZoneInfo zone = Zone(new[] { "UTC", "Europe/Berlin", "America/New_York", "Asia/Shanghai", "Australia/Lord_Howe" }[chance.Next(5)]);
        var policy = new RetentionPolicy(chance.Next(4),
            [.. Enumerable.Range(0, chance.Next(4)).Select(_ => chance.Next(2) == 0 ? Slot(crons[chance.Next(crons.Length)], spans[chance.Next(spans.Length)]) : Slot(crons[chance.Next(crons.Length)], count: chance.Next(1, 9)))],
            chance.Next(4));
        // Some of them lie in the future of the first decision.
        List<Snapshot> left = [.. Enumerable.Range(0, 150).Select(i => Taken(Now.AddMinutes(-chance.Next(600_000) + 20_000), i))];
        var everRemoved = new HashSet<string>();
        IReadOnlyList<Snapshot> all = [.. left];
        DateTimeOffset now = Now;
        for (int day = 0; day < 60; day++, now = now.AddDays(1 + chance.Next(3)))
        {
            IReadOnlyList<RetentionDecision> decisions = Retention.Decide(left, policy, zone, now);
            decisions.Count.ShouldBe(left.Count);
            decisions.ShouldAllBe(d => d.Reasons.Count > 0);
            decisions.First(d => d.Snapshot.TakenAt <= now).Keep.ShouldBeTrue("the newest must stay");
            decisions.Count(d => d.Keep).ShouldBeGreaterThanOrEqualTo(Math.Min(left.Count, Math.Max(1, Math.Max(policy.Minimum, policy.KeepLast))));

            List<Snapshot> kept = [.. decisions.Where(d => d.Keep).Select(d => d.Snapshot)];
            Retention.Decide(kept, policy, zone, now).ShouldAllBe(d => d.Keep);
            everRemoved.UnionWith(decisions.Where(d => !d.Keep).Select(d => d.Snapshot.Id));
            // Judged with nothing ever deleted, what was once removable stays so.
            Retention.Decide(all, policy, zone, now).Where(d => d.Keep).Select(d => d.Snapshot.Id).ShouldNotContain(id => everRemoved.Contains(id));
            left = kept;
        }
    }

    [Fact]
    public void Ten_thousand_snapshots_are_judged_each_once()
    {
        IReadOnlyList<Snapshot> snapshots = Every(TimeSpan.FromHours(1), 10_000);
        Retention.Decide(snapshots, Documented, Zone("Europe/Berlin"), Now).Select(d => d.Snapshot.Id).Distinct().Count().ShouldBe(10_000);
    }
}
