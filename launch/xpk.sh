#!/usr/bin/env bash
# One run on TPU slices or GPU nodes of a GKE cluster. Set what is in capitals, then:
#   launch/xpk.sh --dry_run        launch/xpk.sh --config.optim.learning_rate=1e-3
# The image is that of the Dockerfile; /mnt/runs is a storage that `xpk storage attach` gave the cluster.
set -euo pipefail

: "${CLUSTER:?name of the cluster}" "${PROJECT:?Google Cloud project}" "${ZONE:?such as us-west4-a}"
: "${IMAGE:?such as us-docker.pkg.dev/PROJECT/REPOSITORY/dfjax:TAG}"
RECIPE=${RECIPE:-configs/emoji.py}

exec dfjax launch xpk --cluster="$CLUSTER" --project="$PROJECT" --zone="$ZONE" --image="$IMAGE" \
  --topology="${TOPOLOGY:-v5e:4x4}" --storage="${STORAGE:-runs}" --restarts="${RESTARTS:-10}" \
  --config="$RECIPE" --recipe="/dfjax/$RECIPE" --workdir="${WORKDIR:-/mnt/runs/a}" \
  --env=TFDS_DATA_DIR="${TFDS_DATA_DIR:-/mnt/runs/tfds}" "$@"
