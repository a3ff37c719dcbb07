using Backup.Policies;
using Backup.Quiescing;
using Backup.Running;
using Backup.Tests.Environments;
using Backup.Tests.Fakes;
using Shouldly;
using Xunit;

namespace Backup.Tests.Running;

public sealed class SecretsFirstTests
{
    [Fact(Timeout = 10_000)]
    public async Task A_secret_that_cannot_be_read_ends_a_run_before_anything_is_touched()
    {
        Policy policy = PolicyFile.Parse("""
            { "stores": { "s3": { "type": "s3", "provider": "minio", "endpoint": "http://127.0.0.1:1", "bucket": "b",
                "accessKeyId": "env:BACKUP_TEST_NOT_SET_ANYWHERE", "secretAccessKey": "env:BACKUP_TEST_NOT_SET_ANYWHERE" } },
              "environments": { "local": { "connect": "unix:///nowhere.sock" } } }
            """, "/etc/backup/backup.json");
        RunContext context = new RecordingContext().Run;
        var engine = new FakeEnvironment("local", context);
        engine.AddVolume("data", new TarItem("file", Content: "x"));
        string state = Directory.CreateTempSubdirectory("secrets").FullName;
        try
        {
            await using var backends = new Backends(policy, _ => engine, _ => throw new InvalidOperationException("the store was opened"));
            await using UndoJournal journal = await UndoJournal.OpenAsync(state, context, TimeSpan.Zero, default);
            BackupException refused = await Should.ThrowAsync<BackupException>(
                () => new BackupRun(context, backends, "test").RunAsync(new RunRequest([], []), journal, default));
            refused.Kind.ShouldBe(FailureKind.Usage);
            refused.Message.ShouldContain("BACKUP_TEST_NOT_SET_ANYWHERE");
            engine.Calls.ShouldBeEmpty();
        }
        finally
        {
            Directory.Delete(state, recursive: true);
        }
    }
}
