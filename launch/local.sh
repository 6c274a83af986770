#!/usr/bin/env bash
# One run as N processes on this machine, joined over loopback. All end when one fails. Told to end, they save first.
#   launch/local.sh 2 --config=configs/emoji.py --workdir=runs/two
set -euo pipefail

if [[ $# -lt 2 || ! $1 =~ ^[1-9][0-9]*$ ]]; then
  echo "usage: launch/local.sh PROCESSES --config=RECIPE.py --workdir=RUN [--config.KEY=VALUE ...]" >&2
  exit 2
fi
count=$1
shift
dfjax=$(command -v dfjax || echo "$(dirname "$0")/../.venv/bin/dfjax")
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
# Without it the coordinator listens on every interface.
export JAX_COORDINATOR_BIND_ADDRESS=127.0.0.1:$port

pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true' EXIT
for ((rank = 0; rank < count; rank++)); do
  "$dfjax" train --coordinator="127.0.0.1:$port" --num_processes="$count" --process_id="$rank" "$@" \
    > >(sed -u "s/^/[$rank] /") 2> >(sed -u "s/^/[$rank] /" >&2) &
  pids+=($!)
done
trap 'kill "${pids[@]}" 2>/dev/null || true' TERM INT
left=("${pids[@]}") saved=0
while [[ ${#left[@]} -gt 0 ]]; do
  ended= status=0
  wait -n -p ended "${left[@]}" || status=$?
  # Woken by a signal, which the processes have now too.
  [[ -n ${ended:-} ]] || continue
  # Those that are told to end do so together.
  if [[ $status -eq 42 ]]; then saved=42; elif [[ $status -ne 0 ]]; then exit "$status"; fi
  still=()
  for pid in "${left[@]}"; do [[ $pid == "$ended" ]] || still+=("$pid"); done
  left=("${still[@]}")
done
exit "$saved"
