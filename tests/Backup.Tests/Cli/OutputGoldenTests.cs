using System.Text.Json;
using Backup.Cli;
using Backup.Cli.Output;
using Backup.Environments;
using Backup.Planning;
using Backup.Policies;
using Backup.Running;
using Backup.Snapshots;
using Backup.Tests.Golden;
using Backup.Tests.Planning;
using Shouldly;
using Xunit;

namespace Backup.Tests.Cli;

/// <summary>Every result as people and scripts read it, from the same records.</summary>
public class OutputGoldenTests
{
    private sealed class Clock : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => new(2026, 3, 2, 4, 0, 0, TimeSpan.Zero);
        public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.CreateCustomTimeZone("x", TimeSpan.FromHours(8), "x", "x");
        public override long GetTimestamp() => 0;
    }

    private static readonly DateTimeOffset Taken = new DateTimeOffset(2026, 3, 1, 19, 0, 7, TimeSpan.Zero).AddTicks(1234567);
    private static readonly RunFailure Failure = new("web", "pg", "the volume pg is gone", "Was it removed? Run again.", "source");
    private static readonly RunFailure Unreachable = new("far", null, "cannot reach far", "Start it.", "source");

    private static Snapshot Made(char id, string volume, double hoursAgo = 0) => new(
        new string(id, 32), "web", volume, Taken.AddHours(-hoursAgo), "archive", "disk", 3L << 30, 400 << 20, 12345, new string('f', 64), "pause");

    private static readonly RunReport Run = new(
        [new MadeSnapshot(Made('a', "data"), 0.8), new MadeSnapshot(Made('b', "bind:/srv/x"), 0)], [Failure], [new string('c', 32)], 6L << 30, 800 << 20, 200.5)
    {
        Groups =
        [
            new GroupReport("web", "shop", ["data", "uploads"], 0.8, 0.5, true,
                [new ContainerReport("db", "pause", Taken, Taken.AddSeconds(0.6), null), new ContainerReport("web", "stop", Taken, Taken.AddSeconds(0.8), "healthy")]),
            new GroupReport("web", "bind:/srv/x", ["bind:/srv/x"], 0, null, false, []),
        ],
    };

    private static PlanReport Plan()
    {
        EnvironmentPolicy policy = Facts.Policy();
        ContainerFacts web = Facts.Container("web", "data:/d"), db = Facts.Container("db", "data:/d");
        var hook = new QuiesceStep(db, QuiesceMode.Pause, [new Hook(["fsfreeze", "-f"], ["fsfreeze", "-u"], TimeSpan.FromSeconds(30))], "policy: hooks");
        var stop = new QuiesceStep(web, QuiesceMode.Stop, [], "label backup.quiesce");
        VolumePolicy limited = policy.Default with { Downtime = new DowntimePolicy(TimeSpan.FromSeconds(30), false, TimeSpan.FromSeconds(60)) };
        var data = new VolumeStep(SourceRef.Volume("data"), Facts.Volume("data"), limited, [], [hook, stop], "pause", 5 << 20, "from snapshot aaaaaaaa");
        var uploads = new VolumeStep(SourceRef.Volume("uploads"), Facts.Volume("uploads"), policy.Default, [], [stop], "stop", 7 << 20, "from snapshot bbbbbbbb");
        var bind = new VolumeStep(SourceRef.Bind("/srv/x"), null, policy.Default, [], [], "none", null, "no snapshot yet") { Note = "no running container writes to it" };
        var plan = new BackupPlan(
            "web", Facts.Engine,
            [new GroupStep("shop", "compose project shop", [data, uploads], [hook, stop]) { Expected = new ExpectedDowntime(0.8, true, "as in the run of 2026-03-01 19:00Z") }, new GroupStep("bind:/srv/x", "", [bind], [])],
            [new SkippedSource(SourceRef.Volume("cache"), "excluded by \"*_cache\"")],
            [new PlanWarning("pg is a database and is only paused", "Use stop or hooks.")])
        {
            Missing = [SourceRef.Volume("gone")],
        };
        return new PlanReport(
            [new EnvironmentPlan(plan, [new RetentionDecision(Made('a', "data"), true, ["among the last 3"]), new RetentionDecision(Made('d', "data", 48), false, ["nothing keeps it"])])],
            [Unreachable]);
    }

    private static RestorePlan Restore(string? directory) => new(
        Made('a', "data"),
        new SnapshotRecord(new string('a', 32), "web", "data", Taken, Facts.Volume("data"), [], Facts.Engine, new QuiesceRecord("pause", 0.8, []), "0.1.0", "r"),
        directory is null ? "web" : null,
        directory is null ? SourceRef.Volume("copy") : null,
        directory is null ? Facts.Volume("copy") : null,
        directory is null ? Plan().Environments[0].Plan.Volumes[0].Quiesce : [],
        directory is null ? "by re-creating the volume" : null,
        directory is null ? null : [new FileEntry("a/b", FileType.File, 3, 420, 0, 0, 0, null, 0, 512, null)],
        12345, 3L << 30, directory, false, ["a note"]);

    private static readonly PruneReport Pruned = new(Plan().Environments[0].Retention, ["2 objects of an unfinished run"], []);

    private static readonly SnapshotListing Listing = new(
        [Made('a', "data"), Made('b', "bind:/srv/x", 30)], [new DamagedManifest("disk", "web/x/manifest.json", "its hash is wrong")], [Unreachable]);

    private static readonly StatusReport Status = new(
        [
            new VolumeStatus("web", "data", new string('a', 32), Taken, 32392.5, Taken.AddDays(1), false) { Downtime = new DowntimeTrend(0.8, 0.75, 12) },
            new VolumeStatus("web", "late", new string('b', 32), Taken.AddDays(-3), 291592, Taken.AddDays(-2), true) { Downtime = new DowntimeTrend(0, 0, 0) },
            new VolumeStatus("web", "new", null, null, null, null, true),
        ],
        []);

    private static readonly RunEvent[] Events =
    [
        new RunEvent.EnvironmentStarted("web", 2),
        new RunEvent.VolumeSkipped("web", "cache", "excluded"),
        new RunEvent.VolumeStarted("web", "data", 5 << 20),
        new RunEvent.ContainerQuiesced("web", "db", "pause"),
        new RunEvent.VolumeProgress("web", "data", 1 << 20, 5 << 20),
        new RunEvent.ContainerResumed("web", "db", "pause", 0.8),
        new RunEvent.SnapshotMade(Made('a', "data"), 0.8, 12),
        new RunEvent.SnapshotRemoved(Made('d', "data", 48), "nothing keeps it"),
        new RunEvent.VolumeStarted("web", "new\nline", null),
        new RunEvent.VolumeFailed("web", "new\nline", "it broke", "mend it"),
        new RunEvent.Warning("odd", "look"),
        new RunEvent.Error("bad", "act"),
        new RunEvent.Step("a step"),
    ];

    private static readonly Dictionary<string, Action<IOutput>> All = new()
    {
        ["plan"] = o => o.Plan(Plan()),
        ["run"] = o => o.Report(new RunEvent.Report(Run)),
        ["run-interrupted"] = o =>
        {
            o.Report(new RunEvent.Report(Run with { Failures = [], Snapshots = [], Removed = [] }));
            o.Error("interrupted", "Nothing is lost.");
        },
        ["run-unreachable"] = o =>
        {
            o.Report(new RunEvent.Error($"{Unreachable.Environment}: {Unreachable.Problem}", Unreachable.Hint));
            o.Report(new RunEvent.EnvironmentStarted("web", 1));
            o.Report(new RunEvent.Report(Run with { Failures = [Unreachable] }));
        },
        ["run-needs-person"] = o => o.Report(new RunEvent.Report(Run with { Failures = [Failure with { NeedsPerson = true }] })),
        ["snapshots"] = o => o.Snapshots(Listing),
        ["status"] = o => o.Status(Status),
        ["verify"] = o => o.Verified(
            new VerifyReport(
                [new VerifiedSnapshot(Made('a', "data"), []), new VerifiedSnapshot(Made('b', "data"), ["frame 3 of data.tar.zst has the wrong hash"])], [], [Unreachable]), true),
        ["prune"] = o =>
        {
            o.Report(new RunEvent.SnapshotRemoved(Made('d', "data", 48), "nothing keeps it"));
            o.Pruned(Pruned, false);
        },
        ["prune-dry-run"] = o => o.Pruned(Pruned, true),
        ["prune-failed"] = o => o.Pruned(Pruned with { Failures = [new RunFailure("", null, "store 'disk': read-only", "Mount it.", "store")] }, false),
        ["recover"] = o => o.Recovered(new RecoverReport(["web: started db"], [Failure])),
        ["check"] = o => o.Checked(new CheckReport(
            [new CheckResult("store disk", true, "writable", ""), new CheckResult("environment web", false, "cannot reach web", "Start it.")])),
        ["restore"] = o => o.Restored(Restore(null), new RestoreReport(Made('a', "data"), "web/copy", 12345, 3L << 30, 61, 2.5, [], [], [])),
        ["restore-differs"] = o => o.Restored(Restore(null), new RestoreReport(Made('a', "data"), "web/copy", 12345, 3L << 30, 61, 0, ["a/b: other content"], [], [Failure])),
        ["restore-directory"] = o => o.Restored(Restore("/tmp/x"), new RestoreReport(Made('a', "data"), "/tmp/x", 1, 3, 0.1, 0, [], ["1 device was left out"], [])),
        ["restore-plan"] = o => o.RestorePlan(Restore(null), asResult: true),
        ["restore-plan-directory"] = o => o.RestorePlan(Restore("/tmp/x"), asResult: true),
        ["error"] = o => o.Error("two\nlines", "one\ncure"),
        ["events"] = o =>
        {
            foreach (RunEvent e in Events) o.Report(e);
        },
    };

    public static IEnumerable<object[]> Names => All.Keys.Select(name => new object[] { name });

    [Theory]
    [MemberData(nameof(Names))]
    public void People_read(string name)
    {
        string text = Render(name, s => new HumanOutput(s, quiet: false, verbose: true));
        text.ShouldNotContain("\e");
        GoldenFile.Check($"human-{name}.txt", text);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Scripts_read(string name)
    {
        string text = Render(name, s => new JsonOutput(s, question: name is "plan" or "snapshots" or "status" or "check" or "restore-plan" or "restore-plan-directory"));
        foreach (string line in text.Split('\n').Where(l => l.Length > 0 && !l.StartsWith("---", StringComparison.Ordinal))) JsonDocument.Parse(line).Dispose();
        GoldenFile.Check($"json-{name}.txt", text);
    }

    [Fact]
    public void Every_event_is_known_to_both()
    {
        Type[] known = [.. Events.Select(e => e.GetType()), typeof(RunEvent.Report)];
        typeof(RunEvent).GetNestedTypes().Where(t => t.IsSubclassOf(typeof(RunEvent))).Except(known).ShouldBeEmpty("add it to Events, so that its golden shows it");
    }

    [Fact]
    public void Quiet_leaves_results_warnings_and_errors()
    {
        string text = Render("events", s => new HumanOutput(s, quiet: true, verbose: false));
        text.ShouldBe("--- stdout\n--- stderr\nwarning: odd\n  hint: look\nerror: bad\n  hint: act\n");
        Render("run", s => new HumanOutput(s, quiet: true, verbose: false)).ShouldContain("2 snapshots");
    }

    [Fact]
    public void Colour_and_redrawing_are_for_terminals_that_want_them()
    {
        string live = Render("events", s => new HumanOutput(s, false, false), live: true, color: false);
        live.ShouldContain("\e[2K");
        live.ShouldNotContain("\e[3");
        Render("events", s => new HumanOutput(s, false, false), live: true, color: true).ShouldContain("\e[31merror:\e[0m bad");
    }

    private static string Render(string name, Func<Surroundings, IOutput> make, bool live = false, bool color = false)
    {
        var output = new StringWriter { NewLine = "\n" };
        var error = new StringWriter { NewLine = "\n" };
        var surroundings = new Surroundings
        {
            Out = output,
            Error = error,
            OpenOutput = () => Stream.Null,
            Live = live,
            Color = color,
            Width = () => 100,
            Variable = _ => null,
            Directory = "/",
            Root = false,
            Time = new Clock(),
        };
        using (IOutput rendering = make(surroundings)) All[name](rendering);
        return $"--- stdout\n{output}--- stderr\n{error}";
    }
}
