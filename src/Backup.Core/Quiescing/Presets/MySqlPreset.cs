using System.Text;

namespace Backup.Quiescing.Presets;

/// <summary>MySQL and MariaDB: the same scripts, which take the client programs of either name.</summary>
internal static class MySqlPreset
{
    internal static QuiescePreset MySql { get; } = Row("mysql", ["mysql", "mysql-server", "percona", "percona-server"]);
    internal static QuiescePreset MariaDb { get; } = Row("mariadb", ["mariadb", "mariadb-galera"]);

    private static QuiescePreset Row(string name, IReadOnlyList<string> images) => new(name, images,
        "FLUSH TABLES WITH READ LOCK, then pause: what is not transactional is closed cleanly, too")
    {
        Takes = ["user", "passwordFile", "databases"],
        Check = new($"backup-{name}-check", Client + """
            find_client
            ask "select 1" >/dev/null
            grants=$(ask "show grants")
            case $grants in *"ALL PRIVILEGES ON *.*"* | *RELOAD* | *FLUSH_TABLES*) ;; *) fail "the user $MYSQL_USER_CHOSEN may not lock: it lacks RELOAD" ;; esac
            """),
        Session = new($"backup-{name}-lock", Client + Shell.Session + """
            find_client
            begin_session
            # One connection for all: as long as it answers, it has held the lock since it said so.
            {
              echo "set session lock_wait_timeout = $patience, session wait_timeout = 86400;"
              echo "select concat('id ', connection_id());"
              echo "flush tables with read lock;"
              echo "select 'locked';"
              if hold; then echo "select 'held';"; fi
            } | "$client" -u "$MYSQL_USER_CHOSEN" -N -B -n --skip-reconnect | {
              while read -r word rest; do
                case $word in
                  id) echo "$rest" >"$place/id" ;;
                  locked) locked ;;
                  held) : >"$place/held" ;;
                esac
              done
              : >"$place/ended"
            }
            [ -e "$place/held" ] || fail "the lock was lost, or nobody asked for its end"
            """),
        Before = Shell.AwaitLock(name),
        // A lock that is still waited for keeps every other session from writing: it is given up by the server, not only by its client.
        After = new($"backup-{name}-release", Client + """
            if [ -e "$place/id" ] && [ ! -e "$place/locked" ] && find_client; then ask "kill $(cat "$place/id")" 2>/dev/null || true; fi

            """ + Shell.Release(name).Text),
        Dump = new DumpMethod("mysqldump --single-transaction: every database with routines, events and triggers as SQL", $"{name}.sql",
            new($"backup-{name}-check-dump", Client + """
                find_client
                find_dump
                ask "select 1" >/dev/null
                for name; do ask "select 1" "$name" >/dev/null; done
                """),
            new($"backup-{name}-dump", Client + """
                find_dump
                if [ $# -gt 0 ]; then set -- --databases "$@"; else set -- --all-databases; fi
                exec "$dump" -u "$MYSQL_USER_CHOSEN" --single-transaction --quick --routines --events --triggers --hex-blob "$@"
                """),
            new DumpMark("its last line, \"Dump completed\"", [], Encoding.ASCII.GetBytes("-- Dump completed")))
        {
            Load = new($"backup-{name}-load", Client + """
                find_client
                exec "$client" -u "$MYSQL_USER_CHOSEN" --binary-mode
                """),
            Contents = new($"backup-{name}-contents", Client + """
                find_client
                only=
                for name; do only="$only${only:+, }'$(printf %s "$name" | sed "s/'/''/g")'"; done
                found=$(ask "select concat(if(count(*) = 1, '1 table or view', concat(count(*), ' tables and views')), ' in database ', table_schema) from information_schema.tables where table_schema not in ('mysql', 'information_schema', 'performance_schema', 'sys') ${only:+and table_schema in ($only)} group by table_schema")
                echo "${found:-empty}"
                """),
            Clear = new($"backup-{name}-clear", Client + """
                find_client
                if [ $# -gt 0 ]; then
                  for name; do printf '%s\n' "$name"; done
                else
                  ask "select schema_name from information_schema.schemata where schema_name not in ('mysql', 'information_schema', 'performance_schema', 'sys')"
                fi | while IFS= read -r name; do
                  ask "drop database if exists \`$(printf %s "$name" | sed 's/`/``/g')\`"
                done
                """),
        },
    };

    private const string Client = """
        find_client() { client=$(command -v mariadb || command -v mysql) || fail "there is neither mariadb nor mysql in the container"; }
        find_dump() { dump=$(command -v mariadb-dump || command -v mysqldump) || fail "there is neither mariadb-dump nor mysqldump in the container"; }
        ask() { "$client" -u "$MYSQL_USER_CHOSEN" -N -B -e "$1" ${2:+"$2"}; }

        MYSQL_USER_CHOSEN=${user:-${MARIADB_ROOT_USER:-${MYSQL_ROOT_USER:-root}}}
        MYSQL_PWD=$(secret MARIADB_ROOT_PASSWORD MYSQL_ROOT_PASSWORD MARIADB_MASTER_ROOT_PASSWORD MYSQL_MASTER_ROOT_PASSWORD)
        # A root whose password nobody knows: what is left is the image's ordinary user.
        if [ -z "$MYSQL_PWD$user" ] && [ -n "${MARIADB_RANDOM_ROOT_PASSWORD-}${MYSQL_RANDOM_ROOT_PASSWORD-}" ]; then
          MYSQL_USER_CHOSEN=${MARIADB_USER:-${MYSQL_USER-}}
          MYSQL_PWD=$(secret MARIADB_PASSWORD MYSQL_PASSWORD)
        fi
        if [ -n "$MYSQL_PWD" ]; then export MYSQL_PWD; else unset MYSQL_PWD; fi


        """;
}
