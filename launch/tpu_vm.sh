#!/usr/bin/env bash
# One run on the workers of a TPU, stage by stage. Set what is in capitals, then:
#   launch/tpu_vm.sh create --spot        launch/tpu_vm.sh setup        launch/tpu_vm.sh start        (start again resumes)
# WORKDIR and RECIPE (a copy of CONFIG) are in a folder that all workers share, which MOUNT mounts on a worker.
set -euo pipefail

stage=${1:?create, setup or start}
shift
: "${PROJECT:?Google Cloud project}" "${ZONE:?such as us-west4-a}"
: "${WORKDIR:?such as /mnt/runs/a}" "${RECIPE:?path on the workers, such as /mnt/runs/emoji.py}"
more=()
if [[ $stage == setup ]]; then
  more=(--source="${SOURCE:?such as dfjax[emoji,eval,tpu] @ git+https://HOST/dfjax@TAG}" --before="${MOUNT:-}")
fi

exec dfjax launch tpu_vm --stage="$stage" --project="$PROJECT" --zone="$ZONE" --topology="${TOPOLOGY:-v5e:4x4}" \
  --config="${CONFIG:-configs/emoji.py}" --recipe="$RECIPE" --workdir="$WORKDIR" "${more[@]}" "$@"
