"""One of the processes of test_start.py: joins the others as ``dfjax train`` does, and says what it found.

python start_program.py SECONDS [like-a-tpu-machine]
"""

import os
import sys

import jax
import numpy as np

from dfjax import config
from dfjax.core.errors import DfjaxError
from dfjax.runtime import hosts


def main(seconds: str, *machine: str) -> None:
    if machine:
        # Without TPU chips JAX says at its import that there are no metadata to ask.
        del os.environ["TPU_SKIP_MDS_QUERY"]
    try:
        hosts.start(limits=config.Hosts(start_seconds=int(seconds)))
    except DfjaxError as error:
        sys.exit(f"refused: {error}")
    from jax.experimental import multihost_utils

    ranks = np.ravel(multihost_utils.process_allgather(np.int32(jax.process_index())))
    print(f"process {jax.process_index()} of {jax.process_count()} met {ranks.tolist()}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
