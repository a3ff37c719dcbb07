using Backup.Environments;
using Backup.Policies;
using Backup.Quiescing;
using Backup.Running;
using Backup.Snapshots;
using Backup.Snapshots.Archive;
using Backup.Streams;
using Backup.Tests.Environments;
using Backup.Tests.Fakes;
using Shouldly;

namespace Backup.Tests;

public enum SweepFault
{
    FailsBefore,
    FailsAfter,
    DiesBefore,
    DiesAfter,
}

public enum SweepScene
{
    /// <summary>Two volumes, each alone: one with hooks, one whose user is stopped.</summary>
    Alone,
    /// <summary>One point in time of three volumes: shared writers that are paused, stopped and hooked, one of which needs another to be healthy.</summary>
    Group,
    /// <summary>The same, and the downtime's limit is over in the middle of the read.</summary>
    Budget,
    /// <summary>A volume whose user is a Swarm service of two tasks, which is scaled to 0.</summary>
    Swarm,
}

/// <summary>
/// One engine and one store that outlive the "processes" working on them. Every call of both is counted in one row; one of them can fail, or be the
/// moment at which the process dies: from then on nothing of it reaches engine or store any more.
/// </summary>
internal sealed class CrashWorld : IAsyncDisposable
{
    // Each of the sweep's many runs fsyncs its journal: not on a disk.
    private readonly string _state = Directory.CreateDirectory(Path.Combine(Directory.Exists("/dev/shm") ? "/dev/shm" : Path.GetTempPath(), "sweep-" + Path.GetRandomFileName())).FullName;
    private readonly SweepTime _time = new();
    private readonly RecordingContext _events;
    private const int Tasks = 2;
    private readonly SweepScene _scene;
    private readonly string? _service;
    private readonly Dictionary<string, string> _states;
    private readonly MemoryObjectStore _objects = new();
    private TaskCompletionSource _locked = new(), _released = new();
    private int _calls;
    private int _at;
    private SweepFault _kind;

    internal CrashWorld(SweepScene scene = SweepScene.Alone)
    {
        _scene = scene;
        _events = new RecordingContext(_time);
        Engine = new FakeEnvironment("local", _events.Run) { HasShellImage = true };
        Engine.AddVolume("db", new TarItem("table", Content: "rows"), new TarItem("log", Content: new string('x', 5000)));
        Engine.AddVolume("web", new TarItem("index.html", Content: "hello"));
        switch (scene)
        {
            case SweepScene.Alone: AddStrangers(); break;
            case SweepScene.Swarm: _service = Engine.AddService("shop_web", Tasks, new Dictionary<string, string> { ["backup.quiesce"] = "stop" }, mounts: "web:/www"); break;
            default: AddProject(); break;
        }
        _states = Engine.Containers.ToDictionary(c => c.Id, c => c.State);
        Engine.Fault = EnvironmentFault;
    }

    private void AddStrangers()
    {
        Engine.AddContainer("shop-db", mounts: "db:/data", labels: new Dictionary<string, string> { ["backup.before"] = "flush", ["backup.after"] = "unflush" });
        Engine.AddContainer("shop-web", mounts: "web:/www", labels: new Dictionary<string, string> { ["backup.quiesce"] = "stop" });
        Engine.AddContainer("shop-old", "exited", mounts: "web:/www");
        Engine.AddVolume("cache", new TarItem("dump.rdb", Content: "REDIS…"));
        Engine.AddContainer("redis", mounts: "cache:/data", labels: new Dictionary<string, string> { ["backup.dump"] = "true" });
        Engine.AddVolume("books", new TarItem("ibdata1", Content: "pages"));
        Engine.AddContainer("mariadb", mounts: "books:/var/lib/mysql");
        Engine.OnOpenExec = (_, _) => new FakeOutput([.. "REDIS0011"u8, .. new byte[9000], 0xFF, 1, 2, 3, 4, 5, 6, 7, 8]);
        Engine.ExecGoesOn = (_, command) => GoesOnAsync(ExecText.Name(command));
    }

    /// <summary>As the scripts do: the session goes on until it is released, and whoever waits for its lock gives up in the end.</summary>
    private Task GoesOnAsync(string script)
    {
        switch (script)
        {
            case "backup-mariadb-lock":
                _locked.TrySetResult();
                return _released.Task;
            case "backup-mariadb-await-lock":
                return Task.WhenAny(_locked.Task, Task.Delay(100));
            case "backup-mariadb-release":
                _released.TrySetResult();
                (_locked, _released) = (new TaskCompletionSource(), new TaskCompletionSource());
                break;
        }
        return Task.CompletedTask;
    }

    private void AddProject()
    {
        Engine.AddVolume("pics", new TarItem("a.png", Content: "pixels"));
        Engine.AddContainer("shop-app", mounts: ["db:/data", "pics:/pics"], labels: Labels("app", "stop", ("com.docker.compose.depends_on", "db:service_healthy:false")));
        ContainerFacts db = Engine.AddContainer("shop-db", mounts: "db:/data", labels: Labels("db", "stop", ("backup.before", "flush"), ("backup.after", "unflush")));
        Engine.Meddle(db.Id, c => c with { Health = "healthy" });
        Engine.HealthOf = _ => "healthy";
        Engine.AddContainer("shop-web", mounts: "web:/www", labels: Labels("web", "pause", ("backup.before", "drain"), ("backup.after", "open")));
        Engine.AddContainer("shop-old", "exited", mounts: "web:/www", labels: Labels("old", "pause"));

        static Dictionary<string, string> Labels(string service, string quiesce, params (string Key, string Value)[] more) =>
            more.Append(("com.docker.compose.project", "shop")).Append(("com.docker.compose.service", service)).Append(("backup.quiesce", quiesce)).ToDictionary(p => p.Item1, p => p.Item2);
    }

    /// <summary>The sources that every run makes a snapshot of.</summary>
    internal IReadOnlyList<string> Volumes => _scene == SweepScene.Alone ? ["books", "cache", "db", "dump:redis", "web"] : _scene == SweepScene.Swarm ? ["db", "web"] : ["db", "pics", "web"];

    internal FakeEnvironment Engine { get; }
    internal MemoryObjectStore Objects => _objects;
    internal int Calls => _calls;
    internal bool Hit { get; private set; }
    internal bool Dead { get; private set; }
    internal string HitPoint { get; private set; } = "";
    internal IEnumerable<RunEvent> Events => _events.Events;

    internal void Arm(int call, SweepFault kind) => (_calls, _at, _kind, Hit, Dead) = (0, call, kind, false, false);

    internal void Disarm() => (_at, Dead) = (0, false);

    internal async Task<RunReport> BackupAsync()
    {
        await using Process process = await StartAsync();
        using var spool = new Spool(_state, null, process.Context);
        return await new BackupRun(process.Context, process.Backends, "test", spool).RunAsync(new RunRequest([], []), process.Journal, default);
    }

    internal async Task<RestoreReport> RestoreAsync(string volume)
    {
        await using Process process = await StartAsync();
        var restore = new RestoreRun(process.Context, process.Backends);
        RestorePlan plan = await restore.PlanAsync(new RestoreRequest($"local/{volume}", null, null, [], null, Overwrite: true), process.Journal, default);
        return await restore.RunAsync(plan, process.Journal, default);
    }

    internal async Task<(RecoverReport Report, int StillPending)> RecoverAsync()
    {
        await using Process process = await StartAsync();
        RecoverReport report = await new RecoverRun(process.Context, process.Backends).RunAsync(process.Journal, default);
        return (report, process.Journal.Pending.Count);
    }

    /// <summary>Every listed snapshot verifies to the last byte, and after a prune nothing but listed snapshots is in the store.</summary>
    internal async Task<IReadOnlyList<Snapshot>> StoreIsSoundAsync(string because)
    {
        await using Process process = await StartAsync();
        ISnapshotStore store = process.Backends.Store("memory");
        SnapshotList list = await store.ListAsync(null, null, default);
        list.Damaged.ShouldBeEmpty(because);
        foreach (Snapshot snapshot in list.Snapshots)
            (await store.VerifyAsync(snapshot, readData: true, null, default)).ShouldBeEmpty($"{because}: a listed snapshot does not verify");
        PruneReport pruned = await new PruneRun(process.Context, process.Backends).RunAsync([], dryRun: false, TimeSpan.Zero, default);
        pruned.Failures.ShouldBeEmpty(because);
        SnapshotList left = await store.ListAsync(null, null, default);
        _objects.Keys.Count.ShouldBe(left.Snapshots.Count * 3, $"{because}: the store keeps {string.Join(", ", _objects.Keys)}");
        _objects.Unfinished.ShouldBeEmpty(because);
        return left.Snapshots;
    }

    internal void ContainersAreAsBefore(string because)
    {
        if (_service is not null) Engine.Tasks(_service).Count.ShouldBe(Tasks, because);
        foreach (ContainerFacts container in Engine.Containers.Where(c => !c.SwarmTask)) container.State.ShouldBe(_states[container.Id], $"{because}: {container.Name}");
        Engine.LiveHelpers.ShouldBe(0, $"{because}: helpers were left");
    }

    /// <summary>Somebody could write to the volume "web".</summary>
    internal bool WebRuns => _service is not null ? Engine.Tasks(_service).Count > 0 : Engine.Containers.Single(c => c.Name == "shop-web").State == "running";

    public ValueTask DisposeAsync()
    {
        Directory.Delete(_state, recursive: true);
        return ValueTask.CompletedTask;
    }

    private async Task<Process> StartAsync()
    {
        string limit = _scene == SweepScene.Budget ? $"\"maxDowntime\": \"{SweepTime.Limit.TotalMinutes}m\", \"whenExceeded\": \"keep\"," : "";
        Policy policy = PolicyFile.Parse($$"""
            { "stores": { "memory": { "type": "directory", "path": "/nowhere" } },
              "defaults": { {{limit}} "timeZone": "UTC", "retention": { "keepLast": 2 } },
              "environments": { "local": { "connect": "unix:///nowhere.sock" } } }
            """, "/etc/backup/backup.json");
        RunContext context = _events.Run;
        var store = new FaultyObjectStore(_objects, StoreFault);
        return new Process(context, new Backends(policy, _ => Engine, _ => new ArchiveSnapshotStore(store, context)),
            await UndoJournal.OpenAsync(_state, context, TimeSpan.Zero, default));
    }

    private sealed record Process(RunContext Context, Backends Backends, UndoJournal Journal) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            await Backends.DisposeAsync();
            await Journal.DisposeAsync();
        }
    }

    private Fault? StoreFault(string operation, string key)
    {
        if (!Step($"store {operation} {key}")) return Dead && !Hit ? Fault.Die("dead") : Dead ? Fault.Die("dead already") : null;
        return _kind switch
        {
            SweepFault.FailsBefore => Fault.Fail("planted"),
            SweepFault.FailsAfter => Fault.Fail("planted", FaultWhen.After),
            SweepFault.DiesBefore => Fault.Die(HitPoint),
            _ => Fault.Die(HitPoint, FaultWhen.After),
        };
    }

    private EnvironmentFault? EnvironmentFault(EnvironmentCall call)
    {
        if (!Step($"engine {call.Operation} {call.Subject}"))
            return Dead ? new EnvironmentFault.Before(new ProcessDeath("dead already"))
                : _scene == SweepScene.Budget && call is { Operation: "open", Subject: "pics" } ? new EnvironmentFault.Stalls(UntilBackAsync())
                : null;
        var failure = new EnvironmentException("local", "planted", "This fault was planted by a test.");
        return _kind switch
        {
            SweepFault.FailsBefore => new EnvironmentFault.Before(failure),
            SweepFault.FailsAfter => new EnvironmentFault.After(failure),
            SweepFault.DiesBefore => new EnvironmentFault.Before(new ProcessDeath(HitPoint)),
            _ => new EnvironmentFault.After(new ProcessDeath(HitPoint)),
        };
    }

    /// <summary>The limit is over now; the read goes on when all are back, or cannot come back.</summary>
    private async Task UntilBackAsync()
    {
        _time.LimitIsOver();
        for (int i = 0; i < 100 && Engine.Containers.Any(c => c.State != _states[c.Id]); i++) await Task.Delay(10);
    }

    /// <summary>Counts a call; true when it is the armed one.</summary>
    private bool Step(string what)
    {
        if (Dead || Interlocked.Increment(ref _calls) != _at) return false;
        HitPoint = what;
        Hit = true;
        Dead = _kind is SweepFault.DiesBefore or SweepFault.DiesAfter;
        return true;
    }

    /// <summary>Back-off pauses end at once, and the limit of the downtime is over when the test says so.</summary>
    private sealed class SweepTime : TimeProvider
    {
        internal static readonly TimeSpan Limit = TimeSpan.FromMinutes(47);
        private static readonly TimeProvider Hasty = new HastyTime();
        private readonly Lock _gate = new();
        private (TimerCallback Callback, object? State)? _limit;

        internal void LimitIsOver()
        {
            (TimerCallback Callback, object? State)? limit;
            lock (_gate) limit = _limit;
            limit?.Callback(limit.Value.State);
        }

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            if (dueTime == Limit)
                lock (_gate) _limit = (callback, state);
            return Hasty.CreateTimer(callback, state, dueTime, period);
        }
    }
}
