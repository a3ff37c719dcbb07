using System.Text;

namespace Backup.Quiescing.Presets;

/// <summary>Chosen by name only: no image tells that an application keeps its data in SQLite.</summary>
internal static class SqlitePreset
{
    internal static QuiescePreset Row { get; } = new("sqlite", [],
        "a copy by .backup beside each file, checked; then pause. The copies are removed afterwards")
    {
        Takes = ["files"],
        Check = new("backup-sqlite-check", Files + """
            for file; do [ -f "$file" ] || fail "there is no $file in the container"; sqlite3 "$file" "select 1 from sqlite_master limit 1" >/dev/null; done
            """),
        Before = new("backup-sqlite-copy", Files + """
            for file; do
              rm -f -- "$file.backup"
              sqlite3 -bail "$file" ".timeout $((patience * 1000))" ".backup '$file.backup'"
              [ "$(sqlite3 "$file.backup" "pragma integrity_check")" = ok ] || fail "the copy of $file is not whole"
            done
            """),
        After = new("backup-sqlite-clean", """
            for file; do rm -f -- "$file.backup" "$file.backup-journal" "$file.backup-wal" "$file.backup-shm"; done
            """),
        Dump = new DumpMethod("sqlite3 .dump of one file as SQL", "sqlite.sql",
            new("backup-sqlite-check-dump", Files + """
                [ $# -eq 1 ] || fail "a dump is of one file, and the policy names $#"
                [ -f "$1" ] || fail "there is no $1 in the container"
                sqlite3 "$1" "select 1 from sqlite_master limit 1" >/dev/null
                """),
            new("backup-sqlite-dump", Files + """
                exec sqlite3 -bail "$1" ".timeout $((patience * 1000))" .dump
                """),
            new DumpMark("its last line, \"COMMIT;\"", Encoding.ASCII.GetBytes("PRAGMA foreign_keys=OFF;"), Encoding.ASCII.GetBytes("COMMIT;\n"), FromEnd: 8))
        {
            Load = new("backup-sqlite-load", Files + """
                exec sqlite3 -bail "$1" ".timeout $((patience * 1000))" ".read /dev/stdin"
                """),
            Contents = new("backup-sqlite-contents", Files + """
                tables=$(if [ -f "$1" ]; then sqlite3 "$1" "select count(*) from sqlite_master where name not like 'sqlite~_%' escape '~'"; else echo 0; fi)
                if [ "$tables" = 0 ]; then echo empty; else counted "$tables" "table, view or index in $1" "tables, views and indexes in $1"; fi
                """),
            Clear = new("backup-sqlite-clear", Files + """
                sqlite3 -bail "$1" ".timeout $((patience * 1000))" ".dbconfig reset_database on" vacuum ".dbconfig reset_database off" >/dev/null
                """),
        },
    };

    private const string Files = """
        need sqlite3
        [ $# -gt 0 ] || fail "the policy names no file: \"files\": [\"/data/app.db\"]"


        """;
}
