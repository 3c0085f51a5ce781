#!/usr/bin/env bash
# A real Ray cluster of several node processes on this machine, for trying and testing.
#
#   uv run cluster/local.sh up 2                              two nodes, behind a token
#   uv run cluster/local.sh submit python jobs/train.py ...   `ray job submit` to it
#   uv run cluster/local.sh down                              end what `up` started
#
# OCR_CLUSTER_DIR (default ${TMPDIR:-/tmp}/ocr-cluster-$USER) holds its state: process ids, ports,
# token, logs. Two clusters beside each other need two such folders. OCR_CLUSTER_CPUS (default 4)
# is the number of logical CPUs per node.
set -euo pipefail

state=${OCR_CLUSTER_DIR:-${TMPDIR:-/tmp}/ocr-cluster-$(id -un)}
cpus=${OCR_CLUSTER_CPUS:-4}
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$state/token RAY_USAGE_STATS_ENABLED=0
export RAY_ENABLE_UV_RUN_RUNTIME_ENV=0

say() { printf '%s\n' "$*" >&2; }

usage() {
  sed -n '2,11s/^# \{0,1\}//p' "$0"
  exit "${1:-0}"
}

free_ports() { # free_ports N: N free ports, a line each
  python - "$1" <<'PY'
import socket, sys
sockets = [socket.socket() for _ in range(int(sys.argv[1]))]
for s in sockets:
    s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets), sep="\n")
PY
}

boot_id() { cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo unknown; }

start_node() { # start_node NAME ARGUMENTS...: a process group of its own
  local name=$1
  shift
  setsid ray start --block --num-cpus="$cpus" --object-store-memory=300000000 \
    --node-ip-address=127.0.0.1 "$@" >"$state/$name.log" 2>&1 </dev/null &
  echo $! >>"$state/pids"
}

wait_for_nodes() { # wait_for_nodes N
  for _ in $(seq 120); do
    if python - "$1" <<'PY' 2>/dev/null; then return; fi
import os, sys
import ray
ray.init(address=os.environ["OCR_GCS"], logging_level="CRITICAL", log_to_driver=False)
sys.exit(sum(n["Alive"] for n in ray.nodes()) < int(sys.argv[1]))
PY
    sleep 0.5
  done
  say "the cluster did not come up; see $state/*.log"
  down
  exit 1
}

up() {
  local nodes=${1:?up needs the number of nodes}
  [[ $nodes =~ ^[1-9][0-9]*$ ]] || { say "up takes a number of nodes, got '$nodes'"; exit 2; }
  if [[ -e $state/pids ]]; then
    say "a cluster is up already ($state); 'down' ends it"
    exit 1
  fi
  mkdir -p "$state/ray"
  boot_id >"$state/boot"
  (umask 077; python -c 'import secrets; print(secrets.token_hex(32), end="")' >"$state/token")
  mapfile -t ports < <(free_ports 3)
  export OCR_GCS=127.0.0.1:${ports[0]}
  echo "http://127.0.0.1:${ports[1]}" >"$state/address"
  start_node head --head --port="${ports[0]}" --dashboard-host=127.0.0.1 \
    --dashboard-port="${ports[1]}" --ray-client-server-port="${ports[2]}" --temp-dir="$state/ray"
  wait_for_nodes 1
  for ((i = 1; i < nodes; i++)); do start_node "node-$i" --address="$OCR_GCS"; done
  wait_for_nodes "$nodes"
  say "$nodes nodes are up; dashboard $(cat "$state/address")"
}

submit() {
  [[ -e $state/address ]] || { say "no cluster is up; 'up N' starts one"; exit 1; }
  [[ $# -gt 0 ]] || { say "submit needs a command, such as: python jobs/train.py"; exit 2; }
  ray job submit --address="$(cat "$state/address")" --working-dir . -- "$@"
}

signal_all() { # signal_all NAME: to the process groups that `up` started, and no others
  local pid
  while read -r pid; do kill "-$1" -- "-$pid" 2>/dev/null || true; done <"$state/pids"
}

any_alive() {
  ps -eo pgid=,stat= | awk 'NR == FNR { ours[$1] } NR > FNR && $1 in ours && $2 !~ /^Z/ { found = 1 }
    END { exit !found }' "$state/pids" -
}

down() {
  [[ -e $state/pids ]] || { say "no cluster is up"; return; }
  # After a restart of the machine the process ids are somebody else's.
  if [[ $(cat "$state/boot") == "$(boot_id)" ]]; then
    signal_all TERM
    for _ in $(seq 40); do
      any_alive || break
      sleep 0.25
    done
    signal_all KILL
  fi
  rm -rf "$state/ray"
  rm -f "$state"/{pids,token,address,boot,head.log} "$state"/node-*.log
  rmdir "$state" 2>/dev/null || say "$state holds files that are not the cluster's; left"
  say "the cluster is down"
}

case ${1:-} in
  up | submit | down) "$@" ;;
  -h | --help | help) usage ;;
  *) usage 2 >&2 ;;
esac
