#!/usr/bin/env bash
# One run on nodes of a Slurm cluster: where sbatch is, in a folder that all nodes share, with dfjax's environment active.
#   launch/slurm.sh --dry_run                                        launch/slurm.sh --partition=main --hosts=2
#   TOPOLOGY='h100:8*4' CPUS=96 launch/slurm.sh --partition=gpu --mem=0 --account=me
set -euo pipefail

exec dfjax launch slurm --topology="${TOPOLOGY:-cpu:1}" --cpus_per_task="${CPUS:-8}" \
  --time_limit="${TIME_LIMIT:-12h}" --restarts="${RESTARTS:-10}" \
  --config="${RECIPE:-configs/emoji.py}" --workdir="${WORKDIR:-runs/slurm}" \
  --env=TFDS_DATA_DIR="${TFDS_DATA_DIR:-$PWD/.cache/tfds}" "$@"
