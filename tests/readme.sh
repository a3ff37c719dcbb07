#!/usr/bin/env bash
# Runs every command of README.md as it stands there, in order, in one shell: in a mount namespace of its own, so that /etc/backup,
# /var/lib/backup, /var/backups, /usr/local/bin, /etc/systemd/system and /run/docker.sock are this run's alone.
# Needs root, and the engine and the S3 server that tests/run.sh starts:
#   BACKUP_TEST_ENGINE=unix:///…/docker.sock BACKUP_TEST_S3_CEPH=http://127.0.0.1:PORT tests/readme.sh
# What differs from the page: the addresses of the bucket and of Portainer, and a stand-in for `systemctl`, because no systemd runs here. The blocks that start
# the quickstart and the tests themselves are left to their own tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${BACKUP_TEST_ENGINE:?}" "${BACKUP_TEST_S3_CEPH:?}"
if [ -z "${BACKUP_README_INSIDE:-}" ]; then BACKUP_README_INSIDE=1 exec unshare --mount --propagation private "$0"; fi

unset BACKUP_POLICY BACKUP_STATE_DIR STATE_DIRECTORY
programs=$(mktemp -d /tmp/readme.XXXXXX)
ln -s "$(readlink -f "$(command -v dotnet)")" "$programs/dotnet"
export PATH=$PATH:$programs
mkdir -p /etc/backup /var/backups /var/lib/backup /usr/local/bin /etc/systemd/system
for folder in /etc/backup /var/backups /var/lib/backup /usr/local/bin /etc/systemd/system /run; do mount -t tmpfs tmpfs "$folder"; done
touch /run/docker.sock
mount --bind "${BACKUP_TEST_ENGINE#unix://}" /run/docker.sock
export DOCKER_HOST=unix:///run/docker.sock OSS_ACCESS_KEY_ID=testkey OSS_ACCESS_KEY_SECRET=testsecret
printf '#!/bin/sh\necho "systemctl $*" >>/run/systemctl.calls\n' >/usr/local/bin/systemctl
chmod +x /usr/local/bin/systemctl
ln -s "$(command -v systemd-analyze)" "$programs/" 2>/dev/null || true

. tests/readme-databases.sh

# A Portainer with one environment, "shop", behind an agent; both are the strict ones of the tests, over the same engine.
export PORTAINER_API_KEY=ptr_cmVhZG1l
dotnet build tests/Backup.PortainerRig -c Release -v q -clp:ErrorsOnly >/dev/null
dotnet tests/Backup.PortainerRig/bin/Release/net10.0/Backup.PortainerRig.dll server /run/docker.sock --key "$PORTAINER_API_KEY" >"$programs.portainer" &
portainer_pid=$!
until [ -s "$programs.portainer" ]; do kill -0 $portainer_pid; sleep 0.1; done
portainer=$(sed 's#/$##' "$programs.portainer")

clean() {
  remove_databases
  docker rm -f readme_app shop-db-1 shop-newdb-1 >/dev/null 2>&1 || true
  docker volume rm -f app_data app_data_copy shop_pgdata shop_pgdata_copy shop_newpgdata >/dev/null 2>&1 || true
  docker rmi -f readme-app:1 readme/postgres:15 >/dev/null 2>&1 || true
  rm -rf "$programs" /tmp/restored /tmp/dumps
}
trap 'clean; kill $portainer_pid; rm -f "$programs.portainer"' EXIT
clean; mkdir -p "$programs"; ln -sf "$(readlink -f "$(command -v dotnet || echo /usr/share/dotnet/dotnet)")" "$programs/dotnet"

# The application of the page: a volume with a configuration and a log that grows. Its image has a shell and rm, as nearly every image has.
mkdir -p "$programs/image"
for file in /bin/sh /bin/rm $(ldd /bin/sh /bin/rm | grep -o '/[^ ]*' | grep -v ':$' | sort -u); do install -D "$(readlink -f "$file")" "$programs/image$file"; done
tar -C "$programs/image" -cf - . | docker import - readme-app:1 >/dev/null
docker volume create --label shop=readme app_data >/dev/null
binds=()
for folder in /usr /lib /lib64 /bin; do [ ! -e "$folder" ] || binds+=(-v "$(readlink -f "$folder"):$folder:ro"); done
docker run -d --name readme_app --network none "${binds[@]}" -v app_data:/data readme-app:1 /bin/sh -c \
  'trap "exit 0" TERM; mkdir -p /data/etc; echo "answer = 42" > /data/etc/app.conf; while :; do date >> /data/log; sleep 0.1; done' >/dev/null
until docker exec readme_app /bin/sh -c 'test -s /data/log' 2>/dev/null; do sleep 0.1; done

# The shop's database and an empty one: PostgreSQL of this host's packages, under the name of the official image.
head -c 1024 /dev/zero | docker import - readme/postgres:15 >/dev/null
pg=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
for path in /sbin /etc/passwd /etc/group /etc/alternatives; do [ ! -e "$path" ] || binds+=(-v "$(readlink -f "$path"):$path:ro"); done
database() { # NAME SERVICE VOLUME [LABEL]
  docker volume create "$3" >/dev/null
  docker run -d --name "$1" --network none "${binds[@]}" -v "$3:/var/lib/postgresql/data" -e PATH="$pg:/usr/bin:/bin:/usr/sbin:/sbin" -e POSTGRES_PASSWORD=secret \
    --label com.docker.compose.project=shop --label com.docker.compose.service="$2" ${4:+--label "$4"} readme/postgres:15 /bin/sh -ec '
    as="setpriv --reuid=postgres --regid=postgres --init-groups" data=/var/lib/postgresql/data
    mkdir -p /tmp /run/postgresql /var/run; chmod 1777 /tmp; ln -sfn /run/postgresql /var/run/postgresql; chown postgres /run/postgresql $data; chmod 700 $data
    if [ ! -s $data/PG_VERSION ]; then echo "$POSTGRES_PASSWORD" >/tmp/pw; chown postgres /tmp/pw; $as initdb -D $data --pwfile=/tmp/pw --auth=scram-sha-256 >/dev/null; fi
    exec $as postgres -D $data -c listen_addresses=' >/dev/null
  until sql "$1" 'select 1' >/dev/null 2>&1; do sleep 0.2; done
}
sql() { docker exec "$1" /bin/sh -ec 'PGPASSWORD=$POSTGRES_PASSWORD psql -XwAtq -U postgres -c "$0"' "$2"; }
database shop-db-1 db shop_pgdata backup.dump=true
database shop-newdb-1 newdb shop_newpgdata
sql shop-db-1 'create table orders as select n from generate_series(1, 1000) n'

prefix=readme-$$
bucket() { sed -E "s#\"provider\": \"aliyun-oss\", \"region\": \"[^\"]*\", \"bucket\": \"[^\"]*\", \"prefix\": \"[^\"]*\"#\"provider\": \"ceph\", \"endpoint\": \"$BACKUP_TEST_S3_CEPH\", \"bucket\": \"test\", \"prefix\": \"$prefix\"#"; }
block() { # LANGUAGE NUMBER: the n-th fenced block of that language
  awk -v lang="$1" -v want="$2" '$0 == "```" lang { n++; on = (n == want); next } /^```/ { on = 0 } on' README.md
}
blocks=$(grep -c '^```sh$' README.md)
ran=0
for ((i = 1; i <= blocks; i++)); do
  text=$(block sh "$i")
  case $text in
    examples/quickstart.sh | tests/run.sh) continue ;;
    *new-host.json*)
      # The other host's backup of that application is in the bucket already, and here nothing is left of it.
      block jsonc 1 | bucket >/etc/backup/new-host.json
      sed 's/"new":/"local":/' /etc/backup/new-host.json >/etc/backup/old-host.json
      backup --policy /etc/backup/old-host.json -q run local --volume app_data
      docker rm -f readme_app >/dev/null
      docker volume rm app_data app_data_copy >/dev/null
      ;;
    $'backup check\nbackup run')
      # With the rules that stand above it.
      start_databases
      awk '/^## Databases$/ { here = 1 } here && $0 == "```jsonc" { on = 1; next } on && /^```/ { exit } on' README.md >"$programs/rules"
      printf '{ "stores": { "disk": { "type": "directory", "path": "/var/backups/databases" } }, "environments": { "local": { "connect": "unix:///run/docker.sock",\n%s } } }\n' \
        "$(cat "$programs/rules")" >/etc/backup/backup.json
      ;;
    *dump:erp_db*) spoil_databases ;;
  esac
  text=${text//https:\/\/portainer.example.com/$portainer}
  echo "+ $text"
  # Each line must succeed. A subshell before "||" would not end at the first that fails, whatever it was told.
  bash -ec "$text" || { echo "README.md: block $i failed" >&2; exit 1; }
  ran=$((ran + 1))
done
[ "$ran" -ge 6 ] || { echo "README.md: only $ran blocks were found" >&2; exit 1; }

[ "$(sql shop-newdb-1 'select count(*) from orders')" = 1000 ] || { echo "the dump was not loaded" >&2; exit 1; }
check_databases
grep -q 'database cluster dump complete' /tmp/dumps/postgres.sql || { echo "the dump was not written out" >&2; exit 1; }
[ "$(cat /tmp/restored/etc/app.conf)" = "answer = 42" ] || { echo "the restored file differs" >&2; exit 1; }
[ "$(docker volume inspect -f '{{.Labels.shop}}' app_data)" = readme ] || { echo "the volume's label was not restored" >&2; exit 1; }
grep -q 'enable' /run/systemctl.calls || { echo "schedule install enabled nothing" >&2; exit 1; }
block jsonc 4 | bucket >/etc/backup/s3.json
install -m 600 <(echo testkey) /etc/backup/oss.id; install -m 600 <(echo testsecret) /etc/backup/oss.secret; install -m 600 <(echo key) /etc/backup/key.pem
backup --policy /etc/backup/s3.json check local
backup --policy /etc/backup/portainer.json snapshots | grep -q '^.*shop.*app_data' || { echo "nothing was backed up through Portainer" >&2; exit 1; }
echo "README.md: $ran blocks ran"
