using System.Security.Cryptography;
using Backup.Environments;
using Backup.Policies;
using Backup.Quiescing;
using Backup.Running;
using Backup.Snapshots.Archive;
using Backup.Tests.Environments;
using Backup.Tests.Fakes;
using Shouldly;
using Xunit;

namespace Backup.Tests.Running;

public sealed class UnreachableTests : IProgress<RunEvent>, IDisposable
{
    private readonly string _state = Directory.CreateTempSubdirectory("backup-unreachable-").FullName;
    private readonly TaskCompletionSource<RunEvent.Error> _told = new(TaskCreationOptions.RunContinuationsAsynchronously);

    void IProgress<RunEvent>.Report(RunEvent value)
    {
        if (value is RunEvent.Error error) _told.TrySetResult(error);
    }

    public void Dispose() => Directory.Delete(_state, recursive: true);

    [Fact(Timeout = 30_000)]
    public async Task An_environment_that_cannot_be_reached_is_told_while_the_others_are_still_at_work()
    {
        var context = new RunContext(TimeProvider.System, RandomNumberGenerator.Fill, this);
        var near = new FakeEnvironment("near", context);
        near.AddVolume("data", new TarItem("f", Content: "1"));
        near.AddContainer("user", mounts: "data:/v", labels: new Dictionary<string, string> { ["backup.before"] = "flush", ["backup.after"] = "unflush" });
        near.ExecGoesOn = (_, _) => _told.Task; // the run cannot end before the failure is told
        var far = new FakeEnvironment("far", context)
        {
            Fault = _ => new EnvironmentFault.Before(new EnvironmentException("far", "cannot reach far", "Start it.") { Unreachable = true }),
        };
        Policy policy = PolicyFile.Parse("""
            { "stores": { "memory": { "type": "directory", "path": "/nowhere" } },
              "environments": { "near": { "connect": "unix:///near.sock" }, "far": { "connect": "unix:///far.sock" } } }
            """, "/etc/backup/backup.json");
        await using var backends = new Backends(policy, e => e.Name == "near" ? near : far, _ => new ArchiveSnapshotStore(new MemoryObjectStore(), context));
        await using UndoJournal journal = await UndoJournal.OpenAsync(_state, context, TimeSpan.Zero, default);

        RunReport report = await new BackupRun(context, backends, "test").RunAsync(new RunRequest([], []), journal, default);

        RunEvent.Error told = await _told.Task;
        told.Problem.ShouldBe("far: cannot reach far");
        told.Hint.ShouldBe("Start it.");
        report.Snapshots.ShouldHaveSingleItem().Snapshot.Environment.ShouldBe("near");
        report.Failures.ShouldHaveSingleItem().Environment.ShouldBe("far");
    }
}
