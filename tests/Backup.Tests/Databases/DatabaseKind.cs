using Backup.Tests.Environments;

namespace Backup.Tests.Databases;

/// <summary>
/// A real database of Debian's packages as its official image runs it: the same variables, data folder and process 1, over an image that is empty but
/// for its name and borrows the host's programs.
/// </summary>
/// <param name="Start">Makes the data folder where it is empty, then becomes the server.</param>
/// <param name="Ready">Ends with 0 when the server answers; also what every question is asked after.</param>
public sealed record DatabaseKind(string Repository, string Tag, string DataPath, string Start, string Ready, IReadOnlyDictionary<string, string> Variables)
{
    /// <summary>Quotes and blanks, so that a script that loses one is found out.</summary>
    public const string Password = "s3cr\" et$";

    private const string Prepare = "set -e; mkdir -p /tmp /run /var/run; chmod 1777 /tmp; ";

    private static string As(string user) => $"setpriv --reuid={user} --regid={user} --init-groups";

    /// <summary>Its local connections ask for the password, as Bitnami's do; the official image trusts them.</summary>
    public static DatabaseKind Postgres { get; } = new("postgres", "15", "/var/lib/postgresql/data",
        Prepare + $$"""
            mkdir -p /run/postgresql; ln -sfn /run/postgresql /var/run/postgresql
            chown postgres /run/postgresql "$PGDATA"; chmod 700 "$PGDATA"
            if [ ! -s "$PGDATA/PG_VERSION" ]; then
              printf %s "$POSTGRES_PASSWORD" >/tmp/pw; chown postgres /tmp/pw
              {{As("postgres")}} initdb -D "$PGDATA" -U "$POSTGRES_USER" --pwfile=/tmp/pw --auth=scram-sha-256 -E UTF8 --locale=C >/dev/null
            fi
            exec {{As("postgres")}} postgres -D "$PGDATA" -c listen_addresses= -c shared_buffers=32MB
            """,
        "PGPASSWORD=$POSTGRES_PASSWORD psql -XwAtq -U \"$POSTGRES_USER\" -d postgres -c 'select 1'",
        new Dictionary<string, string>
        {
            ["PATH"] = $"{PostgresPrograms}:/usr/bin:/bin:/usr/sbin:/sbin", ["PGDATA"] = "/var/lib/postgresql/data",
            ["POSTGRES_USER"] = "app", ["POSTGRES_PASSWORD"] = Password,
        });

    public static DatabaseKind MariaDb { get; } = new("mariadb", "10.11", "/var/lib/mysql",
        Prepare + """
            mkdir -p /run/mysqld; ln -sfn /run/mysqld /var/run/mysqld; chown mysql /run/mysqld /var/lib/mysql
            if [ ! -d /var/lib/mysql/mysql ]; then
              mariadb-install-db --no-defaults --user=mysql --datadir=/var/lib/mysql --auth-root-authentication-method=normal --skip-test-db >/dev/null
              printf "ALTER USER 'root'@'localhost' IDENTIFIED BY '%s';\n" "$MARIADB_ROOT_PASSWORD" >/tmp/init.sql
              init=--init-file=/tmp/init.sql
            fi
            exec mariadbd --no-defaults --user=mysql --datadir=/var/lib/mysql --socket=/run/mysqld/mysqld.sock --skip-networking --innodb-buffer-pool-size=32M --event-scheduler=ON ${init-}
            """,
        "MYSQL_PWD=$MARIADB_ROOT_PASSWORD mariadb -uroot -N -B -e 'select 1'",
        new Dictionary<string, string> { ["MARIADB_ROOT_PASSWORD"] = Password });

    /// <summary>With a snapshot file alone, as the official image has it.</summary>
    public static DatabaseKind Redis { get; } = new("redis", "7", "/data",
        Prepare + $$"""chown -R redis /data; cd /data; exec {{As("redis")}} redis-server --dir /data --save "" --requirepass "$REDIS_PASSWORD" $REDIS_OPTIONS""",
        "test \"$(REDISCLI_AUTH=$REDIS_PASSWORD redis-cli PING)\" = PONG",
        new Dictionary<string, string> { ["REDIS_PASSWORD"] = Password, ["REDIS_OPTIONS"] = "" });

    public static DatabaseKind Mosquitto { get; } = new("eclipse-mosquitto", "2", "/mosquitto/data",
        Prepare + """
            mkdir -p /mosquitto/config; chown mosquitto /mosquitto/data
            printf 'listener 1883 127.0.0.1\nallow_anonymous true\npersistence %s\npersistence_location /mosquitto/data/\nautosave_interval 1800\nuser mosquitto\n' "$PERSISTENCE" >/mosquitto/config/mosquitto.conf
            exec mosquitto -c /mosquitto/config/mosquitto.conf
            """,
        "mosquitto_pub -h 127.0.0.1 -t ready -m 1",
        new Dictionary<string, string> { ["PERSISTENCE"] = "true" });

    /// <summary>The stand-in of <c>StandIns/mongo.js</c>: no package has the real one.</summary>
    /// <param name="shell"><c>mongosh</c>, or <c>mongo</c> as images before 5.0 have it.</param>
    public static DatabaseKind Mongo(string shell = "mongosh") => new("mongo", "7", "/data/db",
        Prepare + $"mkdir -p /opt/mongodb; for name in mongod {shell} mongodump mongorestore; do ln -sfn {StandIns}/mongo.js /opt/mongodb/$name; done; exec mongod",
        "test -s /srv/mongod/state.json",
        new Dictionary<string, string> { ["PATH"] = "/opt/mongodb:/usr/bin:/bin", ["MONGO_INITDB_ROOT_USERNAME"] = "app", ["MONGO_INITDB_ROOT_PASSWORD"] = $"it's {Password}" })
    {
        Memory = "/srv/mongod",
    };

    /// <summary>The stand-in of <c>StandIns/emqx</c>.</summary>
    public static DatabaseKind Emqx { get; } = new("emqx", "5.8", "/opt/emqx/data",
        Prepare + "exec emqx foreground",
        "emqx ctl status",
        new Dictionary<string, string> { ["PATH"] = $"{StandIns}:/usr/bin:/bin" })
    {
        Memory = "/srv/emqx",
    };

    /// <summary>Where containers find the programs that stand in for those that cannot be had.</summary>
    public const string StandIns = "/opt/stand-ins";

    /// <summary>Where a stand-in keeps what the real server has in memory: a folder of the host, so that a test sees it also while the container is paused. Null = it is real.</summary>
    public string? Memory { get; init; }

    /// <summary>Debian keeps PostgreSQL's own programs apart; those in /usr/bin choose among the clusters of the host.</summary>
    private static string PostgresPrograms => Directory.GetDirectories("/usr/lib/postgresql").Select(d => Path.Combine(d, "bin")).Where(Directory.Exists).Order().LastOrDefault()
        ?? throw new InvalidOperationException("there is no PostgreSQL on this host: tests/run.sh installs it");
}

/// <summary>One running database of a test.</summary>
public sealed class DatabaseContainer
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private readonly EngineScope _scope;
    private readonly DatabaseKind _kind;

    private DatabaseContainer(EngineScope scope, DatabaseKind kind, string volume, string id, string? memory) =>
        (_scope, _kind, Volume, Id, Memory) = (scope, kind, volume, id, memory);

    public string Id { get; }
    public string Volume { get; }

    /// <summary>The host's folder behind <see cref="DatabaseKind.Memory"/>.</summary>
    public string? Memory { get; }

    /// <param name="volume">Null = a new one.</param>
    /// <param name="variables">Beside those of the kind, and before them.</param>
    public static async Task<DatabaseContainer> StartAsync(
        EngineScope scope, DatabaseKind kind, string? volume = null, IReadOnlyDictionary<string, string>? variables = null,
        IReadOnlyDictionary<string, string>? labels = null, string? name = null, IReadOnlyList<TestMount>? mounts = null)
    {
        volume ??= await scope.VolumeAsync($"{kind.Repository}{Guid.NewGuid():n}"[..26]);
        string? memory = kind.Memory is null ? null : scope.Folder(kind.Repository);
        if (memory is not null)
            mounts = [.. mounts ?? [], new TestMount(memory, kind.Memory!), new TestMount(Path.Combine(EngineFixture.Repository, "tests/Backup.Tests/Databases/StandIns"), DatabaseKind.StandIns, true)];
        string id = await scope.ContainerAsync(new TestContainer(kind.Start)
        {
            Image = await scope.EmptyImageAsync(kind.Repository, kind.Tag),
            Mounts = [new TestMount(volume, kind.DataPath), .. Identities, .. mounts ?? []],
            Variables = kind.Variables.Concat(variables ?? new Dictionary<string, string>()).GroupBy(v => v.Key).ToDictionary(v => v.Key, v => v.Last().Value),
            Labels = labels ?? new Dictionary<string, string>(),
            StopTimeout = 20,
            Name = name,
        });
        var database = new DatabaseContainer(scope, kind, volume, id, memory);
        await database.ReadyAsync();
        return database;
    }

    /// <summary>Waits until it answers.</summary>
    public async Task ReadyAsync()
    {
        long end = Environment.TickCount64 + (long)Patience.TotalMilliseconds;
        while (true)
        {
            try
            {
                await ShellAsync(_kind.Ready);
                return;
            }
            catch (InvalidOperationException) when (Environment.TickCount64 < end)
            {
                await Task.Delay(100);
            }
            catch (InvalidOperationException e)
            {
                throw new InvalidOperationException($"{_kind.Repository} did not get ready: {e.Message}\n{await _scope.DockerAsync("logs", "--tail", "20", Id)}");
            }
        }
    }

    /// <summary>What a shell script in the container prints; a failure throws with its words.</summary>
    public Task<string> ShellAsync(string script) => _scope.DockerAsync("exec", Id, "/bin/sh", "-ec", script);

    /// <summary>Starts a script that goes on by itself.</summary>
    public Task BackgroundAsync(string script) => _scope.DockerAsync("exec", "-d", Id, "/bin/sh", "-c", script);

    public Task<string> SqlAsync(string sql, string database = "") => _kind.Repository == "postgres"
        ? _scope.DockerAsync("exec", Id, "/bin/sh", "-ec", "PGPASSWORD=$POSTGRES_PASSWORD exec psql -XwAtq -v ON_ERROR_STOP=1 -U \"$POSTGRES_USER\" -d \"${1:-postgres}\" -c \"$0\"", sql, database)
        : _scope.DockerAsync("exec", Id, "/bin/sh", "-ec", "MYSQL_PWD=$MARIADB_ROOT_PASSWORD exec mariadb -uroot -N -B -e \"$0\" $1", sql, database);

    public Task<string> RedisAsync(params string[] command) => _scope.DockerAsync(["exec", Id, "/bin/sh", "-ec", "REDISCLI_AUTH=$REDIS_PASSWORD exec redis-cli \"$@\"", "redis", .. command]);

    private static IEnumerable<TestMount> Identities =>
        new[] { "/etc/passwd", "/etc/group", "/etc/alternatives", "/sbin" }.Where(p => File.Exists(p) || Directory.Exists(p)).Select(p => new TestMount(p, p, true));
}
