namespace Backup.Quiescing.Presets;

/// <summary>Redis and Valkey: the same scripts, which take the client program of either name.</summary>
internal static class RedisPreset
{
    internal static QuiescePreset Redis { get; } = Row("redis", ["redis", "redis-stack", "redis-stack-server", "redis-cluster", "keydb"]);
    internal static QuiescePreset Valkey { get; } = Row("valkey", ["valkey", "valkey-cluster", "valkey-bundle"]);

    private static QuiescePreset Row(string name, IReadOnlyList<string> images) => new(name, images,
        "BGSAVE and its success, or with an append-only file the end of its rewriting; then pause")
    {
        Takes = ["user", "passwordFile"],
        Check = new($"backup-{name}-check", Client + """
            [ -n "$(info rdb_last_bgsave_status)" ] || fail "the server does not answer INFO: $(cli PING 2>&1 | head -n 1)"
            """),
        Before = new($"backup-{name}-save", Client + Saving + """
            await idle || fail "a save or a rewriting of the append-only file runs for longer than $patience seconds"
            if [ "$(info aof_enabled)" = 1 ]; then
              # The server starts from the append-only file: it must be well, and a second copy of it all beside it would only cost room.
              [ "$(info aof_last_write_status)" = ok ] || fail "the last write to the append-only file failed"
              [ "$(info aof_last_bgrewrite_status)" = ok ] || fail "the last rewriting of the append-only file failed"
            else
              save
            fi
            """),
        Dump = new DumpMethod("BGSAVE, then the RDB file", $"{name}.rdb",
            new($"backup-{name}-check-dump", Client + """
                [ -n "$(info rdb_last_bgsave_status)" ] || fail "the server does not answer INFO: $(cli PING 2>&1 | head -n 1)"
                [ -d "$(setting dir)" ] || fail "the server does not tell its directory, or it is not in this container"
                """),
            new($"backup-{name}-dump", Client + Saving + """
                await idle || fail "a save or a rewriting of the append-only file runs for longer than $patience seconds"
                save
                exec cat -- "$(setting dir)/$(setting dbfilename)"
                """),
            // Behind the end mark stand eight bytes of checksum.
            new DumpMark("the head and the end mark of an RDB file", "REDIS"u8.ToArray(), [0xFF], FromEnd: 9))
        {
            LoadByHand = "A server reads an RDB file only when it starts: write it out with --output, stop the server, put it in place of dump.rdb in its empty volume (append-only file off), start it.",
        },
    };

    // redis-cli ends with 0 also when the server refused: answers are looked at, never the exit code.
    private const string Client = """
        client=$(command -v redis-cli || command -v valkey-cli) || fail "there is neither redis-cli nor valkey-cli in the container"
        REDISCLI_AUTH=$(secret REDIS_PASSWORD VALKEY_PASSWORD REDISCLI_AUTH VALKEYCLI_AUTH)
        VALKEYCLI_AUTH=$REDISCLI_AUTH
        if [ -n "$REDISCLI_AUTH" ]; then export REDISCLI_AUTH VALKEYCLI_AUTH; else unset REDISCLI_AUTH VALKEYCLI_AUTH; fi

        cli() { "$client" -p "${REDIS_PORT_NUMBER:-${VALKEY_PORT_NUMBER:-6379}}" ${user:+--user "$user"} "$@"; }
        info() { cli INFO persistence 2>/dev/null | tr -d '\r' | sed -n "s/^$1://p"; }
        setting() { cli CONFIG GET "$1" 2>/dev/null | sed -n 2p; }


        """;

    private const string Saving = """
        idle() { [ "$(info rdb_bgsave_in_progress)" = 0 ] && [ "$(info aof_rewrite_in_progress)" = 0 ]; }

        save() {
          # LASTSAVE counts seconds: only from the next one on can it be seen to move.
          last=$(cli LASTSAVE)
          later() { [ "$(cli TIME | head -n 1)" -gt "$last" ]; }
          await later || fail "the server's clock stands still"
          answer=$(cli BGSAVE)
          case $answer in Background*) ;; *) fail "BGSAVE: $answer" ;; esac
          saved() { [ "$(info rdb_bgsave_in_progress)" = 0 ]; }
          await saved || fail "BGSAVE runs for longer than $patience seconds"
          [ "$(info rdb_last_bgsave_status)" = ok ] && [ "$(cli LASTSAVE)" -gt "$last" ] || fail "BGSAVE failed; the server's log says why"
        }


        """;
}
