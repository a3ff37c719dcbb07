using System.Globalization;
using System.Text.RegularExpressions;
using Backup.Cli.Systemd;
using Backup.Planning;
using Shouldly;
using Xunit;

namespace Backup.Tests.Systemd;

public sealed class CronToCalendarTests
{
    private static TimeZoneInfo Zone(string id) => TimeZoneInfo.FindSystemTimeZoneById(id);

    [Theory]
    [InlineData("0 3 * * *", "Asia/Shanghai", "*-*-* 03:00:00 Asia/Shanghai")]
    [InlineData("*/15 * * * *", "UTC", "*-*-* *:00/15:00 UTC")]
    [InlineData("0 9-17 * * MON-FRI", "UTC", "Mon..Fri *-*-* 09..17:00:00 UTC")]
    [InlineData("30 2 1,15 * *", "UTC", "*-*-01,15 02:30:00 UTC")]
    [InlineData("0 0 * JAN,JUL SUN", "UTC", "Sun *-01,07-* 00:00:00 UTC")]
    [InlineData("0 0 * * 7", "UTC", "Sun *-*-* 00:00:00 UTC")]
    [InlineData("0 0 * * 0,6", "UTC", "Sat,Sun *-*-* 00:00:00 UTC")]
    [InlineData("0 0 * * 5-7", "UTC", "Fri..Sun *-*-* 00:00:00 UTC")]
    [InlineData("0 0 13 * FRI", "UTC", "*-*-13 00:00:00 UTC | Fri *-*-* 00:00:00 UTC")]
    [InlineData("0 0 */2 * SUN", "UTC", "Sun *-*-01/2 00:00:00 UTC")]
    [InlineData("0 0 1-31 * FRI", "UTC", "*-*-* 00:00:00 UTC")]
    [InlineData("0 0 1 1-12 0-6", "UTC", "*-*-* 00:00:00 UTC")]
    [InlineData("7 1-23/4 * * *", "UTC", "*-*-* 01/4:07:00 UTC")]
    [InlineData("7 1-9/4 * * *", "UTC", "*-*-* 01,05,09:07:00 UTC")]
    [InlineData("@weekly", "Europe/Berlin", "Sun *-*-* 00:00:00 Europe/Berlin")]
    [InlineData("* * * * *", "UTC", "*-*-* *:*:00 UTC")]
    public void Cron_in_the_words_of_systemd(string cron, string zone, string calendar) =>
        string.Join(" | ", CronToCalendar.Translate(cron, Zone(zone))).ShouldBe(calendar);

    public static TheoryData<string, string, string> Compared => new()
    {
        { "0 3 * * *", "Asia/Shanghai", "2026-11-21 00:00:00" },
        { "0 3 * * *", "Europe/Berlin", "2026-03-26 00:00:00" },
        { "30 2 * * *", "Europe/Berlin", "2026-10-22 00:00:00" },
        { "30 1 * * *", "America/New_York", "2026-10-29 00:00:00" },
        { "15 4 * * *", "Australia/Lord_Howe", "2026-10-01 00:00:00" },
        { "30 0 * * *", "Asia/Kathmandu", "2026-10-01 00:00:00" },
        { "*/17 */5 * * *", "UTC", "2026-11-21 00:00:00" },
        { "5-50/15 0,12 * * *", "Asia/Kolkata", "2026-11-21 00:00:00" },
        { "0 9-17/2 * * MON-FRI", "Europe/London", "2026-11-21 00:00:00" },
        { "0 0 1 */3 *", "America/Sao_Paulo", "2026-11-21 00:00:00" },
        { "0 0 31 * *", "UTC", "2026-11-21 00:00:00" },
        { "0 0 29 2 *", "UTC", "2026-11-21 00:00:00" },
        { "0 12 */2 * SUN", "UTC", "2026-11-21 00:00:00" },
        { "0 12 */10 * *", "UTC", "2026-11-21 00:00:00" },
        { "45 23 * * 0,3", "Pacific/Auckland", "2026-11-21 00:00:00" },
        { "0 0 * * FRI-SUN", "UTC", "2026-11-21 00:00:00" },
        { "0 0 * DEC *", "UTC", "2026-11-21 00:00:00" },
        { "@monthly", "Asia/Shanghai", "2026-11-21 00:00:00" },
        { "0 0 13 * FRI", "UTC", "2026-11-21 00:00:00" },
        { "30 5 1,15 * MON", "Europe/Berlin", "2026-11-21 00:00:00" },
    };

    [Theory(Timeout = 60_000)]
    [MemberData(nameof(Compared))]
    public async Task systemd_itself_computes_the_same_times(string cron, string zone, string start)
    {
        if (!Analyze.Available()) return;
        const int Count = 12;
        var theirs = new SortedSet<DateTimeOffset>();
        foreach (string calendar in CronToCalendar.Translate(cron, Zone(zone)))
        {
            (int code, string output) = await Analyze.RunAsync("calendar", $"--iterations={Count}", $"--base-time={start} UTC", calendar);
            code.ShouldBe(0, output);
            foreach (Match m in Regex.Matches(output, @"\w{3} (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC\s*$", RegexOptions.Multiline))
                theirs.Add(DateTimeOffset.ParseExact(m.Groups[1].Value, "yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal));
        }
        theirs.Count.ShouldBeGreaterThanOrEqualTo(Count);
        CronSchedule schedule = CronSchedule.Parse(cron, Zone(zone));
        DateTimeOffset time = DateTimeOffset.ParseExact(start, "yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal);
        foreach (DateTimeOffset their in theirs.Take(Count))
        {
            time = schedule.Next(time);
            time.ShouldBe(their);
        }
    }

    [Fact(Timeout = 120_000)]
    public async Task Fifty_random_expressions_mean_the_same_to_systemd()
    {
        if (!Analyze.Available()) return;
        var chance = new Random(11);
        string Field(int low, int high) => chance.Next(6) switch
        {
            0 or 1 => "*",
            2 => $"{chance.Next(low, high + 1)}",
            3 => $"*/{chance.Next(2, Math.Max(3, high / 2))}",
            4 => $"{chance.Next(low, low + 3)},{chance.Next(low + 3, high + 1)}",
            _ => $"{low + 1}-{high - 1}/{chance.Next(1, 4)}",
        };
        for (int i = 0; i < 50; i++)
        {
            string cron = $"{Field(0, 59)} {Field(0, 23)} {Field(1, 28)} {Field(1, 12)} {Field(0, 6)}";
            await systemd_itself_computes_the_same_times(cron, "UTC", "2026-11-21 00:00:00");
        }
    }
}
