namespace Backup.Quiescing.Presets;

internal static class MongoPreset
{
    internal static QuiescePreset Row { get; } = new("mongodb", ["mongo", "mongodb", "mongodb-community-server", "mongodb-enterprise-server", "percona-server-mongodb"],
        "fsyncLock, then pause, then fsyncUnlock")
    {
        Takes = ["user", "passwordFile", "databases"],
        Check = new("backup-mongodb-check", Client + """
            need mongosh
            js "if (admin.currentOp().fsyncLock === true) { print('the server is fsync-locked already'); quit(1); }"
            """),
        Session = new("backup-mongodb-lock", Client + Shell.Session + """
            need mongosh
            begin_session
            unlock() { js "if (admin.currentOp().fsyncLock === true) { const done = admin.fsyncUnlock(); if (done.ok !== 1) { print(done.errmsg); quit(1); } }"; }
            trap 'unlock; rm -rf "$place"' EXIT
            js "const done = admin.fsyncLock(); if (done.ok !== 1) { print(done.errmsg); quit(1); }"
            locked
            hold || fail "nobody asked for the end of the lock"
            js "if (admin.currentOp().fsyncLock !== true) { print('the lock was lost'); quit(1); }"
            """),
        Before = Shell.AwaitLock("mongodb"),
        After = Shell.Release("mongodb"),
        Dump = new DumpMethod("mongodump --archive", "mongodb.archive",
            new("backup-mongodb-check-dump", Client + """
                need mongosh mongodump mongorestore
                js "admin.runCommand({ ping: 1 })"
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
                js "const system = ['admin', 'config', 'local']; const names = admin.adminCommand({ listDatabases: 1, nameOnly: true }).databases.map(d => d.name).filter(n => !system.includes(n)); print(names.length ? 'the databases ' + names.join(', ') : 'empty')"
                """),
            Clear = new("backup-mongodb-clear", """
                # The load itself drops each collection that the dump has.
                """),
        },
    };

    // The tools take a password from a configuration file, the shell from a variable. The file is a pipe: nothing of it touches a disk.
    private const string Client = """
        BACKUP_USER=${user:-${MONGO_INITDB_ROOT_USERNAME:-${MONGODB_ROOT_USER:-root}}}
        BACKUP_PASSWORD=$(secret MONGO_INITDB_ROOT_PASSWORD MONGODB_ROOT_PASSWORD)
        export BACKUP_USER BACKUP_PASSWORD

        js() {
          mongosh --quiet --norc --nodb --eval "const admin = new Mongo('mongodb://127.0.0.1:27017/?directConnection=true').getDB('admin'); if (process.env.BACKUP_PASSWORD) admin.auth(process.env.BACKUP_USER, process.env.BACKUP_PASSWORD); $1"
        }

        # tool DESCRIPTOR PROGRAM …: the password goes through that descriptor, so that standard input stays free where it is needed.
        tool() {
          descriptor=$1
          shift
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
