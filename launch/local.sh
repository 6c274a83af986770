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
exec "$dfjax" launch local --hosts="$count" "$@"
