using System.Text.Json.Nodes;
using Backup.Running;
using Backup.Snapshots;
using Backup.Tests.Environments;
using Backup.Tests.Running;
using Shouldly;
using Xunit;

namespace Backup.Tests.Databases;

/// <summary>
/// MongoDB's preset against a strict stand-in, whose server writes all the time and counts its locks. The real MongoDB was not run: no package has it here.
/// </summary>
[Collection("engine")]
public sealed class MongoTests(EngineFixture engine) : DatabaseTests(engine)
{
    private const int Limit = 120_000;

    private async Task<DatabaseContainer> StartAsync(string shell = "mongosh", string? volume = null)
    {
        DatabaseContainer database = await Scope.StartAsync(DatabaseKind.Mongo(shell), volume);
        await Until(() => Log(database).Count(line => line == "write") > 5);
        return database;
    }

    private static string[] Log(DatabaseContainer database) => Path.Combine(database.Memory!, "log") is var log && File.Exists(log) ? File.ReadAllLines(log) : [];

    private static int Locks(DatabaseContainer database) => (int)JsonNode.Parse(File.ReadAllText(Path.Combine(database.Memory!, "state.json")))!["lockCount"]!;

    private async Task WritesAgainAsync(DatabaseContainer database)
    {
        Locks(database).ShouldBe(0);
        int written = Log(database).Count(line => line == "write");
        await Until(() => Log(database).Count(line => line == "write") > written);
        (await database.ShellAsync("ls -d /dev/shm/backup-session 2>/dev/null || echo none")).ShouldBe("none");
    }

    /// <summary>Does something as soon as the lock is held and before the pause.</summary>
    private Func<Task> OnceLocked(Func<Task> act)
    {
        Task? doing = null;
        Scope.Running.On = e =>
        {
            if (e is not RunEvent.ContainerQuiesced { How: "hook" } || doing is not null) return;
            doing = Task.Run(act);
            doing.Wait();
        };
        return () => doing ?? throw new InvalidOperationException("the lock was never held");
    }

    private static string ProcessesOf(string name) => $"for comm in /proc/[0-9]*/comm; do [ \"$(cat $comm 2>/dev/null)\" != {name} ] || basename ${{comm%/comm}}; done";

    [Theory(Timeout = Limit)]
    [InlineData("mongosh", true)]
    [InlineData("mongosh", false)]
    [InlineData("mongo", true)]
    public async Task Its_lock_is_held_from_before_the_pause_until_after_the_read_and_given_back_by_who_took_it(string shell, bool whoIsOutStaysOut)
    {
        DatabaseContainer database = await StartAsync(shell);
        // The worst that is documented: a locked server lets nobody log in, so that only the connection that locked it can unlock it.
        if (whoIsOutStaysOut) File.WriteAllText(Path.Combine(database.Memory!, "no-login-while-locked"), "");
        Scope.Preset(database, "mongodb");
        Scope.Running.On = e =>
        {
            string? mark = e switch
            {
                RunEvent.ContainerQuiesced { How: "pause" } => "test: paused",
                RunEvent.ContainerResumed { How: "pause" } => "test: resumed",
                _ => null,
            };
            if (mark is not null) File.AppendAllText(Path.Combine(database.Memory!, "log"), mark + "\n");
        };
        Snapshot snapshot = (await Scope.Running.RunWellAsync()).Snapshots.ShouldHaveSingleItem().Snapshot;
        snapshot.Consistency.ShouldBe("pause");

        string[] log = Log(database), window = [.. log.SkipWhile(line => line != "lock 1").TakeWhile(line => line != "unlock 0").Where(line => !line.StartsWith("argv", StringComparison.Ordinal))];
        window.ShouldNotContain("write");
        window.Where(line => line != "write blocked").Distinct().ShouldBe(["lock 1", "test: paused", "test: resumed"]);
        log.Count(line => line.StartsWith("lock", StringComparison.Ordinal)).ShouldBe(1);
        log.Count(line => line.StartsWith("unlock", StringComparison.Ordinal)).ShouldBe(1);
        await WritesAgainAsync(database);
        log.Where(line => line.StartsWith("argv", StringComparison.Ordinal)).ShouldAllBe(line => !line.Contains("s3cr"));

        string restored = database.Volume + "r";
        await Scope.Running.RestoreWellAsync(snapshot.Id, name: restored);
        (await Scope.Running.AskAsync(restored, "cat shop/right")).ShouldBe(await Scope.Running.AskAsync(restored, "cat shop/left"));
        await Scope.Running.NothingIsLeftAsync(database.Id);
    }

    [Theory(Timeout = Limit)]
    [InlineData("node", "the client that holds it")]
    [InlineData("sh", "the session around it")]
    public async Task A_lock_whose_holder_is_killed_leaves_no_snapshot_and_is_given_back_all_the_same(string process, string what)
    {
        DatabaseContainer database = await StartAsync();
        Scope.Preset(database, "mongodb");
        // Process 1 is the server; the session's shell says who it is.
        Func<Task> killed = OnceLocked(() => database.ShellAsync(process == "sh"
            ? "kill -9 $(cat /dev/shm/backup-session/pid)"
            : $"for pid in $({ProcessesOf("mongosh")}) $({ProcessesOf("node")}); do [ $pid = 1 ] || kill -9 $pid; done"));
        RunReport report = await Scope.Running.RunAsync();
        await killed();
        report.Snapshots.ShouldBeEmpty(what);
        report.Failures.ShouldHaveSingleItem().Problem.ShouldContain("the lock was not held all along");
        await WritesAgainAsync(database);
        await Scope.Running.NothingIsLeftAsync(database.Id);
    }

    [Fact(Timeout = Limit)]
    public async Task A_lock_that_somebody_else_gives_away_leaves_no_snapshot_and_takes_nobody_elses()
    {
        DatabaseContainer database = await StartAsync();
        Scope.Preset(database, "mongodb");
        Func<Task> freed = OnceLocked(() => database.ShellAsync(Shell("db.fsyncUnlock()")));
        RunReport report = await Scope.Running.RunAsync();
        await freed();
        report.Snapshots.ShouldBeEmpty();
        report.Failures.ShouldHaveSingleItem().Problem.ShouldContain("the lock was lost");
        Log(database).Count(line => line.StartsWith("unlock", StringComparison.Ordinal)).ShouldBe(1, "by us there was nothing left to unlock");
        await WritesAgainAsync(database);
    }

    [Fact(Timeout = Limit)]
    public async Task A_server_that_is_locked_already_is_left_alone()
    {
        DatabaseContainer database = await StartAsync();
        await database.ShellAsync(Shell("db.fsyncLock(); db.fsyncLock()"));
        Scope.Preset(database, "mongodb");
        RunReport report = await Scope.Running.RunAsync();
        report.Failures.ShouldHaveSingleItem().Problem.ShouldContain("the server is fsync-locked already");
        Locks(database).ShouldBe(2);
        (await Scope.Running.HappenedAsync(database.Id)).ShouldNotContain("pause");
    }

    [Fact(Timeout = Limit)]
    public async Task A_run_that_is_killed_with_the_lock_held_is_put_right_by_recover()
    {
        DatabaseContainer database = await StartAsync();
        await Scope.Running.ShellAsync(database.Volume, "mkdir filler; truncate -s 3G filler/zeros"); // seconds to read, nothing to write
        Scope.Preset(database, "mongodb");
        using (RunningProgram program = Scope.Running.StartProgram("run"))
        {
            while (await Scope.Running.StateOfAsync(database.Id) != "paused") program.Ended.ShouldBeFalse("the run ended before it could be killed");
            program.KillHard();
            await program.EndAsync();
        }
        Locks(database).ShouldBe(1);
        (await Scope.Running.RecoverAsync()).Failures.ShouldBeEmpty();
        await WritesAgainAsync(database);
        await Scope.Running.NothingIsLeftAsync(database.Id);
    }

    [Theory(Timeout = Limit)]
    [InlineData("mongosh", "Authentication failed")]
    [InlineData("mongo", "Authentication failed")]
    [InlineData("nothing", "there is neither mongosh nor mongo in the container")]
    public async Task Who_cannot_be_asked_is_found_by_the_check(string shell, string problem)
    {
        DatabaseContainer database = await StartAsync(shell);
        await database.ShellAsync("echo wrong >/tmp/wrong");
        Scope.Preset(database, "mongodb", "both", ("passwordFile", "/tmp/wrong"));
        RunReport report = await Scope.Running.RunAsync();
        report.Snapshots.ShouldBeEmpty();
        report.Failures.Count.ShouldBe(2);
        report.Failures.ShouldAllBe(f => f.Problem.Contains(problem));
        await WritesAgainAsync(database);
    }

    [Theory(Timeout = Limit)]
    [InlineData("mongosh")]
    [InlineData("mongo")]
    public async Task Its_dump_goes_into_another_server_and_only_over_a_full_one_when_that_is_asked_for(string shell)
    {
        DatabaseContainer database = await StartAsync(shell);
        Scope.Preset(database, "mongodb", "dump");
        Snapshot snapshot = (await Scope.Running.RunWellAsync()).Snapshots.ShouldHaveSingleItem().Snapshot;
        snapshot.Consistency.ShouldBe("dump");
        DatabaseContainer fresh = await Scope.StartAsync(DatabaseKind.Mongo(shell), variables: new Dictionary<string, string> { ["WRITES"] = "no" });
        string name = (await Scope.Engine.DockerAsync("inspect", "-f", "{{.Name}}", fresh.Id)).TrimStart('/');
        (await Scope.Running.RestoreWellAsync(snapshot.Id, name: name)).Notes.ShouldContain("It holds now: 2 collections in database shop.");
        int n = (int)JsonNode.Parse(await fresh.ShellAsync("cat /data/db/shop/left"))!["n"]!;
        n.ShouldBeGreaterThan(0);

        (await Should.ThrowAsync<BackupException>(Scope.Running.RestoreAsync(snapshot.Id, name: name))).Problem.ShouldContain("is not empty: it holds 2 collections in database shop");
        await fresh.ShellAsync("mkdir /data/db/extra; echo '{}' >/data/db/extra/things");
        await Scope.Running.RestoreWellAsync(snapshot.Id, name: name, overwrite: true);
        (await fresh.ShellAsync("cd /data/db; ls -d *; wc -l <shop/left")).ReplaceLineEndings(" ").ShouldBe("admin shop 1", "what was there was dropped first");
        Log(database).Concat(Log(fresh)).ShouldAllBe(line => !line.Contains("s3cr"));

        File.WriteAllText(Path.Combine(database.Memory!, "break-dump"), "");
        RunFailure failure = (await Scope.Running.RunAsync()).Failures.ShouldHaveSingleItem();
        failure.Problem.ShouldContain("socket was unexpectedly closed");
        (await Scope.Running.ListAsync()).Where(s => s.Volume == snapshot.Volume).ShouldHaveSingleItem().Id.ShouldBe(snapshot.Id);
    }

    private static string Shell(string script) =>
        $"exec mongosh --quiet 127.0.0.1:27017/admin --eval 'db.auth(process.env.MONGO_INITDB_ROOT_USERNAME, process.env.MONGO_INITDB_ROOT_PASSWORD); {script}'";

    private static async Task Until(Func<bool> holds)
    {
        long end = Environment.TickCount64 + 60_000;
        while (!holds())
        {
            if (Environment.TickCount64 > end) throw new TimeoutException("what was waited for did not come");
            await Task.Delay(20);
        }
    }
}
