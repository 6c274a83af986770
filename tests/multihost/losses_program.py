"""``dfjax train``, which also writes down what each row of its batches was, and can be disturbed at a batch.

python losses_program.py RECORD_FILE train --config=... --workdir=...

DISTURB=term@8 in the environment: from batch 8 on this process has been sent SIGTERM, and batches come slowly.
DISTURB=wait@8: batch 8 does not come for a minute. DISTURBED_RANK: which process it is for, else all.
"""

import hashlib
import json
import os
import pathlib
import signal
import sys
import time

import jax
import numpy as np

from dfjax.cli import main as cli
from dfjax.data import pipeline


class Recorded:
    """Batches as they come, with (step, row) -> hash of the row's bytes in a file."""

    def __init__(self, batches, path: str, start: int):
        self._batches, self._path = batches, pathlib.Path(path)
        self._rows: dict[str, str] = {}
        self._step = start
        disturbed = os.environ.get("DISTURBED_RANK") in (None, str(jax.process_index()))
        self._disturb, _, at = (os.environ.get("DISTURB", "") if disturbed else "").partition("@")
        self._at = int(at or -1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._path.write_text(json.dumps(self._rows))
        self._batches.close()

    def __next__(self):
        if self._disturb == "wait" and self._step == self._at:
            time.sleep(60)
        if self._disturb == "term" and self._step == self._at:
            os.kill(os.getpid(), signal.SIGTERM)
        if self._disturb == "term" and self._step >= self._at:
            # Several steps go by in which all are told.
            time.sleep(0.4)
        batch = next(self._batches)
        for name, array in sorted(batch.arrays.items()):
            for shard in array.addressable_shards:
                first = shard.index[0].start or 0
                for row, values in enumerate(np.asarray(shard.data), first):
                    self._rows[f"{self._step} {row} {name}"] = hashlib.sha256(values.tobytes()).hexdigest()
        self._step += 1
        return batch


def main(path: str, *arguments: str) -> None:
    original = pipeline.training_batches

    def recorded(*args, **options):
        start = options["position"] // options["batch_size"]
        return Recorded(original(*args, **options), path, start)

    pipeline.training_batches = recorded
    sys.argv = ["dfjax", *arguments]
    cli.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
