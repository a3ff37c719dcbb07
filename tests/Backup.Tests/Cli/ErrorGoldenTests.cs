using Backup.Cli;
using Backup.Cli.Output;
using Backup.Environments;
using Backup.Environments.Connections;
using Backup.Policies;
using Backup.Quiescing;
using Backup.Running;
using Backup.Snapshots;
using Backup.Stores;
using Backup.Tests.Fakes;
using Backup.Tests.Golden;
using Shouldly;
using Xunit;

namespace Backup.Tests.Cli;

/// <summary>Failures as a user reads them. The file is there to be read: each problem names the thing, each hint is a cure.</summary>
public class ErrorGoldenTests
{
    private static readonly Policy Policy = PolicyFile.Parse(
        """
        { "stores": { "disk": { "type": "directory", "path": "/proc/version/store" } },
          "environments": { "web": { "connect": "unix:///nonexistent/docker.sock", "store": "disk" } } }
        """,
        "/etc/backup/backup.json");

    [Fact(Timeout = 60_000)]
    public async Task Errors_read_well()
    {
        using var program = new ProgramRun();
        string state = Path.Combine(program.Folder, "state");
        RunContext context = new RecordingContext().Run;
        await using UndoJournal held = await UndoJournal.OpenAsync(state, context, TimeSpan.Zero, default);
        await using Backends backends = Wiring.Production.Backends(context, Policy, state);

        var text = new StringWriter { NewLine = "\n" };
        async Task Say(string title, Func<Task> act)
        {
            BackupException e = await Should.ThrowAsync<BackupException>(act);
            e.Hint.ShouldNotBeNullOrWhiteSpace(title);
            text.WriteLine($"# {title} (exit {ExitCode.Of(e.Kind)})");
            ErrorText.Write(text, "error:", e.Problem.Replace(program.Folder, "$DIR"), e.Hint.Replace(program.Folder, "$DIR"));
            text.WriteLine();
        }
        Task Parse(string policy)
        {
            PolicyFile.Parse(policy, "/etc/backup/backup.json");
            return Task.CompletedTask;
        }

        await Say("one mistake in the policy", () => Parse("""{ "stores": { "disk": { "type": "directory", "paht": "/x", "path": "/x" } } }"""));
        await Say("several mistakes in the policy", () => Parse("""{ "stores": { "disk": { "type": "dir", "path": 5 } }, "enviroments": {} }"""));
        await Say("a policy that is no JSON", () => Parse("{ \"stores\": "));
        await Say("a literal secret", () => Parse(
            """{ "stores": { "oss": { "type": "s3", "provider": "minio", "endpoint": "http://h", "bucket": "b", "accessKeyId": "AKIA1", "secretAccessKey": "env:X" } } }"""));
        await Say("a variable that is not set", () => Task.FromResult(new Secret("env:BACKUP_NOT_SET", "$.stores.oss.accessKeyId").Read()));
        await Say("a secret file that is not there", () => Task.FromResult(new Secret("file:/nonexistent/secret", "$.stores.oss.secretAccessKey").Read()));
        await Say("an environment that is not in the policy", () => Task.FromResult(backends.Select(["wbe"])));
        await Say("a snapshot that is not there", () => new SnapshotQuery(Empty(backends)).ResolveAsync("web/data", default));
        await Say("another run", () => UndoJournal.OpenAsync(state, context, TimeSpan.Zero, default));
        await Say("an engine that is not there", async () =>
        {
            await using var environment = new DockerEnvironment(
                "web", DockerConnection.For(new DockerConnectPolicy(new Uri("unix:///nonexistent/docker.sock"), null)), context);
            await environment.InspectAsync(default);
        });
        await Say("a store that cannot be written", async () =>
        {
            await using var store = new DirectoryObjectStore(new DirectoryStorePolicy("disk", "/proc/version/store"), context);
            await using ObjectWriter writer = await store.CreateAsync("a/b", null, default);
            await writer.CommitAsync(default);
        });
        await Say("a tar that is cut", () => throw new IncompleteTarException("The tar of web/data ends inside ./a/b."));
        GoldenFile.Check("errors.txt", text.ToString());
    }

    private static Backends Empty(Backends real) => new(
        real.Policy with { Stores = [], Environments = [.. real.Policy.Environments.Select(e => e with { Default = e.Default with { Store = "none" } })] },
        e => throw new InvalidOperationException(e.Name),
        s => throw new InvalidOperationException(s.Name));
}
