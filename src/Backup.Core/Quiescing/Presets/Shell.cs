namespace Backup.Quiescing.Presets;

/// <summary>
/// What every script of a preset begins with. The scripts keep to what dash, ash and busybox have. A password is read from the container's own
/// variables or files and handed on in a variable of the process that needs it: never in an argument, which every user of the host can list.
/// </summary>
internal static class Shell
{
    internal const string Prelude = """
        set -eu
        patience=$1 user=$2 passwordFile=$3
        shift 3

        fail() { echo "$*" >&2; exit 1; }

        need() { for program; do command -v "$program" >/dev/null 2>&1 || fail "there is no $program in the container"; done; }

        # The password: the file that the policy names, else the first of these variables that is set, else the file that its _FILE names.
        secret() {
          if [ -n "$passwordFile" ]; then cat -- "$passwordFile"; return; fi
          for name; do
            eval "value=\${$name-} file=\${${name}_FILE-}"
            if [ -n "$value" ]; then printf %s "$value"; return; fi
            if [ -n "$file" ]; then cat -- "$file"; return; fi
          done
        }

        # counted NUMBER ONE MANY
        counted() { if [ "$1" = 1 ]; then echo "1 $2"; else echo "$1 $3"; fi; }

        nap() { sleep 0.2 2>/dev/null || sleep 1; }

        # Runs a command again and again until it succeeds, for as long as patience lasts.
        await() {
          end=$(($(date +%s) + patience))
          until "$@"; do
            [ "$(date +%s)" -lt "$end" ] || return 1
            nap
          done
        }

        # Where a session and those who wait for it meet. Shared memory is there also where the container's own files are read-only.
        place=/dev/shm/backup-session
        [ -w /dev/shm ] || place=/tmp/backup-session


        """;

    /// <summary>
    /// For scripts that hold a lock: <c>begin_session</c>, then the lock, then <c>locked</c>, then <c>hold</c>, which returns 0 when the end was asked for and
    /// 1 when nobody asked or the lock's client ended. What it counts is naps, not time: while the container is paused nothing counts, and a run that was killed frees the lock.
    /// </summary>
    internal const string Session = """
        alive() { kill -0 "$(cat "$place/pid" 2>/dev/null || echo none)" 2>/dev/null; }

        begin_session() {
          if ! mkdir "$place" 2>/dev/null; then
            if alive; then fail "another backup holds this database"; fi
            rm -rf "$place"
            mkdir "$place"
          fi
          trap 'rm -rf "$place"' EXIT
          trap 'exit 1' INT TERM HUP
          echo $$ >"$place/pid"
        }

        locked() { : >"$place/locked"; }

        hold() {
          naps=0
          while [ ! -e "$place/release" ]; do
            [ $naps -lt $((patience * 5)) ] && [ ! -e "$place/ended" ] || return 1
            nap
            naps=$((naps + 1))
          done
        }


        """;

    private const string AwaitLockText = Session + """
        there() { [ -e "$place/pid" ]; }
        await there || fail "the session that takes the lock did not begin"
        done_or_dead() { [ -e "$place/locked" ] || ! alive; }
        await done_or_dead || fail "no lock within $patience seconds: something in the database runs for longer"
        [ -e "$place/locked" ] || fail "the session that takes the lock ended without it"
        """;

    private const string ReleaseText = Session + """
        alive || exit 0
        : >"$place/release"
        gone() { ! alive; }
        await gone || fail "the session that holds the lock does not end"
        """;

    /// <summary>Waits until the session has its lock.</summary>
    internal static PresetScript AwaitLock(string preset) => new($"backup-{preset}-await-lock", AwaitLockText);

    /// <summary>Ends the session, if there is one.</summary>
    internal static PresetScript Release(string preset) => new($"backup-{preset}-release", ReleaseText);

    /// <summary>
    /// Ends what a dump that was given up left running in the container: every process that carries its mark, the dump's id, which is the only argument.
    /// </summary>
    internal const string EndDump = """
        for environ in /proc/[0-9]*/environ; do
          if tr '\0' '\n' <"$environ" 2>/dev/null | grep -qx "BACKUP_DUMP=$1"; then
            pid=${environ#/proc/}
            kill "${pid%/environ}" 2>/dev/null || true
          fi
        done
        """;
}
