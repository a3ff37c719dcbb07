#!/usr/bin/env bash
# Backs up a real volume with a live writer in it, lists, verifies and restores it under a new name, and shows the comparison.
# Uses the Docker engine of this machine; when none answers it starts one of its own (needs root and Debian's or Ubuntu's docker.io).
# Everything it makes, it removes, also when it fails. Needs the .NET 10 SDK, or BACKUP_BINARY naming a built `backup`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d "${TMPDIR:-/tmp}/backup-quickstart.XXXXXX")
own_engine=0 volume=quickstart_data_$$ copy=quickstart_copy_$$ writer=quickstart_writer_$$ image=quickstart-empty:$$
step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || step() { printf '\n%s\n' "$*"; }

clean() {
  trap - EXIT INT TERM
  if [ -n "${DOCKER_HOST:-}" ]; then
    docker rm -f "$writer" "${writer}_reader" >/dev/null 2>&1 || true
    docker volume rm -f "$volume" "$copy" >/dev/null 2>&1 || true
    docker rmi -f "$image" >/dev/null 2>&1 || true
  fi
  if [ $own_engine = 1 ]; then tests/engine.sh stop "$work/engine" >/dev/null 2>&1 || true; fi
  rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step "1. A Docker engine"
if ! command -v docker >/dev/null; then
  [ "$(id -u)" = 0 ] || { echo "There is no docker here. Run as root, so that docker.io can be installed." >&2; exit 1; }
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends docker.io iptables >/dev/null
  command -v docker >/dev/null || apt-get install -y -qq --no-install-recommends docker-cli >/dev/null
fi
host=${DOCKER_HOST:-unix:///var/run/docker.sock}
unset DOCKER_HOST
if docker -H "$host" version >/dev/null 2>&1; then
  export DOCKER_HOST=$host
  echo "using the engine at $DOCKER_HOST"
else
  own_engine=1
  tests/engine.sh start "$work/engine" >/dev/null
  export DOCKER_HOST=unix://$work/engine/docker.sock
  echo "none answered at $host: started one at $DOCKER_HOST"
fi

step "2. The program"
backup=${BACKUP_BINARY:-$work/bin/backup}
if [ -z "${BACKUP_BINARY:-}" ]; then
  command -v dotnet >/dev/null || { echo "The .NET 10 SDK (dotnet) is not installed." >&2; exit 1; }
  dotnet publish src/Backup.Cli -c Release -o "$work/bin" -v q -clp:ErrorsOnly
fi
"$backup" --version

step "3. A volume with a live writer in it"
# No image is pulled: an empty one, with the programs of this machine mounted read-only.
tar -cf - -T /dev/null | docker import - "$image" >/dev/null
docker volume create "$volume" >/dev/null
programs=()
for folder in /usr /lib /lib64 /bin; do [ ! -e "$folder" ] || programs+=(-v "$(readlink -f "$folder"):$folder:ro"); done
docker run -d --name "$writer" --network none "${programs[@]}" -v "$volume:/data" "$image" /bin/sh -c '
  mkdir -p /data/files; head -c 20000000 /dev/urandom > /data/files/random; seq 1 500000 > /data/files/numbers
  i=0; while :; do i=$((i+1)); echo "line $i" >> /data/log; sleep 0.02; done' >/dev/null
until docker exec "$writer" /bin/sh -c 'test -s /data/log' 2>/dev/null; do sleep 0.2; done
echo "volume $volume, written by container $writer"

step "4. A policy, and the backup"
cat >"$work/backup.json" <<JSON
{
  "stores": { "disk": { "type": "directory", "path": "$work/store" } },
  "environments": {
    "local": {
      "connect": "$DOCKER_HOST",
      "volumes": { "include": ["$volume"] },
      "rules": [ { "volume": "$volume", "quiesce": "pause" } ]
    }
  }
}
JSON
export BACKUP_POLICY=$work/backup.json BACKUP_STATE_DIR=$work/state
"$backup" plan
"$backup" run

step "5. What is in the store, and the proof that it is good"
"$backup" snapshots
"$backup" files "local/$volume"
"$backup" verify --read-data

step "6. The restore, under a new name"
"$backup" restore "local/$volume" --as "$copy"

step "7. The comparison"
mkdir "$work/snapshot" "$work/restored"
"$backup" restore "local/$volume" --output - | tar -x -C "$work/snapshot"
docker create --name "${writer}_reader" -v "$copy:/data" "$image" /bin/true >/dev/null
docker cp -a "${writer}_reader:/data/." - | tar -x -C "$work/restored"
diff -r "$work/snapshot" "$work/restored"
list() { (cd "$1" && find . -printf '%p %y %m %U %G %s %Ts\n' | sed -E 's/^(\S+) d (.*) [0-9]+ ([0-9]+)$/\1 d \2 \3/' | sort); }
diff <(list "$work/snapshot") <(list "$work/restored")
echo "the restored volume is the snapshot: $(find "$work/restored" -type f | wc -l) files, $(du -sh --apparent-size "$work/restored" | cut -f 1)"
echo "$writer wrote $(tail -n 1 "$work/restored/log") before the snapshot and is at $(docker exec "$writer" /bin/sh -c 'tail -n 1 /data/log') now: $(docker inspect -f '{{.State.Status}}' "$writer")"
echo
echo "All good. Everything this script made is removed now."
