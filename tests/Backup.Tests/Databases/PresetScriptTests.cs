using System.Text;
using Backup.Environments;
using Backup.Policies;
using Backup.Quiescing;
using Backup.Tests.Environments;
using Shouldly;
using Xunit;

namespace Backup.Tests.Databases;

/// <summary>Each script of the table against the real database, one by one.</summary>
[Collection("engine")]
public sealed class PresetScriptTests(EngineFixture engine) : IAsyncLifetime
{
    private const int Limit = 120_000;
    private static readonly PresetOptions Options = PresetOptions.Default with { Patience = TimeSpan.FromSeconds(10) };
    private readonly EngineScope _scope = engine.NewScope();
    private DockerEnvironment _environment = null!;

    public Task InitializeAsync()
    {
        _environment = _scope.NewEnvironment(engine.UnixConnection(), "real");
        return Task.CompletedTask;
    }

    public async Task DisposeAsync()
    {
        await _environment.DisposeAsync();
        await _scope.DisposeAsync();
    }

    private Task<ExecResult> ExecAsync(DatabaseContainer database, PresetScript script, PresetOptions? options = null) =>
        _environment.ExecAsync(database.Id, script.Command(options ?? Options), TimeSpan.FromSeconds(60), default);

    private async Task<string> WellAsync(DatabaseContainer database, PresetScript script, PresetOptions? options = null)
    {
        ExecResult result = await ExecAsync(database, script, options);
        result.ExitCode.ShouldBe(0, $"{script.Name}: {result.Error}{result.Output}");
        return result.Output.TrimEnd('\n');
    }

    private async Task<byte[]> DumpAsync(DatabaseContainer database, DumpMethod method, PresetOptions? options = null)
    {
        await WellAsync(database, method.Check, options);
        await using Stream output = await _environment.OpenExecAsync(database.Id, method.Write.Command(options ?? Options), default);
        using var all = new MemoryStream();
        await output.CopyToAsync(all);
        byte[] dump = all.ToArray();
        IsWhole(method.Mark, dump).ShouldBeTrue(Encoding.UTF8.GetString(dump[^Math.Min(200, dump.Length)..]));
        IsWhole(method.Mark, dump[..(dump.Length / 2)]).ShouldBe(method.Mark.Tail.Length == 0, "half a dump");
        IsWhole(method.Mark, []).ShouldBeFalse();
        return dump;
    }

    private static bool IsWhole(DumpMark mark, byte[] dump) => mark.IsWhole(dump, dump.AsSpan(Math.Max(0, dump.Length - DumpMark.TailSpan)));

    private Task<ExecResult> LoadAsync(DatabaseContainer database, DumpMethod method, byte[] dump, PresetOptions? options = null) =>
        _environment.LoadAsync(database.Id, method.Load!.Command(options ?? Options), dump.Length, (input, cancel) => input.WriteAsync(dump, cancel).AsTask(), default);

    [Fact(Timeout = Limit)]
    public async Task PostgreSQL_is_checkpointed_dumped_whole_and_loaded_into_an_empty_server_and_over_a_full_one()
    {
        QuiescePreset preset = QuiescePresets.Named("postgres")!;
        DatabaseContainer from = await DatabaseContainer.StartAsync(_scope, DatabaseKind.Postgres);
        await from.SqlAsync("create role bob login password 'x'");
        await from.SqlAsync("create database \"sh'op\" owner bob");
        await from.SqlAsync("create table t (id int primary key, note text); insert into t select n, 'ERROR: row ' || n from generate_series(1, 1000) n; alter table t owner to bob", "sh'op");
        await WellAsync(from, preset.Check!);
        string before = await from.SqlAsync("select checkpoint_lsn from pg_control_checkpoint()");
        await WellAsync(from, preset.Before!);
        (await from.SqlAsync("select checkpoint_lsn from pg_control_checkpoint()")).ShouldNotBe(before);

        byte[] dump = await DumpAsync(from, preset.Dump!);
        (await WellAsync(from, preset.Dump!.Contents!)).ShouldContain("1 table, view or sequence in database sh'op");

        DatabaseContainer to = await DatabaseContainer.StartAsync(_scope, DatabaseKind.Postgres);
        (await WellAsync(to, preset.Dump.Contents!)).ShouldBe("empty");
        await LoadAsync(to, preset.Dump, dump);
        (await to.SqlAsync("select count(*), min(note), (select rolname from pg_roles r join pg_class c on c.relowner = r.oid where relname = 't') from t", "sh'op")).ShouldBe("1000|ERROR: row 1|bob");

        (await Should.ThrowAsync<EnvironmentException>(LoadAsync(to, preset.Dump, dump))).Problem.ShouldContain("already exists");
        await to.SqlAsync("create table extra (x int)");
        await WellAsync(to, preset.Dump.Clear!);
        (await WellAsync(to, preset.Dump.Contents!)).ShouldBe("empty");
        await LoadAsync(to, preset.Dump, dump);
        (await to.SqlAsync("select count(*) from t", "sh'op")).ShouldBe("1000");
    }

    [Fact(Timeout = Limit)]
    public async Task PostgreSQL_dumps_chosen_databases_as_SQL_and_one_in_its_own_format()
    {
        QuiescePreset preset = QuiescePresets.Named("postgres")!;
        DatabaseContainer database = await DatabaseContainer.StartAsync(_scope, DatabaseKind.Postgres);
        foreach (string name in (string[])["one", "two", "three"])
        {
            await database.SqlAsync($"create database {name}");
            await database.SqlAsync("create table t as select n from generate_series(1, 100) n", name);
        }
        PresetOptions chosen = Options with { Databases = ["one", "two"] };
        DumpMethod plain = preset.DumpFor(chosen)!;
        byte[] dump = await DumpAsync(database, plain, chosen);
        Encoding.UTF8.GetString(dump).ShouldNotContain("three");
        await WellAsync(database, plain.Clear!, chosen);
        (await database.SqlAsync("select string_agg(datname, ' ' order by datname) from pg_database where not datistemplate")).ShouldBe("postgres three");
        (await WellAsync(database, plain.Contents!, chosen)).ShouldBe("empty");
        await LoadAsync(database, plain, dump, chosen);
        (await database.SqlAsync("select sum(n) from t", "two")).ShouldBe("5050");

        PresetOptions one = Options with { Databases = ["one"], Format = DumpFormat.Custom };
        DumpMethod custom = preset.DumpFor(one)!;
        byte[] archive = await DumpAsync(database, custom, one);
        await database.SqlAsync("drop table t", "one");
        (await WellAsync(database, custom.Contents!, one)).ShouldBe("empty");
        await LoadAsync(database, custom, archive, one);
        (await database.SqlAsync("select sum(n) from t", "one")).ShouldBe("5050");
        (await ExecAsync(database, custom.Check, one with { Databases = ["none"] })).Error.ShouldContain("none");
    }

    [Theory(Timeout = Limit)]
    [InlineData("postgres", "POSTGRES_PASSWORD", "password authentication failed")]
    [InlineData("mariadb", "MARIADB_ROOT_PASSWORD", "Access denied")]
    [InlineData("redis", "REDIS_PASSWORD", "does not answer INFO")]
    public async Task A_wrong_password_is_found_by_the_check(string name, string variable, string problem)
    {
        DatabaseKind kind = name switch { "postgres" => DatabaseKind.Postgres, "mariadb" => DatabaseKind.MariaDb, _ => DatabaseKind.Redis };
        QuiescePreset preset = QuiescePresets.Named(name)!;
        DatabaseContainer database = await DatabaseContainer.StartAsync(_scope, kind);
        await WellAsync(database, preset.Check!);
        await WellAsync(database, preset.Dump!.Check);

        await database.ShellAsync("printf %s wrong >/tmp/wrong; printf '%s\\n' \"$" + variable + "\" >/tmp/right");
        PresetOptions wrong = Options with { PasswordFile = "/tmp/wrong" };
        foreach (PresetScript script in (PresetScript[])[preset.Check!, preset.Dump.Check])
        {
            ExecResult result = await ExecAsync(database, script, wrong);
            result.ExitCode.ShouldNotBe(0);
            result.Error.ShouldContain(problem);
            (await ExecAsync(database, script, Options with { PasswordFile = "/tmp/right" })).ExitCode.ShouldBe(0, "the policy's own password file, which ends with a newline");
        }
        (await ExecAsync(database, preset.Dump.Write, wrong)).ExitCode.ShouldNotBe(0);
    }

    [Fact(Timeout = Limit)]
    public async Task MariaDB_is_locked_until_the_session_is_told_to_end_and_then_free()
    {
        QuiescePreset preset = QuiescePresets.Named("mariadb")!;
        DatabaseContainer database = await DatabaseContainer.StartAsync(_scope, DatabaseKind.MariaDb);
        await database.SqlAsync("create database shop; create table shop.t (id int primary key) engine=MyISAM");
        await WellAsync(database, preset.Check!);

        Task<ExecResult> session = ExecAsync(database, preset.Session!);
        await WellAsync(database, preset.Before!);
        (await Should.ThrowAsync<InvalidOperationException>(database.SqlAsync("set lock_wait_timeout=1; insert into shop.t values (1)"))).Message.ShouldContain("Lock wait timeout");
        session.IsCompleted.ShouldBeFalse();
        await _environment.ActAsync(new ContainerAction(ContainerVerb.Pause, database.Id), default);
        await Task.Delay(500);
        await _environment.ActAsync(new ContainerAction(ContainerVerb.Unpause, database.Id), default);
        await WellAsync(database, preset.After!);
        ExecResult ended = await session;
        ended.ExitCode.ShouldBe(0, ended.Error);
        await database.SqlAsync("insert into shop.t values (1)");
        await WellAsync(database, preset.After!);
        (await database.ShellAsync("ls -d /dev/shm/backup-session 2>/dev/null || echo gone")).ShouldBe("gone");
    }

    [Fact(Timeout = Limit)]
    public async Task MariaDBs_lock_is_given_up_when_nobody_comes_when_its_session_is_killed_and_when_it_cannot_be_had()
    {
        QuiescePreset preset = QuiescePresets.Named("mariadb")!;
        DatabaseContainer database = await DatabaseContainer.StartAsync(_scope, DatabaseKind.MariaDb);
        await database.SqlAsync("create database shop; create table shop.t (id int primary key)");
        PresetOptions hasty = Options with { Patience = TimeSpan.FromSeconds(2) };

        ExecResult abandoned = await ExecAsync(database, preset.Session!, hasty);
        abandoned.ExitCode.ShouldNotBe(0);
        abandoned.Error.ShouldContain("nobody asked");
        await database.SqlAsync("insert into shop.t values (1)");

        Task<ExecResult> killed = ExecAsync(database, preset.Session!);
        await WellAsync(database, preset.Before!);
        await database.SqlAsync("select concat('kill ', id) from information_schema.processlist where info is null and user = 'root' and command = 'Sleep' into @kill; execute immediate @kill");
        await WellAsync(database, preset.After!);
        (await killed).ExitCode.ShouldNotBe(0, "a lock that was lost on the way proves nothing");

        await database.BackgroundAsync("MYSQL_PWD=$MARIADB_ROOT_PASSWORD mariadb -uroot -e 'lock tables shop.t write; select sleep(20)'");
        await Eventually(async () => (await database.SqlAsync("select count(*) from information_schema.processlist where info like 'select sleep%'")) == "1");
        Task<ExecResult> waiting = ExecAsync(database, preset.Session!, hasty);
        ExecResult before = await ExecAsync(database, preset.Before!, hasty);
        before.ExitCode.ShouldNotBe(0);
        await WellAsync(database, preset.After!, hasty);
        (await waiting).ExitCode.ShouldNotBe(0);
        (await database.SqlAsync("select count(*) from information_schema.processlist where info like 'flush%'")).ShouldBe("0", "no lock is waited for any more");
    }

    [Fact(Timeout = Limit)]
    public async Task MariaDB_is_dumped_whole_and_loaded_into_an_empty_server_and_over_a_full_one()
    {
        DumpMethod method = QuiescePresets.Named("mariadb")!.Dump!;
        DatabaseContainer from = await DatabaseContainer.StartAsync(_scope, DatabaseKind.MariaDb);
        await from.SqlAsync("create database `sh``op`; use `sh``op`; create table t (id int primary key, b blob); insert into t select seq, unhex('00ff27') from seq_1_to_1000; create procedure p() select 42; create trigger g before insert on t for each row set new.id = new.id; create event e on schedule every 1 year starts '2035-01-01' do delete from t; create user bob identified by 'x'");
        byte[] dump = await DumpAsync(from, method);
        (await WellAsync(from, method.Contents!)).ShouldContain("1 table or view in database sh`op");

        DatabaseContainer to = await DatabaseContainer.StartAsync(_scope, DatabaseKind.MariaDb);
        (await WellAsync(to, method.Contents!)).ShouldBe("empty");
        for (int i = 0; i < 2; i++)
        {
            await LoadAsync(to, method, dump);
            (await to.SqlAsync("use `sh``op`; select count(*), hex(min(b)) from t; call p(); select count(*) from information_schema.triggers where trigger_name = 'g'; select event_name from information_schema.events; select count(*) from mysql.user where user = 'bob'"))
                .ShouldBe("1000\t00FF27\n42\n1\ne\n1");
            await to.SqlAsync("create database extra; create table extra.t (x int)");
            await WellAsync(to, method.Clear!);
            (await WellAsync(to, method.Contents!)).ShouldBe("empty");
        }
        (await Should.ThrowAsync<EnvironmentException>(LoadAsync(to, method, "create database half; this is no SQL;\n"u8.ToArray()))).Problem.ShouldContain("exit code 1");
    }

    [Theory(Timeout = Limit)]
    [InlineData("")]
    [InlineData("--appendonly yes")]
    public async Task Redis_saves_or_keeps_its_append_only_file_well_and_dumps_a_whole_RDB_file(string options)
    {
        QuiescePreset preset = QuiescePresets.Named("redis")!;
        DatabaseContainer database = await DatabaseContainer.StartAsync(_scope, DatabaseKind.Redis, variables: new Dictionary<string, string> { ["REDIS_OPTIONS"] = options });
        await database.RedisAsync("SET", "answer", "42");
        await WellAsync(database, preset.Check!);
        string last = await database.RedisAsync("LASTSAVE");
        await WellAsync(database, preset.Before!);
        (long.Parse(await database.RedisAsync("LASTSAVE")) > long.Parse(last)).ShouldBe(options.Length == 0);
        byte[] dump = await DumpAsync(database, preset.Dump!);
        await database.ShellAsync("cp /data/dump.rdb /tmp/x.rdb; redis-check-rdb /tmp/x.rdb | grep -q 'RDB looks OK'");
        Encoding.Latin1.GetString(dump).ShouldContain("answer");
    }

    [Fact(Timeout = Limit)]
    public async Task Redis_on_a_full_disk_fails_the_save()
    {
        QuiescePreset preset = QuiescePresets.Named("redis")!;
        string volume = await _scope.VolumeAsync("small", options: new Dictionary<string, string> { ["type"] = "tmpfs", ["device"] = "tmpfs", ["o"] = "size=1m" });
        DatabaseContainer database = await DatabaseContainer.StartAsync(_scope, DatabaseKind.Redis, volume);
        await database.ShellAsync("head -c 3000000 /dev/urandom | REDISCLI_AUTH=$REDIS_PASSWORD redis-cli -x SET big >/dev/null");
        ExecResult result = await ExecAsync(database, preset.Before!);
        result.ExitCode.ShouldNotBe(0);
        result.Error.ShouldContain("BGSAVE failed");
        (await Should.ThrowAsync<EnvironmentException>(() => DumpAsync(database, preset.Dump!))).Problem.ShouldContain("BGSAVE failed");
    }

    [Fact(Timeout = Limit)]
    public async Task Mosquitto_writes_its_retained_messages_and_says_when_it_keeps_none()
    {
        QuiescePreset preset = QuiescePresets.Named("mosquitto")!;
        DatabaseContainer database = await DatabaseContainer.StartAsync(_scope, DatabaseKind.Mosquitto);
        await WellAsync(database, preset.Check!);
        for (int i = 0; i < 2; i++)
        {
            await database.ShellAsync($"mosquitto_pub -h 127.0.0.1 -r -t topic/{i} -m message{i}");
            await WellAsync(database, preset.Before!);
            (await database.ShellAsync($"grep -c message{i} /mosquitto/data/mosquitto.db")).ShouldBe("1");
        }
        DatabaseContainer forgetful = await DatabaseContainer.StartAsync(_scope, DatabaseKind.Mosquitto, variables: new Dictionary<string, string> { ["PERSISTENCE"] = "false" });
        (await ExecAsync(forgetful, preset.Check!)).Error.ShouldContain("persistence is off");
    }

    [Fact(Timeout = Limit)]
    public async Task SQLite_is_copied_whole_beside_itself_and_dumped_and_loaded()
    {
        QuiescePreset preset = QuiescePresets.Named("sqlite")!;
        string volume = await _scope.VolumeAsync("app");
        string id = await _scope.ContainerAsync(new TestContainer { Mounts = [new TestMount(volume, "/data")] });
        Task<string> Sql(string file, string sql) => _scope.DockerAsync("exec", id, "sqlite3", file, sql);
        async Task<ExecResult> Run(PresetScript script, string file) => await _environment.ExecAsync(id, script.Command(Options with { Files = [file] }), TimeSpan.FromSeconds(30), default);
        await Sql("/data/my app.db", "pragma journal_mode=wal; create table t (n); insert into t values (1), ('it''s')");
        (await Run(preset.Check!, "/data/none.db")).Error.ShouldContain("there is no /data/none.db");
        (await Run(preset.Check!, "/data/my app.db")).ExitCode.ShouldBe(0);
        ExecResult copied = await Run(preset.Before!, "/data/my app.db");
        copied.ExitCode.ShouldBe(0, copied.Error);
        (await Sql("/data/my app.db.backup", "select count(*) from t")).ShouldBe("2");
        (await Run(preset.After!, "/data/my app.db")).ExitCode.ShouldBe(0);
        (await _scope.DockerAsync("exec", id, "ls", "/data")).ShouldBe("my app.db");

        PresetOptions file = Options with { Files = ["/data/my app.db"] };
        await using Stream output = await _environment.OpenExecAsync(id, preset.Dump!.Write.Command(file), default);
        using var all = new MemoryStream();
        await output.CopyToAsync(all);
        IsWhole(preset.Dump.Mark, all.ToArray()).ShouldBeTrue(Encoding.UTF8.GetString(all.ToArray()));
        (await Run(preset.Dump.Contents!, "/data/my app.db")).Output.ShouldContain("1 table, view or index in");
        (await Run(preset.Dump.Clear!, "/data/my app.db")).ExitCode.ShouldBe(0);
        (await Run(preset.Dump.Contents!, "/data/my app.db")).Output.ShouldBe("empty\n");
        await _environment.LoadAsync(id, preset.Dump.Load!.Command(file), all.Length, (input, cancel) => input.WriteAsync(all.ToArray(), cancel).AsTask(), default);
        (await Sql("/data/my app.db", "select group_concat(n) from t")).ShouldBe("1,it's");
    }

    private static async Task Eventually(Func<Task<bool>> holds)
    {
        long end = Environment.TickCount64 + 20_000;
        while (!await holds())
        {
            if (Environment.TickCount64 > end) throw new TimeoutException("what was waited for did not come");
            await Task.Delay(50);
        }
    }
}
