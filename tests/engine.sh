#!/usr/bin/env bash
# A private Docker engine for tests and examples, apart from any engine of the host.
#
#   tests/engine.sh start DIR [--tls | --netns NAME]   starts it and prints its socket, unix://DIR/docker.sock
#   tests/engine.sh stop DIR                           ends it, its containers and mounts, and removes what it wrote under DIR
#
# DIR must be short (a socket's path has at most 107 characters). With --tls the engine also listens on the URL in DIR/tls/url and asks
# for a client certificate; DIR/tls holds ca.pem, cert.pem and key.pem, thrown away with the rest. With --netns it lives in a network namespace of
# that name (at most 10 characters), made for it and gone with it, which this host reaches at the address in DIR/address. Needs root; installs nothing.
set -euo pipefail

usage() { sed -n '2,10p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }
fail() { echo "engine.sh: $*" >&2; exit 1; }
need() { command -v "$1" >/dev/null || fail "$1 is missing; on Debian or Ubuntu: apt-get install $2"; }

# Whether a process is at work: one that ended and that nobody has collected yet has no command line any more, and a number may be used again.
at_work() { tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null | grep -qE '^[^ ]*(dockerd|containerd|runc)'; }
alive() { [ -s "$1" ] && at_work "$(cat "$1")"; }

# dockerd needs a cgroup hierarchy. A minimal machine or a container may have none mounted, or (cgroup 2) no controller handed down.
prepare_cgroups() {
  local root=/sys/fs/cgroup
  if [ -e $root/cgroup.controllers ]; then
    # As the official docker-in-docker image does: a cgroup with processes in it cannot hand controllers to children.
    if [ -w $root/cgroup.subtree_control ] && [ ! -s $root/cgroup.subtree_control ]; then
      mkdir -p $root/init
      xargs -rn1 <$root/cgroup.procs >$root/init/cgroup.procs 2>/dev/null || true
      sed -e 's/ / +/g' -e 's/^/+/' <$root/cgroup.controllers >$root/cgroup.subtree_control 2>/dev/null || true
    fi
  elif ! awk '$3 == "cgroup" && $4 ~ /(^|,)devices(,|$)/ { found = 1 } END { exit !found }' /proc/mounts; then
    mkdir -p $root
    mount -t cgroup2 cgroup2 $root 2>/dev/null || echo "engine.sh: warning: cannot mount cgroup2 at $root; containers may not start" >&2
  fi
}

# A throw-away authority, a server certificate for 127.0.0.1 and localhost, and a client certificate.
make_certificates() {
  local tls=$1
  mkdir -p "$tls"
  (
    cd "$tls"
    umask 077
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n' >server.ext
    printf 'extendedKeyUsage=clientAuth\n' >client.ext
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=backup test authority" \
      -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -keyout ca-key.pem -out ca.pem
    for who in server client; do
      openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$who" -keyout $who-key.pem -out $who.csr
      openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -extfile $who.ext -out $who-cert.pem
    done
    mv client-cert.pem cert.pem
    mv client-key.pem key.pem
    rm -f ./*.csr ./*.ext ca-key.pem
  ) >"$tls/openssl.log" 2>&1 || { cat "$tls/openssl.log" >&2; fail "openssl could not make the certificates"; }
}

free_port() {
  local port
  for _ in $(seq 50); do
    port=$((20000 + RANDOM % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo $port; return; }
  done
  fail "no free port found"
}

# A host of its own as far as the network goes: one cable leads to it, and from there nowhere else.
make_netns() {
  local dir=$1 name=$2 net
  need ip iproute2
  need nsenter util-linux
  ip netns add "$name" || fail "this machine allows no network namespaces"
  echo "$name" >"$dir/netns"
  for _ in $(seq 20); do
    net=10.213.$((RANDOM % 256)).$((RANDOM % 64 * 4))
    [ -n "$(ip -o addr show to "$net/30")" ] || break
  done
  ip link add "$name-h" type veth peer name "$name-e" netns "$name"
  ip addr add "${net%.*}.$((${net##*.} + 1))/30" dev "$name-h"
  ip link set "$name-h" up
  ip -n "$name" addr add "${net%.*}.$((${net##*.} + 2))/30" dev "$name-e"
  ip -n "$name" link set "$name-e" up
  ip -n "$name" link set lo up
  echo "${net%.*}.$((${net##*.} + 2))" >"$dir/address"
}

start() {
  local dir=$1 tls= netns=
  [ "${2:-}" != --tls ] || tls=yes
  [ "${2:-}" != --netns ] || netns=$3
  [ "$(id -u)" = 0 ] || fail "needs root"
  need dockerd docker.io
  need containerd containerd
  need runc runc
  need curl curl
  [ -z "$tls" ] || need openssl openssl
  mkdir -p "$dir"
  dir=$(realpath "$dir")
  [ $((${#dir} + 40)) -le 107 ] || fail "the directory's path is too long for a socket: $dir"
  ! alive "$dir/dockerd.pid" || fail "an engine runs in $dir already; stop it first"
  prepare_cgroups

  local args=(--data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/dockerd.pid" -H "unix://$dir/docker.sock"
    --iptables=false --ip-forward=false --ip-masq=false --bridge=none --shutdown-timeout 3)
  if [ -n "$tls" ]; then
    make_certificates "$dir/tls"
    local port
    port=$(free_port)
    args+=(-H "tcp://127.0.0.1:$port" --tlsverify --tlscacert "$dir/tls/ca.pem" --tlscert "$dir/tls/server-cert.pem" --tlskey "$dir/tls/server-key.pem")
    echo "tcp://127.0.0.1:$port" >"$dir/tls/url"
  fi

  local within=()
  if [ -n "$netns" ]; then
    make_netns "$dir" "$netns"
    # By nsenter: `ip netns exec` would also give it another /sys, without cgroups.
    within=(nsenter "--net=/run/netns/$netns")
  fi

  # What a killed engine left running would be in the way of the next one: its containerd holds locks.
  local left
  for left in $(processes_of "$dir"); do kill -9 "$left" 2>/dev/null && wait_gone "$left" 50 || true; done
  rm -f "$dir/exec/containerd/containerd.pid"

  # The default driver first (overlay2 wherever it can be had), vfs where the file system allows nothing else; but an engine that was here
  # before keeps its driver, or it would come up without its images and containers.
  local driver drivers=("" vfs)
  [ ! -d "$dir/data/image" ] || drivers=("$(ls "$dir/data/image" | head -n 1)")
  for driver in "${drivers[@]}"; do
    rm -f "$dir/docker.sock" "$dir/dockerd.pid"
    # Its own session, and no file but its log: whoever waits for our output must not wait for the engine.
    setsid "${within[@]}" dockerd "${args[@]}" ${driver:+--storage-driver $driver} </dev/null >"$dir/dockerd.log" 2>&1 &
    local pid=$!
    for _ in $(seq 300); do
      if curl -sf -o /dev/null --max-time 5 --unix-socket "$dir/docker.sock" http://engine/_ping; then
        echo "unix://$dir/docker.sock"
        return
      fi
      kill -0 $pid 2>/dev/null || break
      sleep 0.1
    done
    kill $pid 2>/dev/null || true
    wait $pid 2>/dev/null || true
  done
  tail -n 20 "$dir/dockerd.log" >&2
  stop "$dir" || true
  fail "the engine did not start"
}

# Processes whose command line names one of the engine's own paths: its containerd and the shims of its containers.
processes_of() {
  local entry pid
  for entry in /proc/[0-9]*/cmdline; do
    pid=${entry#/proc/}
    pid=${pid%/cmdline}
    [ "$pid" != $$ ] && [ "$pid" != "$BASHPID" ] || continue
    if { tr '\0' ' ' <"$entry"; } 2>/dev/null | grep -qE "^[^ ]*(dockerd|containerd|containerd-shim[^ ]*|runc|docker-proxy) .*$1/(exec|data)"; then
      echo "$pid"
    fi
  done
}

wait_gone() {
  local pid=$1
  for _ in $(seq "$2"); do
    at_work "$pid" || return 0
    sleep 0.1
  done
  return 1
}

stop() {
  local dir=$1 pid ids
  [ -d "$dir" ] || return 0
  dir=$(realpath "$dir")
  if alive "$dir/dockerd.pid"; then
    pid=$(cat "$dir/dockerd.pid")
    ids=$(curl -sf --max-time 10 --unix-socket "$dir/docker.sock" 'http://engine/containers/json?all=1' 2>/dev/null | grep -o '"Id":"[0-9a-f]\{64\}"' | cut -d'"' -f4) || true
    # `force` thaws and kills, also what is paused; side by side, because each takes a moment.
    for id in $ids; do
      curl -s -o /dev/null --max-time 20 --unix-socket "$dir/docker.sock" -X DELETE "http://engine/containers/$id?force=1&v=1" &
    done
    wait
    kill "$pid" 2>/dev/null || true
    wait_gone "$pid" 150 || kill -9 "$pid" 2>/dev/null || true
  fi
  for pid in $(processes_of "$dir"); do kill -9 "$pid" 2>/dev/null || true; done
  local mountpoint
  awk -v dir="$dir/" 'index($2, dir) == 1 { print $2 }' /proc/mounts | sort -r | while read -r mountpoint; do
    umount -l "$(printf '%b' "$mountpoint")" 2>/dev/null || true
  done
  if [ -s "$dir/netns" ]; then
    # What else runs in it, such as an agent of a test, would keep it: it has lost its engine.
    for pid in $(ip netns pids "$(cat "$dir/netns")" 2>/dev/null); do kill "$pid" 2>/dev/null || true; done
    ip netns del "$(cat "$dir/netns")" || true
  fi
  rm -rf "${dir:?}/data" "$dir/exec" "$dir/tls" "$dir/netns" "$dir/address" "$dir/docker.sock" "$dir/dockerd.pid" "$dir/dockerd.log"
  rmdir "$dir" 2>/dev/null || true
}

[ $# -ge 2 ] || usage
case "$1" in
  start)
    case "${3:-}:${4:-}" in
      : | --tls:) ;;
      --netns:?*) [ ${#4} -le 10 ] || usage ;;
      *) usage ;;
    esac
    start "${@:2}"
    ;;
  stop) stop "$2" ;;
  *) usage ;;
esac
