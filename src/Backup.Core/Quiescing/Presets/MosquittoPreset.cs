namespace Backup.Quiescing.Presets;

internal static class MosquittoPreset
{
    internal static QuiescePreset Row { get; } = new("mosquitto", ["eclipse-mosquitto", "mosquitto"],
        "SIGUSR1 and a new mosquitto.db, then pause")
    {
        Check = new("backup-mosquitto-check", Server + """
            [ -n "$file" ] || fail "persistence is off in $config: there is nothing that could be saved"
            """),
        Before = new("backup-mosquitto-save", Server + """
            # The server writes a new file and renames it over the old one, so another inode is the sign.
            inode() { ls -i "$file" 2>/dev/null | { read -r number rest || true; echo "${number:-none}"; }; }
            old=$(inode)
            kill -USR1 "$server"
            saved() { [ "$(inode)" != "$old" ]; }
            await saved || fail "no new $file within $patience seconds; the server's log says why"
            """),
    };

    private const string Server = """
        server=
        for comm in /proc/[0-9]*/comm; do
          if [ "$(cat "$comm" 2>/dev/null)" = mosquitto ]; then server=${comm#/proc/}; server=${server%/comm}; break; fi
        done
        [ -n "$server" ] || fail "no mosquitto runs in the container"

        # The file stands behind -c or --config-file; its settings, and those of the folder that it includes, say where the database is.
        config=$(tr '\0' '\n' <"/proc/$server/cmdline" | sed -n '/^\(-c\|--config-file\)$/{n;p;}' | head -n 1)
        [ -n "$config" ] || fail "mosquitto runs without a configuration file, so without persistence"
        folder=$(sed -n 's/^include_dir[[:space:]]*//p' "$config" | head -n 1)
        settings() { cat -- "$config"; if [ -n "$folder" ]; then cat -- "$folder"/*.conf 2>/dev/null || true; fi; }
        setting() { settings | sed -n "s/^$1[[:space:]]\{1,\}//p" | tail -n 1; }
        file=
        if [ "$(setting persistence)" = true ]; then
          location=$(setting persistence_location)
          name=$(setting persistence_file)
          file=${location%/}${location:+/}${name:-mosquitto.db}
          case $file in /*) ;; *) file=$(readlink "/proc/$server/cwd" || echo "")/$file ;; esac
        fi


        """;
}
