using Backup.Environments;
using Backup.Running;
using Backup.Snapshots;
using Backup.Tests.Fakes;
using Shouldly;
using Xunit;

namespace Backup.Tests;

/// <summary>
/// One run per fault point: each call of the engine and of the store fails, before or after it did its work, or is the last one of the process.
/// Whatever the point, the same things must hold afterwards.
/// </summary>
public sealed class CrashSweepTests
{
    public static IEnumerable<object[]> KindsAndScenes =>
        from scene in Enum.GetValues<SweepScene>() from kind in Enum.GetValues<SweepFault>() select new object[] { kind, scene };

    public static IEnumerable<object[]> KindsAndRestores =>
        from scene in new[] { SweepScene.Alone, SweepScene.Swarm } from kind in Enum.GetValues<SweepFault>() select new object[] { kind, scene };

    [Theory(Timeout = 400_000)]
    [MemberData(nameof(KindsAndScenes))]
    public async Task A_backup_leaves_no_container_down_and_no_snapshot_that_does_not_verify(SweepFault kind, SweepScene scene)
    {
        int last = await CallsOfAsync(async world =>
        {
            RunReport report = await world.BackupAsync();
            report.Failures.ShouldBeEmpty();
            report.Groups.Any(g => g.Exceeded).ShouldBe(scene == SweepScene.Budget);
        }, scene);
        last.ShouldBeGreaterThan(scene == SweepScene.Swarm ? 30 : 40);
        for (int call = 1; call <= last; call++)
        {
            await using var world = new CrashWorld(scene);
            (await world.BackupAsync()).Ok.ShouldBeTrue();
            (await world.BackupAsync()).Ok.ShouldBeTrue(); // so that retention, too, has something to do
            world.Arm(call, kind);
            Exception? thrown = await Record.ExceptionAsync(world.BackupAsync);
            world.Hit.ShouldBeTrue($"call {call} was never made");
            string because = $"{kind} at call {call}, {world.HitPoint}";
            bool died = world.Dead;
            world.Disarm();
            if (thrown is not null) (thrown is ProcessDeath or BackupException).ShouldBeTrue($"{because}: {thrown}");
            if (!died) world.ContainersAreAsBefore(because);

            (RecoverReport recovered, int pending) = await world.RecoverAsync();
            recovered.Failures.ShouldBeEmpty(because);
            pending.ShouldBe(0, because);
            world.ContainersAreAsBefore(because);
            IReadOnlyList<Snapshot> left = await world.StoreIsSoundAsync(because);
            string.Join(" ", left.Select(s => s.Volume).Distinct().Order()).ShouldBe(string.Join(" ", world.Volumes), because);

            RunReport next = await world.BackupAsync();
            next.Failures.ShouldBeEmpty($"{because}: the next run");
            next.Snapshots.Count.ShouldBe(world.Volumes.Count, because);
            world.ContainersAreAsBefore($"{because}: after the next run");
        }
    }

    [Theory(Timeout = 240_000)]
    [MemberData(nameof(KindsAndRestores))]
    public async Task A_restore_never_lets_a_container_start_on_half_a_volume_and_the_next_one_mends_it(SweepFault kind, SweepScene scene)
    {
        SourceRef web = SourceRef.Volume("web");
        int last = await CallsOfAsync(async world => (await world.RestoreAsync("web")).Ok.ShouldBeTrue(), scene);
        last.ShouldBeGreaterThan(15);
        for (int call = 1; call <= last; call++)
        {
            await using var world = new CrashWorld(scene);
            (await world.BackupAsync()).Failures.ShouldBeEmpty();
            (await world.BackupAsync()).Failures.ShouldBeEmpty();
            string whole = Text(world.Engine, web);
            world.Arm(call, kind);
            Exception? thrown = await Record.ExceptionAsync(() => world.RestoreAsync("web"));
            world.Hit.ShouldBeTrue($"call {call} was never made");
            string because = $"{kind} at call {call}, {world.HitPoint}";
            world.Disarm();
            if (thrown is not null) (thrown is ProcessDeath or BackupException).ShouldBeTrue($"{because}: {thrown}");

            bool probing = kind == SweepFault.DiesAfter && (world.HitPoint.Contains(" isEmpty ") || world.HitPoint.Contains(" planEmpty "));
            if (probing) world.Engine.LiveHelpers.ShouldBe(1, $"{because}: the helper of a plan that died is what recover has to find");
            (RecoverReport recovered, int pending) = await world.RecoverAsync();
            world.Engine.LiveHelpers.ShouldBe(0, because);
            if (world.WebRuns)
            {
                Text(world.Engine, web).ShouldBe(whole, $"{because}: the container runs on half a volume");
                recovered.Failures.ShouldBeEmpty(because);
                pending.ShouldBe(0, because);
            }
            else
            {
                recovered.Failures.ShouldContain(f => f.NeedsPerson, $"{because}: it stays down and nobody is told");
            }

            RestoreReport again = await world.RestoreAsync("web");
            again.Failures.ShouldBeEmpty(because);
            again.Differences.ShouldBeEmpty(because);
            Text(world.Engine, web).ShouldBe(whole, because);
            world.ContainersAreAsBefore($"{because}: after the second restore");
            (await world.RecoverAsync()).StillPending.ShouldBe(0, because);
        }
    }

    /// <summary>How many calls the healthy work makes.</summary>
    private static async Task<int> CallsOfAsync(Func<CrashWorld, Task> work, SweepScene scene = SweepScene.Alone)
    {
        await using var world = new CrashWorld(scene);
        await world.BackupAsync();
        await world.BackupAsync();
        world.Arm(0, SweepFault.FailsBefore);
        await work(world);
        return world.Calls;
    }

    private static string Text(FakeEnvironment engine, SourceRef source) => string.Join('\n', engine.Content(source).Select(i => $"{i.Path}={i.Content}"));
}
