#!/usr/bin/env bash
# Runs every test against the real parts: a Docker engine of its own and S3 servers on loopback (Ceph 18.2, Ceph 16.2, Swift 2.30).
# Installs what it needs from Debian's or Ubuntu's packages. Ends with "N passed, N failed". Arguments go to `dotnet test`, such as
#   tests/run.sh --filter FullyQualifiedName~Retention
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
started=$(date +%s)
say() { printf '\n== %s (%ss)\n' "$*" "$(($(date +%s) - started))"; }

[ "$(id -u)" = 0 ] || { echo "tests/run.sh needs root: it starts a Docker engine. Try: sudo tests/run.sh" >&2; exit 2; }
command -v dotnet >/dev/null || { echo "tests/run.sh needs the .NET 10 SDK (dotnet)." >&2; exit 2; }

say "installing what is missing"
need=()
for pair in dockerd:docker.io docker:docker-cli zstd:zstd curl:curl openssl:openssl systemd-analyze:systemd setcap:libcap2-bin ps:procps unshare:util-linux ldd:libc-bin ssh:openssh-client sshd:openssh-server busybox:busybox-static \
  setpriv:util-linux mariadbd:mariadb-server mariadb-dump:mariadb-client redis-server:redis-server redis-cli:redis-tools mosquitto:mosquitto \
  mosquitto_pub:mosquitto-clients sqlite3:sqlite3 node:nodejs ip:iproute2 nsenter:util-linux; do
  command -v "${pair%%:*}" >/dev/null || need+=("${pair##*:}")
done
# Debian keeps PostgreSQL's own programs, pgbench among them, apart from /usr/bin.
compgen -G '/usr/lib/postgresql/*/bin/pgbench' >/dev/null || need+=(postgresql postgresql-contrib)
if [ ${#need[@]} -gt 0 ]; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # The tests start sshd and the databases themselves. On this machine none is to become a service, now or at the next boot.
  export RUNLEVEL=1
  mkdir -p /etc/systemd/system
  for pair in openssh-server:ssh.service openssh-server:ssh.socket postgresql:postgresql.service mariadb-server:mariadb.service \
    redis-server:redis-server.service mosquitto:mosquitto.service; do
    unit=${pair##*:}
    if [[ " ${need[*]} " == *" ${pair%%:*} "* ]] && ln -s /dev/null "/etc/systemd/system/$unit" 2>/dev/null; then
      echo "masked $unit; to use it: systemctl unmask $unit"
    fi
  done
  # docker-cli is a package of its own only in newer releases; in older ones docker.io brings the client.
  for package in "${need[@]}"; do
    apt-get install -y -qq --no-install-recommends "$package" >/dev/null || [ "$package" = docker-cli ] || { echo "cannot install $package" >&2; exit 1; }
  done
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/backup-tests.XXXXXX")
export S3_SERVERS_HOME=${S3_SERVERS_HOME:-${TMPDIR:-/tmp}/backup-s3-servers}
clean() {
  trap - EXIT INT TERM
  tests/engine.sh stop "$work/engine" >/dev/null 2>&1
  for s in "ceph-rgw --port 7481 --data $work/ceph" "ceph-rgw --port 7482 --data $work/ceph-old" "swift --port 7483 --data $work/swift"; do
    # shellcheck disable=SC2086
    set -- $s
    bash "tests/s3-servers/start-$1.sh" "${@:2}" --stop >/dev/null 2>&1
  done
  rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say "starting the S3 servers and the Docker engine"
bash tests/s3-servers/start-ceph-rgw.sh --port 7481 --data "$work/ceph" --suite trixie >"$work/ceph.out" 2>&1 & ceph=$!
bash tests/s3-servers/start-ceph-rgw.sh --port 7482 --data "$work/ceph-old" --suite bookworm >"$work/ceph-old.out" 2>&1 & ceph_old=$!
bash tests/s3-servers/start-swift.sh --port 7483 --data "$work/swift" >"$work/swift.out" 2>&1 & swift=$!
tests/engine.sh start "$work/engine" --tls || { echo "the Docker engine did not start" >&2; exit 1; }

say "building"
dotnet build -c Release -v q -clp:ErrorsOnly || exit 1
dotnet publish src/Backup.Cli -c Release -o "$work/bin" -v q -clp:ErrorsOnly || exit 1

for server in "$ceph:ceph" "$ceph_old:ceph-old" "$swift:swift"; do
  wait "${server%%:*}" || { echo "the S3 server ${server##*:} did not start:" >&2; cat "$work/${server##*:}.out" >&2; exit 1; }
done

say "testing"
export BACKUP_TEST_DISALLOW_SKIP=1
export BACKUP_TEST_ENGINE=unix://$work/engine/docker.sock BACKUP_TEST_ENGINE_TLS_DIR=$work/engine/tls
export BACKUP_TEST_S3_CEPH=http://127.0.0.1:7481 BACKUP_TEST_S3_CEPH_OLD=http://127.0.0.1:7482 BACKUP_TEST_S3_SWIFT=http://127.0.0.1:7483
export BACKUP_TEST_BINARY=$work/bin/backup
# A background job inherits ignored signals, and some tests send them.
env --default-signal=INT,HUP,QUIT,TERM dotnet test tests/Backup.Tests -c Release --no-build --nologo --logger "trx;LogFileName=$work/results.trx" --logger "console;verbosity=minimal" "$@"
status=$?

say "done"
counters=$(grep -o '<Counters [^>]*>' "$work/results.trx" 2>/dev/null | head -n 1)
count() { sed -n "s/.* $1=\"\([0-9]*\)\".*/\1/p" <<<"$counters"; }
passed=$(count passed) failed=$(count failed) total=$(count total)
if [ -z "$passed" ] || [ "$total" = 0 ]; then echo "the test run produced no result" >&2; exit 1; fi
failed=$((total - passed))
[ "$status" = 0 ] || [ "$failed" -gt 0 ] || { echo "the test run ended with $status although no test failed" >&2; failed=1; }
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
