"""One of the processes of test_losses.py: ``dfjax train``, which also writes down what each row of its batches was.

python losses_program.py RECORD_FILE train --config=... --workdir=...
"""

import hashlib
import json
import pathlib
import sys

import numpy as np

from dfjax.cli import main as cli
from dfjax.data import pipeline


class Recorded:
    """Batches as they come, with (step, row) -> hash of the row's bytes in a file."""

    def __init__(self, batches, path: str):
        self._batches, self._path = batches, pathlib.Path(path)
        self._rows: dict[str, str] = {}
        self._step = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._path.write_text(json.dumps(self._rows))
        self._batches.close()

    def __next__(self):
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
    pipeline.training_batches = lambda *args, **options: Recorded(original(*args, **options), path)
    sys.argv = ["dfjax", *arguments]
    cli.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
