using Backup.Environments;
using Backup.Planning;
using Backup.Policies;
using Backup.Snapshots;
using Shouldly;
using Xunit;
using static Backup.Tests.Planning.Facts;

namespace Backup.Tests.Planning;

public sealed class SpoolForecastTests
{
    private const long GiB = 1L << 30;

    private static BackupPlan Plan(long room, params Snapshot[] known) => Planner.Plan(Policy(),
        Inventory([Volume("a"), Volume("b")], Container("app", "a:/a b:/b")), known).Within(room);

    private static Snapshot Last(string volume, double? read, double? seconds, long bytes = 10 * GiB) =>
        new("id" + volume, "local", volume, DateTimeOffset.UnixEpoch, "archive", "disk", bytes, bytes / 2, 1, "hash", "pause") { ReadSeconds = read, Seconds = seconds };

    private static SpoolForecast? Forecast(params Snapshot[] known) => Plan(long.MaxValue, known).Groups.ShouldHaveSingleItem().Spool;

    [Fact]
    public void Nothing_is_foretold_where_nothing_is_known() => Forecast().ShouldBeNull();

    [Fact]
    public void A_store_that_kept_up_leaves_little_waiting() => Forecast(Last("a", 100, 100), Last("b", 90, 90)).ShouldBe(new SpoolForecast(0, false));

    [Fact]
    public void A_slow_store_leaves_what_it_had_not_taken_by_then() =>
        Forecast(Last("a", 100, 500), Last("b", 100, 900)).ShouldBe(new SpoolForecast(16 * GiB, false));

    [Fact]
    public void Beside_a_quick_source_nothing_is_compressed_and_everything_may_wait() =>
        Forecast(Last("a", 20, 21), Last("b", 20, 21)).ShouldBe(new SpoolForecast(20 * GiB, false));

    [Fact]
    public void Of_a_snapshot_that_does_not_tell_its_times_everything_may_wait() =>
        Forecast(Last("a", null, null), Last("b", 100, 1000)).ShouldBe(new SpoolForecast(20 * GiB, false));

    [Fact]
    public void A_volume_without_a_snapshot_makes_it_the_least() => Forecast(Last("a", null, null))!.AtLeast.ShouldBeTrue();

    [Fact]
    public void What_does_not_fit_is_told_before_the_run()
    {
        Plan(20 * GiB, Last("a", null, null), Last("b", null, null)).Warnings.ShouldBeEmpty();
        PlanWarning warning = Plan(5 * GiB, Last("a", null, null), Last("b", null, null)).Warnings.ShouldHaveSingleItem();
        warning.Problem.ShouldContain("20480 MiB");
        warning.Problem.ShouldContain("5120 MiB");
        warning.Hint.ShouldContain("maxBytes");
    }
}
