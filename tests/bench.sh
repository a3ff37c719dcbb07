#!/usr/bin/env bash
# Speed and memory, paired with the native tools in one run; prints medians and ratios. Not a test: it judges nothing.
#   tests/bench.sh [--quick] [--downtime | --agent]
#     --quick: small volumes and three pairs, to see that it works; --downtime: only how long containers are held; --agent: only through a Portainer agent
# Needs root; installs and starts what it needs, on loopback only, and removes it. Ratio = native time / our time: above 1.00 we are faster.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ "$(id -u)" = 0 ] || { echo "tests/bench.sh needs root: it starts a Docker engine." >&2; exit 2; }
mb=1024 pairs=5 big=8192 held_mb=500 only=
for option; do
  case "$option" in
    --quick) mb=256 pairs=3 big=1024 held_mb=100 ;;
    --downtime | --agent) only=${option#--} ;;
    *) echo "usage: tests/bench.sh [--quick] [--downtime | --agent]" >&2; exit 2 ;;
  esac
done

export DEBIAN_FRONTEND=noninteractive
unset AWS_CA_BUNDLE # rclone would refuse it
need=()
for pair in dockerd:docker.io docker:docker-cli zstd:zstd curl:curl rclone:rclone openssl:openssl tc:iproute2; do command -v "${pair%%:*}" >/dev/null || need+=("${pair##*:}"); done
[ -x /usr/bin/time ] || need+=(time)
if [ ${#need[@]} -gt 0 ]; then apt-get update -qq; for p in "${need[@]}"; do apt-get install -y -qq --no-install-recommends "$p" >/dev/null || [ "$p" = docker-cli ] || exit 1; done; fi

work=$(mktemp -d "${TMPDIR:-/tmp}/backup-bench.XXXXXX")
export S3_SERVERS_HOME=${S3_SERVERS_HOME:-${TMPDIR:-/tmp}/backup-s3-servers} BACKUP_STATE_DIR=$work/state BACKUP_POLICY=$work/backup.json
throttle= agent= line=
clean() {
  trap - EXIT INT TERM
  [ -z "$throttle$agent" ] || kill $throttle $agent 2>/dev/null
  [ -z "$line" ] || ip netns del "$line" 2>/dev/null
  tests/engine.sh stop "$work/engine" >/dev/null 2>&1
  [ "$only" = agent ] || bash tests/s3-servers/start-ceph-rgw.sh --port 7491 --data "$work/ceph" --stop >/dev/null 2>&1
  rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

backup=${BACKUP_BINARY:-$work/bin/backup}
[ -n "${BACKUP_BINARY:-}" ] || dotnet publish src/Backup.Cli -c Release -o "$work/bin" -v q -clp:ErrorsOnly || exit 1
tests/engine.sh start "$work/engine" >/dev/null || exit 1
sock=$work/engine/docker.sock
export DOCKER_HOST=unix://$sock
[ "$only" = agent ] || bash tests/s3-servers/start-ceph-rgw.sh --port 7491 --data "$work/ceph" --suite trixie >/dev/null || exit 1
tar -cf - -T /dev/null | docker import - bench-empty:1 >/dev/null

fill() { # FOLDER MEGABYTES: 40 % text-like, 40 % random, 20 % in small files of 8 KB
  local folder=$1 size=$2
  seq 1 100000000 | head -c $((size * 1000000 * 2 / 10)) >"$folder/numbers"
  head -c $((size * 1000000 * 15 / 100)) /dev/urandom | base64 -w 76 | head -c $((size * 1000000 * 2 / 10)) >"$folder/text"
  head -c $((size * 1000000 * 4 / 10)) /dev/urandom >"$folder/random"
  mkdir "$folder/small"
  (cd "$folder/small" && seq 1 100000000 | head -c $((size * 1000000 * 2 / 10)) | split -b 8000 -a 6 -d - f && mkdir d{0..9} && for i in 0 1 2 3 4 5 6 7 8 9; do find . -maxdepth 1 -name "f*$i" -exec mv -t "d$i" {} +; done)
}
volume() { docker volume create "$1" >/dev/null; docker create --name "reader_$1" -v "$1:/data" bench-empty:1 /bin/true >/dev/null; docker volume inspect -f '{{.Mountpoint}}' "$1"; }

cat >"$BACKUP_POLICY" <<JSON
{ "stores": {
    "disk": { "type": "directory", "path": "$work/store" },
    "s3": { "type": "s3", "provider": "ceph", "endpoint": "http://127.0.0.1:7491", "bucket": "test", "prefix": "bench", "accessKeyId": "env:BENCH_KEY", "secretAccessKey": "env:BENCH_SECRET" } },
  "defaults": { "store": "disk", "quiesce": "none" },
  "environments": {
    "disk": { "connect": "$DOCKER_HOST" },
    "agent": { "connect": { "type": "portainer-agent", "url": "https://127.0.0.1:7493", "secret": "env:BENCH_SECRET" } },
    "line": { "connect": { "type": "portainer-agent", "url": "https://10.213.255.2:7493", "secret": "env:BENCH_SECRET" } },
    "s3": { "connect": "$DOCKER_HOST", "rules": [ { "volume": "*", "store": "s3" } ] } } }
JSON
export BENCH_KEY=testkey BENCH_SECRET=testsecret
export RCLONE_CONFIG_CEPH_TYPE=s3 RCLONE_CONFIG_CEPH_PROVIDER=Ceph RCLONE_CONFIG_CEPH_ENDPOINT=http://127.0.0.1:7491 \
  RCLONE_CONFIG_CEPH_ACCESS_KEY_ID=testkey RCLONE_CONFIG_CEPH_SECRET_ACCESS_KEY=testsecret RCLONE_CONFIG=/dev/null

get() { curl -sS --fail --unix-socket "$sock" "http://engine/containers/reader_$1/archive?path=/data/."; }
seconds() { local a b; a=$(date +%s%N); "$@" >/dev/null 2>"$work/err" || { echo "failed: $*" >&2; cat "$work/err" >&2; exit 1; }; b=$(date +%s%N); echo $(((b - a) / 1000000)); }
median() { sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }
pair() { # LABEL NATIVE OURS [PREPARE]: alternating runs after one of each that is not counted; the median of the pairwise ratios
  local label=$1 native=$2 ours=$3 prepare=${4:-sync} i a b; : >"$work/a"; : >"$work/b"; : >"$work/r"
  "$prepare"; seconds "$native" >/dev/null || exit 1; "$prepare"; seconds "$ours" >/dev/null || exit 1
  for ((i = 0; i < pairs; i++)); do
    # What a run before left to the disk is not this run's: each begins with nothing waiting to be written.
    "$prepare"; sync; a=$(seconds "$native") || exit 1
    "$prepare"; sync; b=$(seconds "$ours") || exit 1
    echo "$a" >>"$work/a"; echo "$b" >>"$work/b"; awk -v a="$a" -v b="$b" 'BEGIN { printf "%.3f\n", a / b }' >>"$work/r"
  done
  printf '%-58s native %6d ms   ours %6d ms   ratio %.2f\n' "$label" "$(median <"$work/a")" "$(median <"$work/b")" "$(median <"$work/r")"
}
rss() { /usr/bin/time -f '%M' -o "$work/rss" "$@" >/dev/null 2>"$work/err" || { echo "failed: $*" >&2; cat "$work/err" >&2; exit 1; }; awk 'END { printf "%.0f MB", $1 * 1024 / 1000000 }' "$work/rss"; }

dotnet build tests/Backup.Benchmarks -c Release -v q -clp:ErrorsOnly >/dev/null || exit 1
tools=tests/Backup.Benchmarks/bin/Release/net10.0/Backup.Benchmarks.dll

cold() { sync; echo 3 >/proc/sys/vm/drop_caches; } # as a volume is that nobody read lately
held() { # POLICY ENVIRONMENT: ms for which the writer was paused; the run is ended as soon as it is back, for the upload may take long
  local run events ms
  fresh
  exec {events}< <(exec "$backup" --policy "$1" --json run "$2" --volume downtime 2>"$work/err"); run=$!
  # Blocks until the line comes: looking again and again would take the processor from what is measured.
  ms=$(grep -m1 '"event":"resumed"' <&"$events" | sed 's/.*"seconds":\([0-9.]*\).*/\1/' | awk '{ printf "%d", $1 * 1000 }')
  kill -TERM $run 2>/dev/null
  wait $run
  exec {events}<&-
  [ -n "$ms" ] || { cat "$work/err" >&2; exit 1; }
  echo "$ms"
}
row() { printf '  %-56s %7d ms   %6.2f x the bare read\n' "$1" "$(median <"$work/$2")" "$(median <"$work/$2.ratio")"; }
note() { echo "$2" >>"$work/$1"; awk -v a="$2" -v b="$3" 'BEGIN { printf "%.3f\n", a / b }' >>"$work/$1.ratio"; }
downtime() {
  local i bare what pairs=$((2 * pairs - 1)) # short runs, which vary more
  fill "$(volume downtime)" $held_mb
  # It runs the host's own programs: nothing is pulled. KILL as stop signal, so that the native way does not wait for a shell that ignores TERM.
  docker run -d --name writer --stop-signal KILL --network none -v downtime:/v -v /usr:/usr:ro -v /bin:/bin:ro -v /lib:/lib:ro -v /lib64:/lib64:ro bench-empty:1 \
    /bin/sh -c 'while :; do date >/v/now; sleep 0.2; done' >/dev/null || exit 1
  sed 's/"quiesce": "none"/"quiesce": "pause"/' "$BACKUP_POLICY" >"$work/held.json"
  sed 's/:7491/:7492/' "$work/held.json" >"$work/held-slow.json"
  sed 's/"quiesce": "pause"/"quiesce": "pause", "warmUp": false/' "$work/held.json" >"$work/held-unwarmed.json"
  dotnet $tools throttle 7492 7491 1000000 & throttle=$!
  sleep 1
  n_held() { get downtime >/dev/null; }
  n_file() { docker stop writer && get downtime | zstd -q -3 -T0 >"$work/native.tar.zst" && docker start writer; }
  n_slow() { docker stop writer && get downtime | zstd -q -3 -T0 | RCLONE_CONFIG_CEPH_ENDPOINT=http://127.0.0.1:7492 rclone rcat ceph:test/native.tar.zst && docker start writer; }
  seconds n_held >/dev/null
  held "$work/held.json" disk >/dev/null
  for ((i = 0; i < pairs; i++)); do
    for what in disk s3 slow file; do
      sync; bare=$(seconds n_held) || exit 1; echo "$bare" >>"$work/held.bare"; sync
      case $what in
        disk | s3) note "held.$what" "$(held "$work/held.json" $what)" "$bare" ;;
        slow) note held.slow "$(held "$work/held-slow.json" s3)" "$bare" ;;
        file) note held.file "$(seconds n_file)" "$bare"; rm -f "$work/native.tar.zst" ;;
      esac
    done
  done
  # Each beside a bare read of the same kind, which tells what the wait for the disk is.
  for ((i = 0; i < pairs; i++)); do
    cold; bare=$(seconds n_held) || exit 1; echo "$bare" >>"$work/held.cold"
    cold; note held.warmed "$(held "$work/held.json" disk)" "$bare"
    cold; note held.unwarmed "$(held "$work/held-unwarmed.json" disk)" "$bare"
  done
  note held.peer "$(seconds n_slow)" "$(median <"$work/held.bare")"
  echo "downtime of a container, volume of $held_mb MB, $(nproc) cores, medians of $pairs (of the way through rclone: one)"
  printf '  %-56s %7d ms\n' "bare read of the endpoint, nobody held" "$(median <"$work/held.bare")"
  row "ours, pause, into a directory" held.disk
  row "ours, pause, to S3" held.s3
  row "ours, pause, to S3 behind an uplink of 1 MB/s" held.slow
  row "native: stop, curl | zstd > file, start" held.file
  row "native: stop, curl | zstd | rclone at 1 MB/s, start" held.peer
  printf '  %-56s %7d ms\n' "bare read, nothing of it in memory" "$(median <"$work/held.cold")"
  row "ours, pause, nothing of it in memory" held.warmed
  row "  the same with \"warmUp\": false" held.unwarmed
  echo "  peak memory of the backup to S3 behind 1 MB/s: $(rss "$backup" --policy "$work/held-slow.json" -q run s3 --volume downtime)"
  kill $throttle; wait $throttle 2>/dev/null
  docker rm -f writer reader_downtime >/dev/null; docker volume rm downtime >/dev/null
}
# Each run writes into an empty place: what the run before it left is removed outside the time, on both sides.
fresh() { rm -rf "$work/store" "$work/native.tar.zst"; }
if [ "$only" = downtime ]; then downtime; exit; fi

root=$(volume bench)
fill "$root" $mb
echo "volume: $(du -sm --apparent-size "$root" | cut -f 1) MiB in $(find "$root" -type f | wc -l) files; $(nproc) cores; $pairs pairs, medians"
# The tests' own agent, strict as the real one: whatever it costs, both sides pay it.
rig=tests/Backup.PortainerRig/bin/Release/net10.0/Backup.PortainerRig.dll
serve_agent() { # URL COMMAND…
  local url=$1; shift
  "$@" >/dev/null & agent=$!
  curl -s --insecure --retry 30 --retry-delay 1 --retry-connrefused -o /dev/null "$url/ping" || { echo "the agent did not start" >&2; exit 1; }
}
end_agent() { kill $agent; wait $agent 2>/dev/null; agent=; }
through_agent() {
  local url=https://127.0.0.1:7493
  dotnet build tests/Backup.PortainerRig -c Release -v q -clp:ErrorsOnly >/dev/null || exit 1
  dotnet $rig sign --secret "$BENCH_SECRET" >"$work/signed" || exit 1
  get_agent() { curl -sS --fail --insecure --http1.1 -H "@$work/signed" "$url/containers/reader_bench/archive?path=/data/."; }
  n_agent_bare() { get_agent >/dev/null; }
  n_agent() { get_agent | zstd -q -3 -T0 | (cat >"$work/native.tar.zst"); }
  o_agent() { "$backup" -q run agent --volume bench; }
  o_line() { "$backup" -q run line --volume bench; }
  serve_agent $url dotnet $rig agent "$sock" --port 7493 --secret "$BENCH_SECRET"
  pair "backup through a Portainer agent / bare read by curl" n_agent_bare o_agent fresh
  pair "backup through a Portainer agent / curl | zstd | cat" n_agent o_agent fresh
  fresh
  echo "  peak memory of that backup of $mb MB: $(rss "$backup" -q run agent --volume bench)"
  end_agent

  # As from another host: what is waited for is the line, and not the two processors that all of this shares.
  ip netns add backup-line || { echo "  over a line of 400 Mbit/s: not measured, this machine allows no network namespaces"; return; }
  line=backup-line url=https://10.213.255.2:7493
  ip link add bline-h type veth peer name bline-a netns $line && ip addr add 10.213.255.1/30 dev bline-h && ip link set bline-h up \
    && ip -n $line addr add 10.213.255.2/30 dev bline-a && ip -n $line link set bline-a up && ip -n $line link set lo up \
    && ip netns exec $line tc qdisc add dev bline-a root tbf rate 400mbit burst 1mb latency 50ms || exit 1
  serve_agent $url nsenter --net=/run/netns/$line dotnet $rig agent "$sock" --address 10.213.255.2 --port 7493 --secret "$BENCH_SECRET"
  local pairs=3
  pair "  the same over 400 Mbit/s / bare read by curl" n_agent_bare o_line fresh
  end_agent
  ip netns del $line; line=
}
if [ "$only" = agent ]; then through_agent; exit; fi

n_bare() { get bench >/dev/null; }
n_disk() { get bench | zstd -q -3 -T0 | (cat >"$work/native.tar.zst"); }
n_s3() { get bench | zstd -q -3 -T0 | rclone rcat ceph:test/native.tar.zst; }
o_disk() { "$backup" -q run disk --volume bench; }
o_s3() { "$backup" -q run s3 --volume bench; }
fresh_s3() { rclone -q purge ceph:test/bench 2>/dev/null; rclone -q deletefile ceph:test/native.tar.zst 2>/dev/null; sleep 3; }
pair "backup to a directory / bare read of the endpoint" n_bare o_disk fresh
pair "backup to a directory / curl | zstd -3 -T0 | cat" n_disk o_disk fresh
pair "backup to S3 / curl | zstd -3 -T0 | rclone rcat" n_s3 o_s3 fresh_s3
through_agent
# What the restores read.
fresh; n_disk; o_disk >/dev/null 2>&1; fresh_s3; n_s3; o_s3 >/dev/null 2>&1

pairs=3 # a restore is bound by the disk and takes long
volume target >/dev/null
reset() { docker rm -f reader_target >/dev/null; docker volume rm target >/dev/null; volume target >/dev/null; }
put() { curl -sS --fail --unix-socket "$sock" -X PUT -H 'Content-Type: application/x-tar' -T - "http://engine/containers/reader_target/archive?path=/data"; }
n_restore() { zstd -q -dc "$work/native.tar.zst" | put; }
n_restore_check() { n_restore; get target | sha256sum; }
n_restore_s3() { rclone cat ceph:test/native.tar.zst | zstd -q -dc | put; get target | sha256sum; }
o_restore() { "$backup" -q restore disk/bench --as target; }
o_restore_s3() { "$backup" -q restore s3/bench --as target; }
pair "restore from a directory / zstd -d | curl PUT" n_restore o_restore reset
pair "  the same, the native one reading back too" n_restore_check o_restore reset
pair "restore from S3 / rclone cat | zstd -d | PUT, read back" n_restore_s3 o_restore_s3 reset

echo "peak memory (largest resident set of the process)"
fresh; fresh_s3
echo "  backup of $mb MB to a directory: $(rss "$backup" -q run disk --volume bench); to S3: $(rss "$backup" -q run s3 --volume bench)"
echo "  restore of $mb MB: $(reset; rss "$backup" -q restore disk/bench --as target)"
dotnet $tools throttle 7492 7491 20000000 & throttle=$!
sed 's/:7491/:7492/' "$BACKUP_POLICY" >"$work/slow.json"
sleep 1
echo "  backup of $mb MB to S3 behind an uplink of 20 MB/s: $(rss "$backup" --policy "$work/slow.json" -q run s3 --volume bench)"
kill $throttle; wait $throttle 2>/dev/null
fill "$(volume large)" "$big"
echo "  backup of $big MB to a directory: $(rss "$backup" -q run disk --volume large); to S3: $(rss "$backup" -q run s3 --volume large)"
docker rm -f reader_large >/dev/null; docker volume rm large >/dev/null

downtime
echo "start: backup --version, median of 11"
for _ in 1 2 3 4 5 6 7 8 9 10 11; do seconds "$backup" --version; done | median | sed 's/$/ ms/'
echo "list: backup snapshots over 2,000 snapshots in a directory store"
dotnet $tools many-snapshots "$work/many" 2000 >/dev/null || exit 1
sed -i "s|\"path\": \"$work/store\"|\"path\": \"$work/many\"|" "$BACKUP_POLICY"
for _ in 1 2 3 4 5; do seconds "$backup" --json snapshots; done | median | sed 's/$/ ms/'
