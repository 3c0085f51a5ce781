#!/usr/bin/env bash
# A real Ray cluster of several node processes on this machine, for trying and testing.
#
#   uv run cluster/local.sh up 2                              two nodes, behind a token
#   uv run cluster/local.sh submit python jobs/train.py ...   `ray job submit` to it
#   uv run cluster/local.sh down                              end what `up` started
#
# OCR_CLUSTER_DIR (default ${TMPDIR:-/tmp}/ocr-cluster-$USER) holds its state: process ids, ports,
# token, logs. Two clusters beside each other need two such folders. OCR_CLUSTER_CPUS (default 4)
# is the number of logical CPUs per node. Only this machine reaches the dashboard, where jobs are
# submitted. Ray's other ports want the token, but for two pages of metrics.
set -euo pipefail

state=${OCR_CLUSTER_DIR:-${TMPDIR:-/tmp}/ocr-cluster-$(id -un)}
cpus=${OCR_CLUSTER_CPUS:-4}
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$state/token RAY_USAGE_STATS_ENABLED=0
export RAY_ENABLE_UV_RUN_RUNTIME_ENV=0
# Ray takes 127.0.0.1 for a request to find the address that other machines see, and listens there.
loopback=127.0.0.2

say() { printf '%s\n' "$*" >&2; }

usage() {
  sed -n '2,12s/^# \{0,1\}//p' "$0"
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
  # The agent's usual port may be another Ray's; jobs submitted here would then find no agent.
  setsid ray start --block --num-cpus="$cpus" --object-store-memory=300000000 \
    --node-ip-address=$loopback --dashboard-agent-listen-port=0 "$@" \
    >"$state/$name.log" 2>&1 </dev/null &
  echo $! >>"$state/pids"
  disown # else bash reports each node that `down` ends
}

ended_nodes() { # the numbers of the nodes whose process is gone; the head is 0
  local pid number=0
  while read -r pid; do
    kill -0 "$pid" 2>/dev/null || echo $number
    number=$((number + 1))
  done <"$state/pids"
}

are_up() { # are_up N: whether N nodes are
  (: <"/dev/tcp/${OCR_GCS/://}") 2>/dev/null || return # before the costlier question
  timeout 30 python - "$1" <<'PY' 2>/dev/null
import os, sys
import ray
ray.init(address=os.environ["OCR_GCS"], logging_level="CRITICAL", log_to_driver=False)
sys.exit(sum(n["Alive"] for n in ray.nodes()) < int(sys.argv[1]))
PY
}

fail_to_start() { # fail_to_start NUMBERS...: show the logs of these nodes and clean up
  local number log
  for number in "$@"; do
    log=head.log
    ((number)) && log=node-$number.log
    say "the cluster did not come up; the end of $log:"
    tail -n 20 "$state/$log" >&2
  done
  down
  exit 1
}

wait_for_nodes() { # wait_for_nodes N: for five minutes, or until one has ended
  local deadline=$((SECONDS + 300)) ended
  until are_up "$1"; do
    mapfile -t ended < <(ended_nodes)
    ((${#ended[@]})) && fail_to_start "${ended[@]}"
    ((SECONDS < deadline)) || fail_to_start $(seq 0 $(($(wc -l <"$state/pids") - 1)))
    sleep 0.5
  done
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
  export OCR_GCS=$loopback:${ports[0]}
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
