using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Backup.Cli;
using Backup.Environments;
using Backup.Policies;
using Backup.Quiescing;
using Backup.Running;
using Backup.Snapshots;
using Backup.Snapshots.Archive;
using Backup.Stores;
using Backup.Stores.S3;
using Backup.Streams;
using Backup.Tests.Environments;
using Backup.Tests.Stores;
using Shouldly;

namespace Backup.Tests.Running;

/// <summary>
/// A whole installation for one test: a policy written as JSON over a real engine and real stores, a state directory of its own, and the verbs, run in
/// this process with production's own classes or as the built program. Each verb opens everything afresh, as a new process would.
/// </summary>
public sealed class RunningScope : IAsyncDisposable, IProgress<RunEvent>
{
    /// <summary>The environment's name in the policy.</summary>
    public const string Local = "local";

    private readonly Clock _clock = new();
    private readonly List<IAsyncDisposable> _owned = [];

    public RunningScope(EngineFixture fixture)
    {
        Engine = fixture.NewScope();
        Folder = Engine.Folder("run");
        StorePath = Path.Combine(Folder, "store");
        State = Path.Combine(Folder, "state");
        Stores = new JsonObject { ["disk"] = new JsonObject { ["type"] = "directory", ["path"] = StorePath } };
        Defaults = new JsonObject { ["store"] = "disk", ["quiesce"] = "pause", ["timeZone"] = "UTC" };
        Environments = new JsonObject { [Local] = Environment(fixture.Url) };
    }

    public EngineScope Engine { get; }
    public string Folder { get; }
    public string StorePath { get; }
    public string State { get; set; }

    /// <summary>What the policy has beside the sections below.</summary>
    public JsonObject Root { get; } = [];

    public JsonObject Stores { get; }
    public JsonObject Defaults { get; }
    public JsonObject Environments { get; }

    public ConcurrentQueue<RunEvent> Events { get; } = new();

    /// <summary>Sees each event at once, on the thread that reports it.</summary>
    public Action<RunEvent>? On { get; set; }

    /// <summary>Stands between the snapshot format and the bytes.</summary>
    public Func<IObjectStore, IObjectStore> Wrap { get; set; } = store => store;

    /// <summary>Null = in the state directory, as production has it.</summary>
    internal Func<RunContext, Spool>? Spooling { get; set; }

    /// <summary>Null = production's deadlines and retries.</summary>
    internal S3Tuning? Tuning { get; set; }

    internal RetrySchedule? Retries { get; set; }

    public RunContext Context => new(_clock, RandomNumberGenerator.Fill, this);

    /// <summary>From here on it is so much later.</summary>
    public void Pass(TimeSpan time) => _clock.Ahead += time;

    public IEnumerable<string> Warnings => Events.OfType<RunEvent.Warning>().Select(w => w.Problem);

    // ---- the policy

    /// <summary>An environment's section that selects this scope's volumes only: the engine may be shared.</summary>
    public JsonObject Environment(string url) => new()
    {
        ["connect"] = url,
        ["volumes"] = new JsonObject { ["include"] = new JsonArray($"{Engine.Prefix}*") },
        ["rules"] = new JsonArray(),
    };

    public void Rule(string volume, string key, JsonNode value, string environment = Local) =>
        Environments[environment]!["rules"]!.AsArray().Add(new JsonObject { ["volume"] = volume, [key] = value });

    /// <summary>Adds an S3 store under a prefix of its own and makes it the default.</summary>
    public void UseS3(S3Server server, Uri? endpoint = null, string name = "s3")
    {
        S3StorePolicy policy = server.Policy();
        Stores[name] = new JsonObject
        {
            ["type"] = "s3", ["provider"] = "ceph", ["endpoint"] = (endpoint ?? server.Url).ToString().TrimEnd('/'), ["bucket"] = policy.Bucket,
            ["prefix"] = policy.Prefix, ["addressing"] = "path", ["partSize"] = "5MiB", ["region"] = "us-east-1",
            ["accessKeyId"] = $"env:{server.Variable}_KEY", ["secretAccessKey"] = $"env:{server.Variable}_SECRET",
        };
        Defaults["store"] = name;
    }

    public string PolicyPath => Path.Combine(Folder, "backup.json");

    public string WritePolicy()
    {
        var policy = (JsonObject)Root.DeepClone();
        foreach ((string key, JsonObject section) in new[] { ("stores", Stores), ("defaults", Defaults), ("environments", Environments) }) policy[key] = section.DeepClone();
        File.WriteAllText(PolicyPath, policy.ToJsonString());
        return PolicyPath;
    }

    public Backends Open()
    {
        RunContext context = Context;
        return (Wiring.Production with { Store = OpenStore }).Backends(context, PolicyFile.Load(WritePolicy()), State);
    }

    private ArchiveSnapshotStore OpenStore(StorePolicy policy, RunContext context)
    {
        IObjectStore bytes = Wrap(OpenBytes(policy, context));
        return new ArchiveSnapshotStore(Retries is null ? new RetryingObjectStore(bytes, context) : new RetryingObjectStore(bytes, context, Retries), context);
    }

    private IObjectStore OpenBytes(StorePolicy policy, RunContext context) => policy switch
    {
        DirectoryStorePolicy directory => new DirectoryObjectStore(directory, context),
        S3StorePolicy s3 => new S3ObjectStore(s3, context, Tuning ?? S3Tuning.Default),
        _ => throw new InvalidOperationException(policy.ToString()),
    };

    /// <summary>The default store's bytes, without the retries and wrappers.</summary>
    public IObjectStore Bytes()
    {
        string name = (string)Defaults["store"]!;
        IObjectStore store = OpenBytes(PolicyFile.Load(WritePolicy()).Stores.Single(s => s.Name == name), Context);
        _owned.Add(store);
        return store;
    }

    public async Task<IReadOnlyList<string>> KeysAsync()
    {
        var keys = new List<string>();
        await foreach (ObjectInfo info in Bytes().ListAsync("", default)) keys.Add(info.Key);
        keys.Sort(StringComparer.Ordinal);
        return keys;
    }

    // ---- the verbs, in this process

    public Task<UndoJournal> JournalAsync(TimeSpan wait = default) => UndoJournal.OpenAsync(State, Context, wait, default);

    public async Task<RunReport> RunAsync(CancellationToken cancel = default, params string[] environments)
    {
        await using Backends backends = Open();
        await using UndoJournal journal = await JournalAsync();
        using Spool spool = Spooling?.Invoke(Context) ?? new Spool(State, null, Context);
        return await new BackupRun(Context, backends, "0.0-test", spool).RunAsync(new RunRequest(environments, []), journal, cancel);
    }

    /// <summary>A run in which nothing goes wrong.</summary>
    public async Task<RunReport> RunWellAsync()
    {
        RunReport report = await RunAsync();
        report.Failures.ShouldBeEmpty();
        return report;
    }

    public async Task<RecoverReport> RecoverAsync()
    {
        await using Backends backends = Open();
        await using UndoJournal journal = await JournalAsync();
        return await new RecoverRun(Context, backends).RunAsync(journal, default);
    }

    public async Task<IReadOnlyList<Snapshot>> ListAsync()
    {
        await using Backends backends = Open();
        SnapshotListing listing = await new SnapshotQuery(backends).ListAsync(null, null, latest: false, default);
        listing.Failures.ShouldBeEmpty();
        return listing.Snapshots;
    }

    public async Task<VerifyReport> VerifyAsync(bool readData = true, params string[] references)
    {
        await using Backends backends = Open();
        return await new VerifyRun(Context, backends).RunAsync(references, readData, default);
    }

    /// <summary>Everything that is listed is whole; returns it.</summary>
    public async Task<IReadOnlyList<Snapshot>> AllVerifyAsync(bool readData = true)
    {
        VerifyReport report = await VerifyAsync(readData);
        report.Failures.ShouldBeEmpty();
        report.Damaged.ShouldBeEmpty();
        foreach (VerifiedSnapshot snapshot in report.Snapshots) snapshot.Problems.ShouldBeEmpty(snapshot.Snapshot.Volume);
        return [.. report.Snapshots.Select(s => s.Snapshot)];
    }

    public async Task<RestoreReport> RestoreAsync(
        string reference, string? to = null, string? name = null, bool overwrite = false, string? output = null, params string[] paths)
    {
        await using Backends backends = Open();
        var restore = new RestoreRun(Context, backends);
        await using UndoJournal journal = await JournalAsync();
        RestorePlan plan = await restore.PlanAsync(new RestoreRequest(reference, to, name, paths, output, overwrite), journal, default);
        return await restore.RunAsync(plan, journal, default);
    }

    /// <summary>A restore in which nothing goes wrong and nothing differs.</summary>
    public async Task<RestoreReport> RestoreWellAsync(
        string reference, string? to = null, string? name = null, bool overwrite = false, string? output = null, params string[] paths)
    {
        RestoreReport report = await RestoreAsync(reference, to, name, overwrite, output, paths);
        report.Failures.ShouldBeEmpty();
        report.Differences.ShouldBeEmpty();
        return report;
    }

    public async Task<PruneReport> PruneAsync(TimeSpan abandonedAfter)
    {
        await using Backends backends = Open();
        return await new PruneRun(Context, backends).RunAsync([], dryRun: false, abandonedAfter, default);
    }

    // ---- the program

    public Task<ProgramResult> ProgramAsync(params string[] arguments) => BuiltProgram.RunAsync(Surroundings(), arguments);

    public RunningProgram StartProgram(params string[] arguments) => BuiltProgram.Start(Surroundings(), arguments);

    private Dictionary<string, string> Surroundings() => new() { ["BACKUP_POLICY"] = WritePolicy(), ["BACKUP_STATE_DIR"] = State };

    // ---- facts about the engine

    /// <summary>Where the engine keeps a volume on this host.</summary>
    public Task<string> MountpointAsync(string volume) => Engine.DockerAsync("volume", "inspect", "-f", "{{.Mountpoint}}", volume);

    /// <summary>Fills a volume by a shell script that runs inside it.</summary>
    public async Task ShellAsync(string volume, string script) =>
        await HostProcess.RunAsync("bash", ["-euc", $"cd '{await MountpointAsync(volume)}'; {script}"], TimeSpan.FromMinutes(2));

    /// <summary>A volume with the outcome of a shell script in it.</summary>
    public async Task<string> VolumeAsync(string suffix, string script)
    {
        string name = await Engine.VolumeAsync(suffix);
        await ShellAsync(name, script);
        return name;
    }

    /// <summary>A container that runs for ever and mounts the volume writable at /v.</summary>
    public Task<string> UserAsync(string volume, string command = "while :; do sleep 0.2; done") =>
        Engine.ContainerAsync(new TestContainer(command) { Mounts = [new TestMount(volume, "/v")] });

    /// <summary>What a shell script prints that runs inside the volume.</summary>
    public async Task<string> AskAsync(string volume, string script) =>
        await HostProcess.RunAsync("bash", ["-euc", $"cd '{await MountpointAsync(volume)}'; {script}"]);

    public async Task<string> StateOfAsync(string container) => await Engine.DockerAsync("inspect", "-f", "{{.State.Status}}", container);

    /// <summary>All that the engine did with a container, such as create, start, pause. The engine tells it by whole seconds, hence the one ahead.</summary>
    public async Task<IReadOnlyList<string>> HappenedAsync(string container) => (await Engine.DockerAsync("events", "--since", "10m", "--until",
        $"{TimeProvider.System.GetUtcNow().ToUnixTimeSeconds() + 1}", "--filter", $"container={container}", "--format", "{{.Action}}")).Split('\n');

    /// <summary>How many helper containers mount something of this scope.</summary>
    public async Task<int> HelpersAsync() => (await HelperIdsAsync()).Count;

    private async Task<IReadOnlyList<string>> HelperIdsAsync()
    {
        string lines = await Engine.DockerAsync("ps", "-a", "--no-trunc", "--filter", $"label={ContainerFacts.HelperLabel}", "--format", "{{.ID}} {{.Mounts}}");
        return [.. lines.Split('\n').Where(l => l.Contains(Engine.Prefix, StringComparison.Ordinal)).Select(l => l.Split(' ')[0])];
    }

    /// <summary>What every run owes, however it ended: nobody held, no helper left, nothing to undo.</summary>
    public async Task NothingIsLeftAsync(params string[] running)
    {
        foreach (string container in running) (await StateOfAsync(container)).ShouldBe("running");
        (await HelpersAsync()).ShouldBe(0, "helper containers");
        await using UndoJournal journal = await JournalAsync();
        journal.Pending.ShouldBeEmpty();
    }

    public void Report(RunEvent value)
    {
        Events.Enqueue(value);
        On?.Invoke(value);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (IAsyncDisposable owned in _owned) await owned.DisposeAsync();
        await Engine.DisposeAsync();
    }

    /// <summary>The real clock, set ahead where a test says so.</summary>
    private sealed class Clock : TimeProvider
    {
        public TimeSpan Ahead { get; set; }

        public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + Ahead;
    }
}
