"""dfjax plan --config=RECIPE.py --topology=KIND:SHAPE[*SLICES] [--config.KEY=VALUE ...]

Compiles the training step for devices that need not be there (v4, v5e, v5p, v6e, a100, h100, h200, cpu) and says
whether it fits, what it sends and the least time it takes. Exits with 0 if it fits and 1 if it does not.

    --shardings     which parameter is split over which axis, without compiling
    --json          one object instead of words
    --noadvise      do not look for a change of config that makes it fit, which compiles several programs
"""

import dataclasses
import json
import logging
import sys

from absl import flags

from dfjax.cli import app

_CONFIG = app.define_config()
_TOPOLOGY = flags.DEFINE_string("topology", None, "devices, as v5e:16x16, v5p:4x8x8*2, h100:8 or cpu", required=True)
_SHARDINGS = flags.DEFINE_bool("shardings", False, "print how each parameter is split, and do not compile")
_JSON = flags.DEFINE_bool("json", False, "print one JSON object")
_ADVISE = flags.DEFINE_bool("advise", True, "where it does not fit, look for the cheapest change that does")

DOES_NOT_FIT = 1


def main(rest: list[str]) -> None:
    """Compile, read, print."""
    app.refuse_rest(rest)
    config = app.read_config(_CONFIG)
    import jax

    from dfjax.plan import topology as topology_lib

    try:
        topology = topology_lib.parse(_TOPOLOGY.value)
    except topology_lib.TopologyError as error:
        raise app.UsageError(f"--topology: {error}") from error
    topology_lib.prepare_environment(topology)
    # Programs for devices that are not there cannot be loaded from a cache, and compiling is to be timed.
    jax.config.update("jax_enable_compilation_cache", False)
    # The plan says it itself, and the step is traced more than once.
    logging.getLogger("dfjax.parallel.mesh").setLevel(logging.WARNING)
    if _SHARDINGS.value:
        _print_shardings(config, topology)
        return
    from dfjax.plan import advise, report

    plan = report.make(config, topology)
    advice = None if plan.fits or not _ADVISE.value else advise.find(config, topology, plan)
    if _JSON.value:
        print(json.dumps(plan.to_json() | {"advice": advice and dataclasses.asdict(advice)}))
    else:
        print(plan.text() if advice is None else f"{plan.text()}\n\n{advice.text()}")
    sys.exit(0 if plan.fits else DOES_NOT_FIT)


def _print_shardings(config, topology) -> None:
    from dfjax.core import trees
    from dfjax.parallel import rules
    from dfjax.plan import build

    parts = build.planned(config, topology.devices())
    mesh, params = parts.mesh, parts.state.params
    if not _JSON.value:
        print("mesh: " + " x ".join(f"{axis} {size}" for axis, size in mesh.shape.items()))
        print(rules.table(parts.network.described, params, mesh))
        return
    rows = {
        name: {"shape": leaf.shape, "split_over": tuple(leaf.sharding.spec)}
        for name, leaf in trees.named_leaves(params).items()
    }
    print(json.dumps({"mesh": dict(mesh.shape), "shardings": rows}))
