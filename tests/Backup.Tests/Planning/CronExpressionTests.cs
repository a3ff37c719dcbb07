using Backup.Planning;
using NCrontab;
using Shouldly;
using Xunit;

namespace Backup.Tests.Planning;

public sealed class CronExpressionTests
{
    [Theory]
    [InlineData("0 3 * *", "instead of five")]
    [InlineData("0 3 * * * *", "instead of five")]
    [InlineData("", "instead of five")]
    [InlineData("60 3 * * *", "\"60\" is no minute")]
    [InlineData("0 24 * * *", "is no hour")]
    [InlineData("0 0 0 * *", "is no day of month")]
    [InlineData("0 0 * 13 *", "is no month")]
    [InlineData("0 0 * * 8", "is no day of week")]
    [InlineData("0 0 * * FOO", "SUN to SAT")]
    [InlineData("0 0 * * *x", "is no day of week")]
    [InlineData("5-1 0 * * *", "runs backwards")]
    [InlineData("*/0 0 * * *", "is no step")]
    [InlineData("1,,2 0 * * *", "is no minute")]
    [InlineData("-1 0 * * *", "is no minute")]
    [InlineData("0 0 31 2 *", "never comes")]
    [InlineData("0 0 31 APR,JUN *", "never comes")]
    [InlineData("@reboot", "not a time")]
    [InlineData("@never", "instead of five")]
    public void What_is_no_cron_expression_is_refused_in_words(string text, string words)
    {
        CronExpression.TryParse(text, out _, out string? problem).ShouldBeFalse();
        problem!.ShouldContain(words);
    }

    [Theory]
    [InlineData("0 0 * * 7", "0")]
    [InlineData("0 0 * * 5-7", "0,5,6")]
    [InlineData("0 0 * * FRI-SUN", "0,5,6")]
    [InlineData("0 0 * * sun", "0")]
    [InlineData("0 0 * * MON-FRI", "1,2,3,4,5")]
    [InlineData("0 0 * * */2", "0,2,4,6")]
    [InlineData("0 0 * * 1/2", "1,3,5")]
    [InlineData("0 0 * * *", "0,1,2,3,4,5,6")]
    public void Days_of_the_week_are_understood(string text, string days) =>
        string.Join(",", CronExpression.Parse(text).Weekday.Values).ShouldBe(days);

    [Theory]
    [InlineData("@hourly", "0 * * * *")]
    [InlineData("@daily", "0 0 * * *")]
    [InlineData("@WEEKLY", "0 0 * * 0")]
    [InlineData("@monthly", "0 0 1 * *")]
    [InlineData("@yearly", "0 0 1 1 *")]
    public void Shorthands_mean_their_five_fields(string shorthand, string fields)
    {
        var start = new DateTime(2026, 2, 3, 4, 5, 6);
        CronExpression.Parse(shorthand).After(start).ShouldBe(CronExpression.Parse(fields).After(start));
    }

    [Fact]
    public void Two_restricted_day_fields_match_either_one_as_cron_does()
    {
        CronExpression cron = CronExpression.Parse("0 0 13 * FRI");
        var found = new List<int>();
        for (DateTime t = new(2026, 11, 1); cron.After(t) is { } next && next.Month == 11; t = next) found.Add(next.Day);
        found.ShouldBe([6, 13, 20, 27]);
        cron.After(new DateTime(2026, 12, 11)).ShouldBe(new DateTime(2026, 12, 13));
    }

    [Fact]
    public void A_starred_day_field_is_no_alternative()
    {
        // Vixie cron: */2 begins with a star, so that both fields must match.
        CronExpression.Parse("0 0 */2 * SUN").After(new DateTime(2026, 11, 1)).ShouldBe(new DateTime(2026, 11, 15));
    }

    [Fact]
    public void A_leap_day_is_found_across_a_century_without_one() =>
        CronExpression.Parse("0 0 29 2 *").After(new DateTime(2096, 3, 1)).ShouldBe(new DateTime(2104, 2, 29));

    [Fact]
    public void Two_thousand_random_expressions_agree_with_an_independent_implementation()
    {
        var chance = new Random(20261121);
        string Field(int low, int high) => chance.Next(5) switch
        {
            0 or 1 => "*",
            2 => chance.Next(low, high + 1).ToString(),
            3 => $"*/{chance.Next(1, high)}",
            _ => Range(low, high),
        };
        string Range(int low, int high)
        {
            int a = chance.Next(low, high + 1), b = chance.Next(a, high + 1);
            return $"{a}-{b}";
        }
        int compared = 0;
        while (compared < 2000)
        {
            // The other library joins the two day fields by AND, so one of them stays open.
            bool week = chance.Next(2) == 0;
            string text = $"{Field(0, 59)} {Field(0, 23)} {(week ? "*" : Field(1, 28))} {Field(1, 12)} {(week ? Field(0, 6) : "*")}";
            CronExpression mine = CronExpression.Parse(text);
            CrontabSchedule other = CrontabSchedule.Parse(text);
            DateTime time = new DateTime(2026, 1, 1).AddMinutes(chance.Next(2_000_000));
            for (int i = 0; i < 3; i++)
            {
                DateTime next = other.GetNextOccurrence(time);
                mine.After(time).ShouldBe(next, text);
                mine.AtOrBefore(next).ShouldBe(next, text);
                DateTime before = mine.AtOrBefore(next.AddMinutes(-1))!.Value;
                mine.After(before).ShouldBe(next, text);
                time = next;
            }
            compared++;
        }
    }
}
