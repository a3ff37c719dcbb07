using System.Text;
using Backup.Running;
using Backup.Snapshots;
using Backup.Tests.Environments;
using Backup.Tests.Running;
using Shouldly;
using Xunit;

namespace Backup.Tests.Databases;

/// <summary>Real databases, backed up while somebody writes to them, brought back, started and asked whether what they hold makes sense.</summary>
[Collection("engine")]
public sealed class DatabaseBackupTests(EngineFixture engine) : DatabaseTests(engine)
{
    private const int Limit = 240_000;

    private string Name(DatabaseContainer database, string suffix) => $"{database.Volume}{suffix}";

    private async Task<Snapshot> BackUpAsync(DatabaseContainer database, string volume)
    {
        RunReport report = await Scope.Running.RunWellAsync();
        (await Scope.Running.StateOfAsync(database.Id)).ShouldBe("running");
        await database.ReadyAsync();
        return report.Snapshots.Select(m => m.Snapshot).Single(s => s.Volume == volume);
    }

    /// <summary>Restores the volume under a new name and starts the same database on it.</summary>
    private async Task<DatabaseContainer> StartOnRestoredAsync(DatabaseContainer database, DatabaseKind kind, Snapshot snapshot)
    {
        string restored = Name(database, "r");
        await Scope.Running.RestoreWellAsync(snapshot.Id, name: restored);
        return await Scope.StartAsync(kind, restored);
    }

    private async Task<string> NameOfAsync(DatabaseContainer database) => (await Scope.Engine.DockerAsync("inspect", "-f", "{{.Name}}", database.Id)).TrimStart('/');

    // ---- PostgreSQL: pgbench keeps the sum of the balances of accounts, tellers, branches and history equal

    private const string Bench = "PGPASSWORD=$POSTGRES_PASSWORD PGUSER=$POSTGRES_USER pgbench";

    private const string Balances =
        "select (select sum(abalance) from pgbench_accounts) = (select coalesce(sum(delta), 0) from pgbench_history) and (select sum(tbalance) from pgbench_tellers) = (select coalesce(sum(delta), 0) from pgbench_history) and (select sum(bbalance) from pgbench_branches) = (select coalesce(sum(delta), 0) from pgbench_history)";

    private async Task<DatabaseContainer> BenchedAsync()
    {
        DatabaseContainer database = await Scope.StartAsync(DatabaseKind.Postgres);
        await database.ShellAsync($"{Bench} -i -s 2 -q postgres");
        await database.BackgroundAsync($"{Bench} -c 4 -T 120 postgres");
        await Until(async () => int.Parse(await database.SqlAsync("select count(*) from pgbench_history")) > 200);
        return database;
    }

    [Fact(Timeout = Limit)]
    public async Task PostgreSQLs_volume_under_pgbench_starts_again_and_its_balances_agree()
    {
        DatabaseContainer database = await BenchedAsync();
        Snapshot snapshot = await BackUpAsync(database, database.Volume);
        snapshot.Consistency.ShouldBe("pause");
        DatabaseContainer restored = await StartOnRestoredAsync(database, DatabaseKind.Postgres, snapshot);
        (await restored.SqlAsync(Balances)).ShouldBe("t");
        int.Parse(await restored.SqlAsync("select count(*) from pgbench_history")).ShouldBeGreaterThan(200);
        await Scope.Running.NothingIsLeftAsync(database.Id);
    }

    [Fact(Timeout = Limit)]
    public async Task PostgreSQLs_dump_under_pgbench_is_loaded_into_an_empty_server_and_its_balances_agree()
    {
        DatabaseContainer database = await BenchedAsync();
        Scope.Preset(database, "postgres", "dump");
        string source = $"dump:{await NameOfAsync(database)}";
        Snapshot snapshot = await BackUpAsync(database, source);
        snapshot.Consistency.ShouldBe("dump");
        (await Scope.Running.ListAsync()).ShouldAllBe(s => s.Volume == source, "the dump stands in place of the volume");
        await Scope.Running.AllVerifyAsync();

        DatabaseContainer fresh = await Scope.StartAsync(DatabaseKind.Postgres);
        (await Scope.Running.RestoreWellAsync(snapshot.Id, name: await NameOfAsync(fresh))).Notes
            .ShouldContain(n => n.Contains("must hold what it held when it was dumped: ") && n.Contains("tables, views and sequences in database postgres"));
        (await fresh.SqlAsync(Balances)).ShouldBe("t");

        BackupException full = await Should.ThrowAsync<BackupException>(Scope.Running.RestoreAsync(snapshot.Id, name: await NameOfAsync(fresh)));
        full.Problem.ShouldContain("is not empty");
        await fresh.SqlAsync("delete from pgbench_history");
        await Scope.Running.RestoreWellAsync(snapshot.Id, name: await NameOfAsync(fresh), overwrite: true);
        (await fresh.SqlAsync(Balances)).ShouldBe("t");
        await Scope.Running.NothingIsLeftAsync(database.Id, fresh.Id);
    }

    [Fact(Timeout = Limit)]
    public async Task A_dump_is_written_out_as_one_file_and_stock_tools_get_the_same_from_the_store()
    {
        DatabaseContainer database = await BenchedAsync();
        Scope.Preset(database, "postgres", "dump");
        Snapshot snapshot = await BackUpAsync(database, $"dump:{await NameOfAsync(database)}");
        string folder = Scope.Engine.Folder("out");
        await Scope.Running.RestoreWellAsync(snapshot.Id, output: folder);
        byte[] file = await File.ReadAllBytesAsync(Path.Combine(folder, "postgres.sql"));
        Encoding.UTF8.GetString(file).ShouldContain("-- PostgreSQL database cluster dump complete");
        Directory.GetFiles(folder).ShouldHaveSingleItem();

        string key = (await Scope.Running.KeysAsync()).Single(k => k.EndsWith(".tar.zst", StringComparison.Ordinal));
        string stock = Path.Combine(Scope.Engine.Folder("stock"), "dump.sql");
        await HostProcess.RunAsync("bash", ["-euo", "pipefail", "-c", $"zstd -dcq '{Path.Combine(Scope.Running.StorePath, key)}' | tar -xO > '{stock}'"]);
        (await File.ReadAllBytesAsync(stock)).AsSpan().SequenceEqual(file).ShouldBeTrue("tar xO puts the pieces together");

        ProgramResult piped = await Scope.Running.ProgramAsync("restore", snapshot.Id, "--output", "-", "-q");
        piped.ExitCode.ShouldBe(0, piped.Error);
        piped.Output.ShouldBe(Encoding.UTF8.GetString(file));
    }

    // ---- MariaDB: transfers between two tables, one transaction each, keep their sum

    private const int Coins = 1000;

    private async Task<DatabaseContainer> TransferringAsync()
    {
        DatabaseContainer database = await Scope.StartAsync(DatabaseKind.MariaDb);
        await database.SqlAsync($"create database shop; use shop; create table a (coins int) engine=InnoDB; create table b (coins int) engine=InnoDB; create table log (id int auto_increment primary key, note text) engine=MyISAM; insert into a values ({Coins}); insert into b values (0)");
        await database.BackgroundAsync("export MYSQL_PWD=$MARIADB_ROOT_PASSWORD; while :; do echo 'begin; update a set coins = coins - 1; update b set coins = coins + 1; commit; insert into log (note) values (repeat(\"x\", 2000));'; done | mariadb -uroot shop");
        await Until(async () => int.Parse(await database.SqlAsync("select count(*) from shop.log")) > 100);
        return database;
    }

    private static async Task SoundAsync(DatabaseContainer database)
    {
        (await database.SqlAsync("select (select coins from shop.a) + (select coins from shop.b)")).ShouldBe($"{Coins}");
        string checks = await database.SqlAsync("check table shop.a, shop.b, shop.log");
        checks.Split('\n').ShouldAllBe(line => line.EndsWith("\tstatus\tOK", StringComparison.Ordinal), checks);
        int.Parse(await database.SqlAsync("select count(*) from shop.log")).ShouldBeGreaterThan(100);
    }

    [Fact(Timeout = Limit)]
    public async Task MariaDBs_volume_under_transfers_starts_again_with_its_sum_and_clean_tables()
    {
        DatabaseContainer database = await TransferringAsync();
        Scope.Preset(database, "mariadb");
        Snapshot snapshot = await BackUpAsync(database, database.Volume);
        snapshot.Consistency.ShouldBe("pause");
        await SoundAsync(await StartOnRestoredAsync(database, DatabaseKind.MariaDb, snapshot));
        string before = await database.SqlAsync("select count(*) from shop.log");
        await Until(async () => await database.SqlAsync("select count(*) from shop.log") != before);
        await Scope.Running.NothingIsLeftAsync(database.Id);
    }

    [Fact(Timeout = Limit)]
    public async Task MariaDBs_dump_under_transfers_is_loaded_with_its_sum_and_clean_tables()
    {
        DatabaseContainer database = await TransferringAsync();
        Scope.Preset(database, "mariadb", "dump");
        Snapshot snapshot = await BackUpAsync(database, $"dump:{await NameOfAsync(database)}");
        DatabaseContainer fresh = await Scope.StartAsync(DatabaseKind.MariaDb);
        await Scope.Running.RestoreWellAsync(snapshot.Id, name: await NameOfAsync(fresh));
        await SoundAsync(fresh);
        await Scope.Running.NothingIsLeftAsync(database.Id, fresh.Id);
    }

    // ---- Redis: one MULTI writes two keys that must stay equal

    [Theory(Timeout = Limit)]
    [InlineData("")]
    [InlineData("--appendonly yes")]
    public async Task Rediss_volume_under_load_starts_again_and_nothing_is_torn(string options)
    {
        var variables = new Dictionary<string, string> { ["REDIS_OPTIONS"] = options };
        DatabaseContainer database = await Scope.StartAsync(DatabaseKind.Redis, variables: variables);
        await database.BackgroundAsync("export REDISCLI_AUTH=$REDIS_PASSWORD; i=0; while :; do i=$((i+1)); printf 'MULTI\\nSET one %s\\nSET two %s\\nEXEC\\n' $i $i; done | redis-cli >/dev/null");
        await database.BackgroundAsync("REDISCLI_AUTH=$REDIS_PASSWORD redis-benchmark -a \"$REDIS_PASSWORD\" -t set,lpush -n 1000000 -r 100000 -q >/dev/null");
        await Until(async () => (await database.RedisAsync("GET", "one")).Length >= 3);
        Snapshot snapshot = await BackUpAsync(database, database.Volume);
        await Scope.Running.RestoreWellAsync(snapshot.Id, name: Name(database, "r"));
        DatabaseContainer restored = await Scope.StartAsync(DatabaseKind.Redis, Name(database, "r"), variables);
        string one = await restored.RedisAsync("GET", "one");
        one.Length.ShouldBeGreaterThanOrEqualTo(3);
        (await restored.RedisAsync("GET", "two")).ShouldBe(one);
        await Scope.Running.NothingIsLeftAsync(database.Id);
    }

    [Fact(Timeout = Limit)]
    public async Task Rediss_dump_is_a_file_that_a_server_starts_from_and_is_not_loaded_into_a_running_one()
    {
        DatabaseContainer database = await Scope.StartAsync(DatabaseKind.Redis);
        await database.RedisAsync("SET", "answer", "42");
        Scope.Preset(database, "redis", "both");
        Snapshot snapshot = await BackUpAsync(database, $"dump:{await NameOfAsync(database)}");
        (await Should.ThrowAsync<BackupException>(Scope.Running.RestoreAsync(snapshot.Id))).Hint.ShouldContain("--output");
        string folder = Scope.Engine.Folder("out");
        await Scope.Running.RestoreWellAsync(snapshot.Id, output: folder);
        File.Move(Path.Combine(folder, "redis.rdb"), Path.Combine(folder, "dump.rdb"));
        DatabaseContainer restored = await Scope.StartAsync(DatabaseKind.Redis, await Scope.Engine.VolumeFromFolderAsync(folder, "rdb"));
        (await restored.RedisAsync("GET", "answer")).ShouldBe("42");
    }

    // ---- Mosquitto

    [Fact(Timeout = Limit)]
    public async Task Mosquittos_retained_messages_are_there_after_a_restore()
    {
        DatabaseContainer database = await Scope.StartAsync(DatabaseKind.Mosquitto);
        await database.ShellAsync("i=0; while [ $i -lt 50 ]; do i=$((i+1)); mosquitto_pub -h 127.0.0.1 -r -t kept/$i -m value$i; done");
        await database.BackgroundAsync("while :; do mosquitto_pub -h 127.0.0.1 -r -t noise -m \"$(date)\"; done");
        Snapshot snapshot = await BackUpAsync(database, database.Volume);
        DatabaseContainer restored = await StartOnRestoredAsync(database, DatabaseKind.Mosquitto, snapshot);
        string kept = await restored.ShellAsync("mosquitto_sub -h 127.0.0.1 -t 'kept/#' -C 50 -W 20");
        kept.Split('\n').Order().ShouldBe(Enumerable.Range(1, 50).Select(n => $"value{n}").Order());
    }

    // ---- secrecy

    [Fact(Timeout = Limit)]
    public async Task No_process_of_a_backup_has_a_password_among_its_arguments()
    {
        DatabaseContainer database = await TransferringAsync();
        Scope.Preset(database, "mariadb", "both");
        // Looks at every process of the container for as long as the backup runs.
        await database.BackgroundAsync("while [ ! -e /tmp/stop ]; do for p in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$p 2>/dev/null; echo; done >>/tmp/seen; done");
        await Until(async () => int.Parse(await database.ShellAsync("wc -l </tmp/seen || echo 0")) > 50);
        await Scope.Running.RunWellAsync();
        await database.ShellAsync("touch /tmp/stop");
        string seen = await database.ShellAsync("cat /tmp/seen");
        seen.ShouldContain("mariadb-dump");
        seen.ShouldContain("backup-mariadb-lock");
        seen.ShouldNotContain(DatabaseKind.Password);
    }

    private static async Task Until(Func<Task<bool>> holds)
    {
        long end = Environment.TickCount64 + 60_000;
        while (!await holds())
        {
            if (Environment.TickCount64 > end) throw new TimeoutException("what was waited for did not come");
            await Task.Delay(50);
        }
    }
}
