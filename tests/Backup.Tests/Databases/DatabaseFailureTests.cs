using Backup.Running;
using Backup.Snapshots;
using Backup.Tests.Environments;
using Backup.Tests.Running;
using Shouldly;
using Xunit;

namespace Backup.Tests.Databases;

/// <summary>What goes wrong in and around real databases: never a snapshot that is not good, never a container or a lock left behind.</summary>
[Collection("engine")]
public sealed class DatabaseFailureTests(EngineFixture engine) : DatabaseTests(engine)
{
    private const int Limit = 180_000;

    private async Task NothingWasKeptAsync(DatabaseContainer database)
    {
        (await Scope.Running.AllVerifyAsync()).ShouldBeEmpty();
        (await Scope.Running.KeysAsync()).ShouldBeEmpty();
        await Scope.Running.NothingIsLeftAsync(database.Id);
        await database.ReadyAsync();
        (await database.ShellAsync("ls -d /dev/shm/backup-session 2>/dev/null || echo none")).ShouldBe("none");
    }

    private async Task<IReadOnlyList<string>> ActsAsync(DatabaseContainer database) =>
        [.. (await Scope.Running.HappenedAsync(database.Id)).Where(a => a is "pause" or "stop" or "kill")];

    [Theory(Timeout = Limit)]
    [InlineData("volume")]
    [InlineData("dump")]
    [InlineData("both")]
    public async Task A_wrong_password_fails_what_asked_for_the_preset_by_name_before_anybody_is_paused(string method)
    {
        DatabaseContainer database = await Scope.StartAsync(DatabaseKind.Postgres);
        await database.ShellAsync("echo wrong >/tmp/wrong");
        Scope.Preset(database, "postgres", method, ("passwordFile", "/tmp/wrong"));
        RunReport report = await Scope.Running.RunAsync();
        report.Snapshots.ShouldBeEmpty();
        report.Failures.Count.ShouldBe(method == "both" ? 2 : 1);
        report.Failures.ShouldAllBe(f => f.Problem.Contains("password authentication failed") && f.Hint.Contains("passwordFile"));
        (await ActsAsync(database)).ShouldBeEmpty();
        await NothingWasKeptAsync(database);

        foreach (string verb in (string[])["check", "plan"])
        {
            ProgramResult said = await Scope.Running.ProgramAsync(verb);
            said.ExitCode.ShouldNotBe(0);
            (said.Output + said.Error).ShouldContain("password authentication failed");
        }
    }

    [Fact(Timeout = Limit)]
    public async Task A_known_image_whose_password_is_not_known_is_paused_with_a_warning()
    {
        DatabaseContainer database = await Scope.StartAsync(DatabaseKind.Postgres, labels: new Dictionary<string, string> { ["backup.preset.password-file"] = "/tmp/wrong" });
        await database.ShellAsync("echo wrong >/tmp/wrong");
        RunReport report = await Scope.Running.RunWellAsync();
        report.Snapshots.ShouldHaveSingleItem().Snapshot.Consistency.ShouldBe("pause");
        Scope.Running.Warnings.ShouldContain(w => w.Contains("the preset postgres cannot run") && w.Contains("password authentication failed"));
        (await ActsAsync(database)).ShouldBe(["pause"]);
    }

    [Fact(Timeout = Limit)]
    public async Task A_missing_client_program_is_told_and_nothing_is_done()
    {
        // An image that is known by its name and holds nothing but a shell and a clock.
        string volume = await Scope.Running.VolumeAsync("pg", "echo 1 > f");
        string id = await Scope.Engine.ContainerAsync(new TestContainer
        {
            Image = await Scope.Engine.EmptyImageAsync("postgres", "15"), Mounts = [new TestMount(volume, "/var/lib/postgresql/data")],
            Variables = new Dictionary<string, string> { ["PATH"] = "/nowhere:/bin-of-nobody" }, Command = "while :; do /bin/sleep 0.2; done",
        });
        Scope.Running.Rule(volume, "quiesce", new System.Text.Json.Nodes.JsonObject { ["preset"] = "postgres" });
        RunFailure failure = (await Scope.Running.RunAsync()).Failures.ShouldHaveSingleItem();
        failure.Problem.ShouldContain("there is no psql in the container");
        failure.Volume.ShouldBe(volume);
        (await Scope.Running.StateOfAsync(id)).ShouldBe("running");
        (await Scope.Running.ListAsync()).ShouldBeEmpty();
    }

    /// <summary>A dump that takes long: one table whose every row waits.</summary>
    private async Task<DatabaseContainer> SlowToDumpAsync()
    {
        DatabaseContainer database = await Scope.StartAsync(DatabaseKind.Postgres);
        await database.SqlAsync("create table big as select n, repeat(md5(n::text), 100) as filler from generate_series(1, 60000) n");
        Scope.Preset(database, "postgres", "dump");
        return database;
    }

    /// <summary>Does something as soon as the dump has sent its first megabytes.</summary>
    private void Meanwhile(Func<Task> act, out Func<Task> done)
    {
        Task? doing = null;
        Scope.Running.On = e =>
        {
            if (e is RunEvent.VolumeProgress { Bytes: > 1_000_000 } && doing is null)
            {
                doing = Task.Run(act);
                // The dump waits meanwhile: what is done is done in its midst.
                doing.Wait();
            }
        };
        done = () => doing ?? throw new InvalidOperationException("the dump was over before anything could be done");
    }

    [Theory(Timeout = Limit)]
    [InlineData("pg_dumpall|pg_dump")]
    [InlineData("pg_dump")]
    public async Task A_dump_whose_program_is_killed_is_a_failure_and_leaves_nothing(string programs)
    {
        DatabaseContainer database = await SlowToDumpAsync();
        // From the host: an engine reports the end of one command only when another's output, which waits meanwhile, is through.
        Meanwhile(async () =>
        {
            string top = await Scope.Engine.DockerAsync("top", database.Id, "-eo", "pid,comm");
            string[] pids = [.. top.Split('\n').Select(l => l.Split(' ', StringSplitOptions.RemoveEmptyEntries)).Where(l => programs.Split('|').Contains(l[^1])).Select(l => l[0])];
            pids.ShouldNotBeEmpty(top);
            await HostProcess.RunAsync("kill", ["-9", .. pids]);
        }, out Func<Task> done);
        RunReport report = await Scope.Running.RunAsync();
        await done();
        report.Snapshots.ShouldBeEmpty();
        report.Failures.ShouldHaveSingleItem().Problem.ShouldContain("backup-postgres-dump");
        await NothingWasKeptAsync(database);
    }

    [Fact(Timeout = Limit)]
    public async Task A_server_that_is_stopped_in_the_midst_of_its_dump_is_a_failure_and_leaves_nothing()
    {
        DatabaseContainer database = await SlowToDumpAsync();
        Meanwhile(() => Scope.Engine.DockerAsync("kill", database.Id), out Func<Task> done);
        RunReport report = await Scope.Running.RunAsync();
        await done();
        report.Snapshots.ShouldBeEmpty();
        report.Failures.Count.ShouldBe(1);
        await Scope.Engine.DockerAsync("start", database.Id);
        await NothingWasKeptAsync(database);
    }

    [Fact(Timeout = Limit)]
    public async Task An_interrupted_dump_does_not_go_on_in_its_container()
    {
        DatabaseContainer database = await SlowToDumpAsync();
        using var interrupt = new CancellationTokenSource();
        Scope.Running.On = e =>
        {
            if (e is RunEvent.VolumeProgress { Bytes: > 1_000_000 }) interrupt.Cancel();
        };
        await Should.ThrowAsync<OperationCanceledException>(Scope.Running.RunAsync(interrupt.Token));
        (await database.ShellAsync("cat /proc/[0-9]*/comm 2>/dev/null | grep -c pg_dump || true")).ShouldBe("0");
        await NothingWasKeptAsync(database);
    }

    [Fact(Timeout = Limit)]
    public async Task A_full_disk_during_the_save_fails_the_volume_with_the_container_up()
    {
        string volume = await Scope.Engine.VolumeAsync("small", options: new Dictionary<string, string> { ["type"] = "tmpfs", ["device"] = "tmpfs", ["o"] = "size=1m" });
        DatabaseContainer database = await Scope.StartAsync(DatabaseKind.Redis, volume);
        await database.ShellAsync("head -c 3000000 /dev/urandom | REDISCLI_AUTH=$REDIS_PASSWORD redis-cli -x SET big >/dev/null");
        Scope.Preset(database, "redis", "both");
        RunReport report = await Scope.Running.RunAsync();
        report.Snapshots.ShouldBeEmpty();
        report.Failures.Count.ShouldBe(2);
        report.Failures.ShouldAllBe(f => f.Problem.Contains("BGSAVE failed"));
        await NothingWasKeptAsync(database);
    }

    [Fact(Timeout = Limit)]
    public async Task A_lock_that_is_lost_on_the_way_leaves_no_snapshot()
    {
        DatabaseContainer database = await Scope.StartAsync(DatabaseKind.MariaDb);
        Scope.Preset(database, "mariadb");
        // Before the pause somebody kills the session that holds the lock.
        Task? killing = null;
        Scope.Running.On = e =>
        {
            if (e is RunEvent.ContainerQuiesced { How: "hook" } && killing is null)
            {
                killing = Task.Run(() => database.ShellAsync("MYSQL_PWD=$MARIADB_ROOT_PASSWORD mariadb -uroot -e \"kill $(cat /dev/shm/backup-session/id)\""));
                killing.Wait();
            }
        };
        RunReport report = await Scope.Running.RunAsync();
        await killing.ShouldNotBeNull("the hook was never run");
        report.Snapshots.ShouldBeEmpty();
        report.Failures.ShouldHaveSingleItem().Problem.ShouldContain("the lock was not held all along");
        await NothingWasKeptAsync(database);
    }

    [Fact(Timeout = Limit)]
    public async Task A_lock_that_cannot_be_had_fails_the_volume_and_is_not_waited_for_any_more()
    {
        DatabaseContainer database = await Scope.StartAsync(DatabaseKind.MariaDb);
        await database.SqlAsync("create database shop; create table shop.t (n int)");
        await database.BackgroundAsync("MYSQL_PWD=$MARIADB_ROOT_PASSWORD mariadb -uroot -e 'lock tables shop.t write; select sleep(60)'");
        await Until(async () => await database.SqlAsync("select count(*) from information_schema.processlist where info like 'select sleep%'") == "1");
        Scope.Running.Rule(database.Volume, "quiesce", new System.Text.Json.Nodes.JsonObject { ["preset"] = "mariadb", ["timeout"] = "2s" });
        RunReport report = await Scope.Running.RunAsync();
        report.Snapshots.ShouldBeEmpty();
        report.Failures.ShouldHaveSingleItem().NeedsPerson.ShouldBeFalse();
        (await database.SqlAsync("select count(*) from information_schema.processlist where info like 'flush%'")).ShouldBe("0");
        (await ActsAsync(database)).ShouldBeEmpty();
        await NothingWasKeptAsync(database);
    }

    [Fact(Timeout = Limit)]
    public async Task A_run_that_is_killed_with_the_lock_held_is_put_right_by_recover()
    {
        DatabaseContainer database = await Scope.StartAsync(DatabaseKind.MariaDb);
        await database.SqlAsync("create database shop; create table shop.t (n int)");
        await Scope.Running.ShellAsync(database.Volume, "truncate -s 3G filler"); // seconds to read, nothing to write
        Scope.Preset(database, "mariadb");
        using (RunningProgram program = Scope.Running.StartProgram("run"))
        {
            await Until(async () => await Scope.Running.StateOfAsync(database.Id) == "paused" || program.Ended);
            program.Ended.ShouldBeFalse("the run ended before it could be killed");
            program.KillHard();
            await program.EndAsync();
        }
        (await Scope.Running.StateOfAsync(database.Id)).ShouldBe("paused");
        (await Scope.Running.RecoverAsync()).Failures.ShouldBeEmpty();
        await database.SqlAsync("insert into shop.t values (1)");
        (await Scope.Running.ListAsync()).ShouldBeEmpty();
        await Scope.Running.NothingIsLeftAsync(database.Id);
        await Until(async () => await database.ShellAsync("ls -d /dev/shm/backup-session 2>/dev/null || echo none") == "none");
    }

    [Fact(Timeout = Limit)]
    public async Task A_dump_that_is_refused_by_its_database_leaves_it_marked_as_incomplete_until_it_is_loaded_again()
    {
        DatabaseContainer database = await Scope.StartAsync(DatabaseKind.Postgres);
        await database.SqlAsync("create table t (n int); insert into t values (1)");
        Scope.Preset(database, "postgres", "dump");
        Snapshot snapshot = (await Scope.Running.RunWellAsync()).Snapshots.Single().Snapshot;
        // In the way of the dump, and nothing that counts as content.
        await database.SqlAsync("drop table t; create type t as enum ('a')");
        BackupException refused = await Should.ThrowAsync<BackupException>(Scope.Running.RestoreAsync(snapshot.Id));
        refused.Problem.ShouldContain("is not complete");
        refused.Hint.ShouldContain("--overwrite");
        (await Scope.Running.RunAsync()).Failures.ShouldHaveSingleItem().Problem.ShouldContain("did not finish: it is not dumped");

        await Scope.Running.RestoreWellAsync(snapshot.Id, overwrite: true);
        (await database.SqlAsync("select n from t")).ShouldBe("1");
        await Scope.Running.RunWellAsync();
    }

    private static async Task Until(Func<Task<bool>> holds)
    {
        long end = Environment.TickCount64 + 60_000;
        while (!await holds())
        {
            if (Environment.TickCount64 > end) throw new TimeoutException("what was waited for did not come");
            await Task.Delay(20);
        }
    }
}
