using System.Text.Json.Nodes;
using Backup.Policies;
using Backup.Quiescing;
using Backup.Running;
using Backup.Snapshots;
using Backup.Snapshots.Archive;
using Backup.Stores;
using Backup.Streams;
using Backup.Tests.Environments;
using Backup.Tests.Fakes;

namespace Backup.Tests.Running;

/// <summary>An engine and a store in memory, and a policy written as JSON over them; runs in this process.</summary>
internal sealed class FakeInstallation : IAsyncDisposable
{
    private readonly string _state = Directory.CreateTempSubdirectory("backup-fake-").FullName;
    private readonly RecordingContext _context = new();

    internal FakeInstallation() => Engine = new FakeEnvironment("local", _context.Run);

    internal FakeEnvironment Engine { get; }
    internal MemoryObjectStore Objects { get; } = new();
    internal JsonObject Environment { get; } = new() { ["connect"] = "unix:///nowhere.sock" };
    internal RunContext Context => _context.Run;
    internal IEnumerable<RunEvent> Events => _context.Events;
    internal IEnumerable<string> Warnings => Events.OfType<RunEvent.Warning>().Select(w => w.Problem);

    /// <summary>Each volume has one file.</summary>
    internal void Volumes(params string[] names)
    {
        foreach (string name in names) Engine.AddVolume(name, new TarItem("file", Content: name));
    }

    internal void Rule(string volume, params (string Key, JsonNode Value)[] values)
    {
        if (Environment["rules"] is null) Environment["rules"] = new JsonArray();
        var rule = new JsonObject { ["volume"] = volume };
        foreach ((string key, JsonNode value) in values) rule[key] = value;
        Environment["rules"]!.AsArray().Add(rule);
    }

    internal Backends Open(Func<IObjectStore, IObjectStore>? wrap = null) => new(
        PolicyFile.Parse(new JsonObject
        {
            ["stores"] = new JsonObject { ["memory"] = new JsonObject { ["type"] = "directory", ["path"] = "/nowhere" } },
            ["defaults"] = new JsonObject { ["timeZone"] = "UTC" },
            ["environments"] = new JsonObject { ["local"] = Environment.DeepClone() },
        }.ToJsonString(), "/etc/backup/backup.json"),
        _ => Engine, _ => new ArchiveSnapshotStore(wrap is null ? Objects : wrap(Objects), Context));

    internal Task<UndoJournal> JournalAsync() => UndoJournal.OpenAsync(_state, Context, TimeSpan.Zero, default);

    internal async Task<RunReport> RunAsync(CancellationToken cancel = default, Func<IObjectStore, IObjectStore>? wrap = null, bool spooled = false)
    {
        await using Backends backends = Open(wrap);
        await using UndoJournal journal = await JournalAsync();
        using Spool? spool = spooled ? new Spool(_state, null, Context) : null;
        return await new BackupRun(Context, backends, "test", spool).RunAsync(new RunRequest([], []), journal, cancel);
    }

    internal async Task<RecoverReport> RecoverAsync()
    {
        await using Backends backends = Open();
        await using UndoJournal journal = await JournalAsync();
        return await new RecoverRun(Context, backends).RunAsync(journal, default);
    }

    internal async Task<RestoreReport> RestoreAsync(string snapshot, bool overwrite = true)
    {
        await using Backends backends = Open();
        await using UndoJournal journal = await JournalAsync();
        var restore = new RestoreRun(Context, backends);
        return await restore.RunAsync(await restore.PlanAsync(new RestoreRequest(snapshot, null, null, [], null, overwrite), journal, default), journal, default);
    }

    internal async Task<StatusReport> StatusAsync()
    {
        await using Backends backends = Open();
        return await new StatusQuery(Context, backends).RunAsync([], null, default);
    }

    internal async Task<SnapshotRecord> RecordAsync(Snapshot snapshot)
    {
        await using Backends backends = Open();
        await using SnapshotReader reader = await backends.Store("memory").OpenAsync(snapshot, default);
        return reader.Record;
    }

    /// <summary>Pauses, stops, … and reads, in order, such as <c>pause:db open:data unpause:db</c>.</summary>
    internal string Happened => string.Join(" ", Engine.Calls.Where(c => c.Operation is "pause" or "unpause" or "stop" or "start" or "open" or "exec" or "scale")
        .Select(c => $"{c.Operation}:{Engine.Containers.FirstOrDefault(k => k.Id == c.Subject)?.Name ?? c.Subject}"));

    public ValueTask DisposeAsync()
    {
        Directory.Delete(_state, recursive: true);
        return ValueTask.CompletedTask;
    }
}
