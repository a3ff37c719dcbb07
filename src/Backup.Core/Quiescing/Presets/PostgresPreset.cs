using System.Text;
using Backup.Policies;

namespace Backup.Quiescing.Presets;

internal static class PostgresPreset
{
    internal static QuiescePreset Row { get; } = new("postgres",
        ["postgres", "postgresql", "postgis", "timescaledb", "timescaledb-ha", "pgvector", "postgresql-repmgr", "pgvecto-rs"],
        "CHECKPOINT, then pause: after a restore the server replays no more than the last seconds of its log")
    {
        Takes = ["user", "passwordFile", "databases", "format"],
        Check = new("backup-postgres-check", Client + """
            need psql
            ask "select 1" >/dev/null
            [ "$(ask "select rolsuper or exists (select from pg_auth_members m join pg_roles g on g.oid = m.roleid where m.member = r.oid and g.rolname = 'pg_checkpoint') from pg_roles r where rolname = current_user")" = t ] ||
              fail "the user $PGUSER may not run CHECKPOINT: it is no superuser and not in pg_checkpoint"
            """),
        Before = new("backup-postgres-checkpoint", Client + """
            PGOPTIONS="-c statement_timeout=${patience}s" ask checkpoint
            """),
        DumpOfDatabases = Method("pg_dump of the named databases as SQL", "postgres.sql",
            new("backup-postgres-dump", Client + """
                for name; do pg_dump -w --create --lock-wait-timeout=$((patience * 1000)) -d "$name"; done
                # Each dump has its own last line; this one stands behind the last of them.
                echo "-- all $# databases are complete"
                """),
            new DumpMark("its last line, \"all … databases are complete\"", [], Encoding.ASCII.GetBytes(" databases are complete"))),
        DumpCustom = Method("pg_dump -Fc of one database, for pg_restore", "postgres.dump",
            new("backup-postgres-dump", Client + """
                [ $# -eq 1 ] || fail "the custom format is of one database, and the policy names $#"
                exec pg_dump -w -Fc -Z0 --lock-wait-timeout=$((patience * 1000)) -d "$1"
                """),
            new DumpMark("the head of pg_dump's custom format", "PGDMP"u8.ToArray(), [])) with
        {
            Load = new("backup-postgres-load", Client + """
                exec pg_restore -w --exit-on-error --clean --if-exists --create -d template1
                """),
        },
        Dump = Method("pg_dumpall: every database, roles and tablespaces as SQL", "postgres.sql",
            new("backup-postgres-dump", Client + """
                exec pg_dumpall -w --lock-wait-timeout=$((patience * 1000))
                """),
            new DumpMark("its last line, \"PostgreSQL database cluster dump complete\"", [], Encoding.ASCII.GetBytes("-- PostgreSQL database cluster dump complete"))),
    };

    // The official image and Bitnami's have other names for the same things. The password of Bitnami's superuser is its own variable when
    // the image was told to make an ordinary user.
    private const string Client = """
        export PGUSER="${user:-${POSTGRES_USER:-${POSTGRESQL_USERNAME:-postgres}}}" PGCONNECT_TIMEOUT=10 PGAPPNAME=backup
        PGPASSWORD=$(secret POSTGRES_PASSWORD POSTGRESQL_PASSWORD PGPASSWORD)
        if [ -z "$user" ] && [ -n "${POSTGRESQL_POSTGRES_PASSWORD-}${POSTGRESQL_POSTGRES_PASSWORD_FILE-}" ]; then
          PGUSER=postgres PGPASSWORD=$(secret POSTGRESQL_POSTGRES_PASSWORD)
        fi
        if [ -n "$PGPASSWORD" ]; then export PGPASSWORD; else unset PGPASSWORD; fi

        ask() { psql -XwAtq -v ON_ERROR_STOP=1 -d "${2:-postgres}" -c "$1"; }


        """;

    /// <summary>Runs a query over the databases that the policy names, or over all when it names none.</summary>
    private const string Chosen = """
        chosen() {
          if [ $# -le 1 ]; then ask "$1" template1; return; fi
          query=$1
          shift
          for name; do printf "%s and datname = :'name';\n" "$query" | psql -XwAtq -v ON_ERROR_STOP=1 -v name="$name" -d template1; done
        }

        """;

    private static DumpMethod Method(string words, string fileName, PresetScript write, DumpMark mark) => new(words, fileName,
        new("backup-postgres-check-dump", Client + """
            need psql pg_dump pg_dumpall
            ask "select 1" >/dev/null
            for name; do ask "select 1" "$name" >/dev/null; done
            [ $# -gt 0 ] || [ "$(ask "select rolsuper from pg_roles where rolname = current_user")" = t ] || fail "the user $PGUSER may not dump all: it is no superuser"
            """), write, mark)
    {
        // The roles and databases that every server has from its start exist already, and only these errors are none. A load through a pipe
        // reports its errors line by line; they are counted by their code, in the server's own language.
        Load = new("backup-postgres-load", Client + """
            export PGOPTIONS="-c lc_messages=C"
            errors=$(
              { psql -Xwq -v VERBOSITY=verbose -d postgres 2>&1 >/dev/null || echo "FATAL:  psql ended with exit code $?"; } |
                grep -E '(ERROR|FATAL|PANIC):|^psql: error|invalid command' | grep -vE 'ERROR:  (42710: role|42P04: database) ' | head -n 20
            ) || true
            [ -z "$errors" ] || fail "$errors"
            """),
        Contents = new("backup-postgres-contents", Client + Chosen + """
            names=$(chosen "select datname from pg_database where not datistemplate and datallowconn" "$@")
            found=$(
              printf '%s\n' "$names" | while IFS= read -r name; do
                [ -n "$name" ] || continue
                tables=$(ask "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r','p','v','m','S','f') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')" "$name")
                [ "$tables" = 0 ] || counted "$tables" "table, view or sequence in database $name" "tables, views and sequences in database $name"
              done
            )
            echo "${found:-empty}"
            """),
        Clear = new("backup-postgres-clear", Client + Chosen + """
            force="case when current_setting('server_version_num')::int >= 130000 then ' with (force)' else '' end"
            chosen "select format('drop database %I', datname) || $force from pg_database where not datistemplate" "$@" | while IFS= read -r drop; do
              ask "$drop" template1
            done
            [ "$(ask "select count(*) from pg_database where datname = 'postgres'" template1)" = 1 ] || ask "create database postgres" template1
            """),
    };
}
