"""dfjax checkpoint list|inspect|verify|prune --workdir=RUN [--step=N] [--json]

list      steps, sizes, times, and what is incomplete
inspect   what the checkpoint of --step (by default the newest) says of itself, and its arrays
verify    read every file of --step (by default of all) again and name each that is damaged, missing or extra;
          exits with 1 if there is one
prune     delete all but the --keep_last newest whole ones, and multiples of --keep_every; --dry_run only says which
"""

import dataclasses
import json
import sys
import time
from pathlib import Path

from absl import flags

from dfjax.cli import app

_WORKDIR = flags.DEFINE_string("workdir", None, "folder of a trained run", required=True)
_STEP = flags.DEFINE_integer("step", None, "training step of a checkpoint", lower_bound=0)
_JSON = flags.DEFINE_bool("json", False, "print one JSON object instead")
_KEEP_LAST = flags.DEFINE_integer("keep_last", 2, "newest whole checkpoints that `prune` keeps", lower_bound=1)
_KEEP_EVERY = flags.DEFINE_integer("keep_every", 0, "also keep those at multiples of this; 0: none", lower_bound=0)
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "say what `prune` would delete, and delete nothing")


def main(rest: list[str]) -> None:
    """List, inspect, verify or prune."""
    actions = {"list": _list, "inspect": _inspect, "verify": _verify, "prune": _prune}
    if len(rest) != 1 or rest[0] not in actions:
        raise app.UsageError(f"say `dfjax checkpoint {' or '.join(actions)}`, not {' '.join(rest)!r}")
    import jax

    from dfjax.checkpoint.workdir import Workdir

    # The work is the host's: no accelerator is taken from a run that trains.
    jax.config.update("jax_platforms", "cpu")
    actions[rest[0]](Workdir(Path(_WORKDIR.value)))


def _list(workdir) -> None:
    from dfjax.checkpoint import inventory
    from dfjax.core import storage

    inventory.require(workdir)
    found = inventory.entries(workdir)
    if _JSON.value:
        print(json.dumps({"checkpoints": [dataclasses.asdict(entry) for entry in found]}))
        return
    for entry in found:
        date = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.committed)) if entry.committed else "no date"
        lacks = f"  lacks {', '.join(entry.missing)}" if entry.missing else ""
        sums = "" if entry.checksums else "  no checksums"
        print(f"step {entry.step}  {storage.size_words(entry.bytes)}  {date}{lacks}{sums}  {entry.path}")


def _inspect(workdir) -> None:
    from dfjax.checkpoint import inventory

    told = inventory.describe(workdir, inventory.choose(workdir, _STEP.value))
    if _JSON.value:
        print(json.dumps(told))
        return
    print(told["path"])
    for name, value in told["meta"].items():
        if name != "config":
            print(f"{name}: {json.dumps(value)}")
    for item, leaves in told["items"].items():
        print(f"{item}: {len(leaves)} arrays")
        for name, leaf in leaves.items():
            print(f"  {name}  {leaf['dtype']}{list(leaf['shape'])}")


def _verify(workdir) -> None:
    from dfjax.checkpoint import inventory

    steps = inventory.require(workdir) if _STEP.value is None else [inventory.choose(workdir, _STEP.value)]
    found = {}
    for step in steps:
        try:
            found[step] = inventory.verify(workdir, step)
        except inventory.GoneError:
            if _STEP.value is not None:
                raise
    if _JSON.value:
        rows = [
            {"step": step, "checksums": faults is not None, "faults": [dataclasses.asdict(f) for f in faults or ()]}
            for step, faults in found.items()
        ]
        print(json.dumps({"checkpoints": rows}))
    else:
        for step, faults in found.items():
            if faults is None:
                print(f"step {step}: has no checksums (an earlier version saved it), so it cannot be verified")
            elif not faults:
                print(f"step {step}: whole")
            for fault in faults or ():
                print(f"step {step}: {fault.file} is {fault.what}")
    sys.exit(1 if any(found.values()) else 0)


def _prune(workdir) -> None:
    from dfjax.checkpoint import inventory

    going = inventory.prune(workdir, _KEEP_LAST.value, _KEEP_EVERY.value, dry_run=_DRY_RUN.value)
    if _JSON.value:
        print(json.dumps({"deleted": going, "dry_run": _DRY_RUN.value}))
        return
    for step in going:
        print(f"step {step}: {'would be deleted' if _DRY_RUN.value else 'deleted'}")
