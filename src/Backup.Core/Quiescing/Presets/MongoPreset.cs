namespace Backup.Quiescing.Presets;

/// <summary>MongoDB, by <c>mongosh</c> or, where there is none (images before 5.0), by the old shell <c>mongo</c>.</summary>
internal static class MongoPreset
{
    internal static QuiescePreset Row { get; } = new("mongodb", ["mongo", "mongodb", "mongodb-community-server", "mongodb-enterprise-server", "percona-server-mongodb"],
        "fsyncLock, then pause, then fsyncUnlock")
    {
        Takes = ["user", "passwordFile", "databases"],
        Check = new("backup-mongodb-check", Client + """
            js 'if (locked()) refuse("the server is fsync-locked already: db.fsyncUnlock() frees it");'
            """),
        // One connection takes the lock and gives it back: while a server is locked it may let nobody else log in. The lock is the server's, counted, and
        // outlives its connection: whatever ends the session, it is given back by somebody, but never one lock more than was taken.
        Session = new("backup-mongodb-lock", Client + Shell.Session + """
            begin_session
            give_back() { if [ -e "$place/locking" ] && [ ! -e "$place/free" ]; then free_lock || echo "the server may still be fsync-locked: db.fsyncUnlock() frees it" >&2; fi; }
            trap 'give_back; rm -rf "$place"' EXIT
            js "
              function there(name) {
                if (typeof process === 'object') return require('fs').existsSync('$place/' + name);
                try { return ls('$place').indexOf('$place/' + name) >= 0; } catch (e) { return false; }
              }
              print('locking');
              ok(db.fsyncLock());
              print('locked');
              let naps = $((patience * 5));
              while (there('pid') && !there('release') && naps > 0) { sleep(200); naps = naps - 1; }
              if (!there('pid')) refuse('the session has ended');
              if (!locked()) { print('free'); refuse('the lock was lost'); }
              ok(db.fsyncUnlock());
              print('free');
              if (!there('release')) refuse('nobody asked for the end of the lock');
              print('held');
            " | while read -r word rest; do
              case $word in
                locking | locked | free | held) : >"$place/$word" ;;
                *) echo "$word $rest" >&2 ;;
              esac
            done
            [ -e "$place/held" ] || fail "the lock was not held to its end"
            """),
        Before = Shell.AwaitLock("mongodb"),
        // A session that was killed cannot give the lock back.
        After = new("backup-mongodb-release", Client + Shell.Session + """
            if [ -e "$place/locking" ] && [ ! -e "$place/free" ] && ! alive; then
              free_lock || fail "the server is still fsync-locked: db.fsyncUnlock() frees it, or a restart of the container"
              rm -rf "$place"
              exit 0
            fi

            """ + Shell.Release("mongodb").Text),
        Dump = new DumpMethod("mongodump --archive", "mongodb.archive",
            new("backup-mongodb-check-dump", Client + """
                need mongodump mongorestore
                if [ -n "$BACKUP_PASSWORD" ]; then
                  case $(mongodump --help) in *--config*) ;; *) fail "this mongodump is older than 100.3: it takes a password only as an argument, which others could read" ;; esac
                fi
                js 'ok(db.adminCommand({ listDatabases: 1, nameOnly: true }));' >/dev/null
                """),
            new("backup-mongodb-dump", Client + """
                if [ $# -gt 1 ]; then fail "a dump of MongoDB is of one database or of all, and the policy names $#"; fi
                tool 0 mongodump --quiet --archive ${1:+--db "$1"}
                """),
            new DumpMark("the head and the end mark of mongodump's archive", [0x6D, 0xE2, 0x99, 0x81], [0xFF, 0xFF, 0xFF, 0xFF], FromEnd: 4))
        {
            Load = new("backup-mongodb-load", Client + """
                tool 3 mongorestore --quiet --archive --drop --stopOnError
                """),
            Contents = new("backup-mongodb-contents", Client + """
                found=$(each "$@" 'const n = db.getSiblingDB(name).getCollectionNames().length; print((n === 1 ? "1 collection" : n + " collections") + " in database " + name);')
                echo "${found:-empty}"
                """),
            Clear = new("backup-mongodb-clear", Client + """
                each "$@" 'ok(db.getSiblingDB(name).dropDatabase());' >/dev/null
                """),
        },
    };

    // The tools take a password from a configuration file, mongosh's script from a variable, and mongo asks for it on standard input. The file is a pipe:
    // nothing of it touches a disk. mongosh throws where a command fails, mongo answers it; and only the command, not mongosh's currentOp(), tells of the lock.
    private const string Client = """
        shell=$(command -v mongosh || command -v mongo) || fail "there is neither mongosh nor mongo in the container"
        port=${MONGODB_PORT_NUMBER:-27017}
        BACKUP_USER=${user:-${MONGO_INITDB_ROOT_USERNAME:-${MONGODB_ROOT_USER:-root}}}
        BACKUP_PASSWORD=$(secret MONGO_INITDB_ROOT_PASSWORD MONGODB_ROOT_PASSWORD)
        export BACKUP_USER BACKUP_PASSWORD

        # js SCRIPT: in the database admin, logged in. What it needs beside what both shells have:
        common='
          function refuse(why) { print(why); quit(1); }
          function ok(answer) { if (answer.ok !== 1) refuse(answer.errmsg); return answer; }
          function locked() { return ok(db.adminCommand({ currentOp: 1, $ownOps: true })).fsyncLock === true; }
        '
        js() {
          if [ "${shell##*/}" = mongosh ]; then
            "$shell" --quiet --norc "127.0.0.1:$port/admin" --eval "$common if (process.env.BACKUP_PASSWORD) { db.auth(process.env.BACKUP_USER, process.env.BACKUP_PASSWORD); } $1" </dev/null
          elif [ -n "$BACKUP_PASSWORD" ]; then
            printf '%s\n' "$BACKUP_PASSWORD" | "$shell" --quiet --norc --username "$BACKUP_USER" --password --authenticationDatabase admin "127.0.0.1:$port/admin" --eval "$common $1"
          else
            "$shell" --quiet --norc "127.0.0.1:$port/admin" --eval "$common $1" </dev/null
          fi
        }

        # each [DATABASE] SCRIPT: for each user's database by its name, or for the named one only. No name has a quote or a backslash in it.
        each() {
          only=
          if [ $# -gt 1 ]; then only=$1; shift; fi
          answer=$(js "for (const found of ok(db.adminCommand({ listDatabases: 1, nameOnly: true })).databases) {
            const name = found.name;
            if (['admin', 'config', 'local'].indexOf(name) < 0 && ('$only' === '' || name === '$only')) { $1 }
          } print('');") || fail "$answer"
          printf '%s\n' "$answer" | sed '/^$/d'
        }

        free_lock() { js 'if (locked()) { ok(db.fsyncUnlock()); } print("");' >/dev/null; }

        # tool DESCRIPTOR PROGRAM …: the password goes through that descriptor, so that standard input stays free where it is needed.
        tool() {
          descriptor=$1
          shift
          set -- "$@" --port "$port"
          if [ -z "$BACKUP_PASSWORD" ]; then exec "$@"; fi
          password=$(printf %s "$BACKUP_PASSWORD" | sed "s/'/''/g")
          set -- "$@" --username "$BACKUP_USER" --authenticationDatabase admin --config "/dev/fd/$descriptor"
          if [ "$descriptor" = 0 ]; then
            printf "password: '%s'\n" "$password" | "$@"
          else
            { printf "password: '%s'\n" "$password" | { exec 3<&0; "$@" <&4; }; } 4<&0
          fi
        }


        """;
}
