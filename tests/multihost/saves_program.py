"""One of two processes that save, of which one fails alone: python -m tests.multihost.saves_program ADDRESS RANK FOLDER

Prints a line of JSON: how each case went, and the seconds that it took.
"""

import contextlib
import errno
import json
import logging
import pathlib
import resource
import sys
import time

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dfjax.checkpoint import checksums, retry
from dfjax.checkpoint.snapshots import Snapshots
from dfjax.checkpoint.store import AVERAGES, Checkpoints
from tests import small

# Of random numbers, so that no compression makes a file smaller than what may be written.
_SIZE, _MOST_BYTES = 1 << 20, 32 << 10


def main(address: str, rank: str, folder: str) -> None:
    # With a traceback for each write that fails it would fill the pipe of a test that reads the other process first.
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(address, 2, int(rank))
    print(json.dumps({name: _timed(case, pathlib.Path(folder) / name) for name, case in CASES.items()}))


def _timed(case, folder: pathlib.Path) -> dict:
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    found = case(folder)
    return {"found": found, "seconds": time.monotonic() - started}


def _array(seed: int) -> jax.Array:
    """Half of it on each process."""
    mesh = Mesh(np.array(jax.devices()), ("data",))
    values = np.random.default_rng(seed).integers(0, 2**32, _SIZE, np.uint32)
    return jax.make_array_from_callback(
        values.shape, NamedSharding(mesh, PartitionSpec("data")), lambda index: values[index]
    )


class _Saving:
    """Both stores of a run, as the loop saves into them."""

    def __init__(self, folder: pathlib.Path):
        self.stack = contextlib.ExitStack()
        self.checkpoints = self.stack.enter_context(Checkpoints(folder / "checkpoints", 100, limit_seconds=60))
        self.snapshots = self.stack.enter_context(Snapshots(folder / "snapshots", write=True, limit_seconds=60))
        self.savers = {
            "checkpoint": retry.Saver(self.checkpoints, 5, 0.0),
            "snapshot": retry.Saver(self.snapshots, 5, 0.0),
        }

    def save(self, kind: str, step: int) -> None:
        array = {"x": _array(step)}
        meta = {"config": small.config().to_dict(), "attempt": 0, "position": 0}
        if kind == "snapshot":
            self.savers[kind].save(lambda: self.snapshots.save(step, {AVERAGES: array}, meta, b"t"))
        else:
            items = {"params": array, "ema": array, "optimizer": array}
            self.savers[kind].save(lambda: self.checkpoints.save(step, items, meta, b"t"))

    def settle(self) -> None:
        for saver in self.savers.values():
            saver.settle()

    def end(self) -> dict[str, list[int]]:
        self.settle()
        found = {"checkpoint": self.checkpoints.steps(), "snapshot": self.snapshots.steps()}
        self.stack.close()
        return found


def together(folder: pathlib.Path) -> dict[str, list[int]]:
    """Checkpoints and snapshots in flight at once, again and again."""
    saving = _Saving(folder)
    for step in range(1, 7):
        saving.save("snapshot", step)
        saving.save("checkpoint", step)
        if jax.process_index() == step % 2:
            time.sleep(0.05)
    return saving.end()


def no_room(rank: int):
    """Files of one process may not grow while the second of three saves of each kind is on its way."""

    def case(folder: pathlib.Path) -> dict[str, list[int]]:
        saving, usual = _Saving(folder), resource.getrlimit(resource.RLIMIT_FSIZE)
        for step in (1, 2, 3):
            if step == 2 and jax.process_index() == rank:
                resource.setrlimit(resource.RLIMIT_FSIZE, (_MOST_BYTES, usual[1]))
            saving.save("snapshot", step)
            saving.save("checkpoint", step)
            saving.settle()
            resource.setrlimit(resource.RLIMIT_FSIZE, usual)
        return saving.end()

    return case


def no_name(folder: pathlib.Path) -> dict[str, list[int]]:
    """All have written the second checkpoint, and the first process cannot give it its name."""
    saving, write = _Saving(folder), checksums.write

    def fail(*_):
        raise OSError(errno.ENOSPC, "no space left on device")

    for step in (1, 2, 3):
        checksums.write = fail if step == 2 else write
        saving.save("checkpoint", step)
        saving.settle()
    return saving.end()


CASES = {
    "together": together,
    "no_room_on_the_first": no_room(0),
    "no_room_on_the_second": no_room(1),
    "no_name": no_name,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
