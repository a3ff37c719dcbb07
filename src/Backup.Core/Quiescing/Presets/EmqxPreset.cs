namespace Backup.Quiescing.Presets;

/// <summary>EMQX 5.1 and newer, whose export is one compressed tar.</summary>
internal static class EmqxPreset
{
    internal static QuiescePreset Row { get; } = new("emqx", ["emqx", "emqx-enterprise", "emqx-ee"],
        "emqx ctl data export into its data volume, then pause. The export is removed afterwards")
    {
        Check = new("backup-emqx-check", Running),
        Before = new("backup-emqx-export", Running + Export + """
            export_data >/dev/null
            """),
        // The node may be down by now; its files are there all the same.
        After = new("backup-emqx-clean", Folder + """
            for record in "$folder"/.backup-export; do
              [ -f "$record" ] || continue
              rm -f -- "$(cat "$record")" "$record"
            done
            """),
        Dump = new DumpMethod("emqx ctl data export", "emqx-export.tar.gz",
            new("backup-emqx-check-dump", Running + """
                need gzip tar
                """),
            new("backup-emqx-dump", Running + Export + """
                file=$(export_data)
                gzip -t "$file" || fail "the export $file is not whole"
                cat -- "$file"
                rm -f -- "$file" "$folder/.backup-export"
                """),
            new DumpMark("the head of a gzip file", [0x1F, 0x8B], []))
        {
            // An import insists on the name under which the export was made, which is that of the folder inside.
            Load = new("backup-emqx-load", Running + """
                need gzip tar
                file=$folder/backup-import.tar.gz
                trap 'rm -f -- "$file"' EXIT
                cat >"$file"
                name=$(gzip -dc "$file" | tar -t | head -n 1 | cut -d / -f 1)
                [ -n "$name" ] || fail "the dump is no export of EMQX"
                mv -- "$file" "$folder/$name.tar.gz"
                file=$folder/$name.tar.gz
                answer=$(emqx ctl data import "$file" 2>&1) || fail "$answer"
                # Exit code 0 says only that the node ran the command to its end.
                case $answer in *"imported successfully"*) ;; *) fail "$answer" ;; esac
                """),
        },
    };

    private const string Folder = """
        folder=${EMQX_NODE__DATA_DIR:-/opt/emqx/data}/backup


        """;

    private const string Running = Folder + """
        need emqx
        status=$(emqx ctl status 2>&1) || fail "the node does not run: $status"
        case $status in *"' 4."*) fail "EMQX before 5.1 has no export of all its data: $status" ;; esac
        mkdir -p "$folder"


        """;

    private const string Export = """
        # Writes the path of a new export. It says where it put it; a path that is not absolute counts from the node's home.
        export_data() {
          answer=$(emqx ctl data export 2>&1) || fail "$answer"
          path=$(printf '%s\n' "$answer" | sed -n 's/.*successfully exported to "\{0,1\}\([^" ]*\.tar\.gz\).*/\1/p' | tail -n 1)
          [ -n "$path" ] || fail "$answer"
          case $path in /*) ;; *) path=$folder/${path##*/} ;; esac
          [ -s "$path" ] || fail "the export $path is empty or not there"
          printf '%s\n' "$path" >"$folder/.backup-export"
          printf '%s\n' "$path"
        }


        """;
}
