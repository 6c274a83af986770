"""How the training step scales: its time, the time to compile it and its bytes a device, over depth, width and devices.

    python benchmarks/scaling.py [--parts=depth,width,devices,state] [--config=configs/emoji.py] [--json]

depth, width: the step of ``--config`` with one layer compiled for all (``model.unroll=1``). It runs here, on random
numbers, the sizes in turn; and it is traced and compiled anew for this CPU, the sizes in turn again. So is that of
``--large``, at ``--large_width`` and 8 rows a chip, for the TPUs of ``--topology``.
devices: the step of ``--config`` on as many virtual devices of this machine, each number in a process of its own, in
turn. They share its cores and the batch stays as large, so that a ratio above 1 is what splitting costs.
state: bytes of ``--large``'s state on a chip of larger and larger slices, and their ratio to 1/N of the first's; from
shardings alone.

A ratio is the median of those to the first size in the same round: of steps by the clock, of compilations by the
processors' time, in which neighbours do not count.
"""

import contextlib
import functools
import json
import logging
import operator
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from absl import app, flags
from ml_collections import config_flags

from dfjax import config as config_lib
from dfjax.core.errors import DfjaxError
from dfjax.data import synthetic
from dfjax.parallel import mesh as mesh_lib
from dfjax.plan import advise, build, memory
from dfjax.plan import topology as topology_lib
from dfjax.training import state as state_lib
from dfjax.training import step

PARTS = ("depth", "width", "devices", "state")
_CONFIG = config_flags.DEFINE_config_file("config", "configs/emoji.py")
_ROUNDS = flags.DEFINE_integer("rounds", 10, "times that each size takes its turn")
_PARTS = flags.DEFINE_list("parts", list(PARTS), "what to measure")
_DEPTHS = flags.DEFINE_list("depths", ["12", "24", "48"], "layers")
_WIDTHS = flags.DEFINE_list("widths", ["96", "192", "384"], "channels; heads stay as wide as the recipe's")
_DEVICES = flags.DEFINE_list("devices", ["1", "2", "4", "8"], "numbers of virtual devices")
_BATCH = flags.DEFINE_integer("batch", 8, "rows of the steps that run here")
_COMPILES = flags.DEFINE_integer("compiles", 3, "compilations of each size")
_TOPOLOGY = flags.DEFINE_string("topology", "v5e:4x4", "TPUs to compile for; empty: none")
_LARGE = config_flags.DEFINE_config_file("large", "configs/mmdit_2b_512.py")
_LARGE_WIDTH = flags.DEFINE_integer("large_width", 512, "width of --large where it is compiled")
_JSON = flags.DEFINE_bool("json", False, "print one JSON object")
_SERVE = flags.DEFINE_integer("serve", 0, "the benchmark's own: be the process of so many devices")
flags.register_validator("parts", lambda parts: set(parts) <= set(PARTS), f"--parts are of {', '.join(PARTS)}")

_SLICES = ("v5e:2x4", "v5e:4x4", "v5e:4x8", "v5e:8x8", "v5e:8x16", "v5e:16x16")
_ROWS_A_CHIP = 8

_REPEATS = 5

# Figures by name; how a name ends says the unit.
Row = dict[str, Any]


def sized(config: config_lib.Config, batch: int, **sizes: int) -> config_lib.Config:
    """The config with other sizes of ``model``, its layers scanned one by one and its state split over all devices."""
    head = config.model.width // config.model.heads
    sizes = {"width": config.model.width, "unroll": 1} | sizes
    sizes["heads"] = sizes["width"] // head
    changes = {f"model.{name}": size for name, size in sizes.items()}
    return advise.apply(config, changes | {"train.batch_size": batch, "mesh.data": 1, "mesh.fsdp": -1})


def in_turn(measures: Sequence[Callable[[], Any]], rounds: int) -> np.ndarray:
    """What each measure gives in each round: [rounds, measures, ...]."""
    return np.array([[measure() for measure in measures] for _ in range(rounds)])


def medians(name: str, seconds: np.ndarray, compared: np.ndarray) -> list[Row]:
    """Of times [rounds, sizes], each size's median, and the median of ``compared``'s ratios to the first size."""
    ratios = np.median(compared / compared[:, :1], axis=0)
    columns = zip(np.median(seconds, axis=0).tolist(), ratios.tolist(), strict=True)
    return [{f"{name}_seconds": second, f"{name}_ratio": ratio} for second, ratio in columns]


def compiled(
    configs: Sequence[config_lib.Config], topology: topology_lib.Topology
) -> tuple[list[Row], list[jax.stages.Compiled]]:
    """The time to trace and compile each config's step for a topology, the bytes a device it needs; the programs."""
    built: dict[int, build.Built] = {}

    def measure(number: int) -> tuple[float, float]:
        jax.clear_caches()
        clock, processors = time.perf_counter(), time.process_time()
        built[number] = build.build(configs[number], topology)
        taken = time.perf_counter() - clock, time.process_time() - processors
        if built[number].compiled is None:
            raise DfjaxError(f"a step does not fit a device of {topology}: try a smaller --large_width")
        logging.info("%s: size %d of %d compiled in %.1f s", topology, number + 1, len(configs), taken[0])
        return taken

    numbers = range(len(configs))
    times = in_turn([functools.partial(measure, number) for number in numbers], _COMPILES.value)
    rows = medians(f"{topology.kind}_compile", times[..., 0], times[..., 1])
    for number in numbers:
        rows[number][f"{topology.kind}_peak_bytes"] = memory.measure(built[number]).peak
    return rows, [built[number].compiled for number in numbers]


def make_step(config: config_lib.Config, compiled: jax.stages.Compiled) -> Callable[[], jax.Array]:
    """A function that runs one training step that was compiled for this machine."""
    parts = build.parts(config, jax.devices())
    state = state_lib.create(parts.denoiser, parts.optimizer, parts.mesh, config.train.seed)
    split = mesh_lib.batch_sharding(parts.mesh)
    with synthetic.batches(step.batch_shapes(config), config.train.seed, config.text.vocab_size, split) as batches:
        batch = next(batches).arrays

    def run() -> jax.Array:
        nonlocal state
        state, metrics = compiled(state, batch)
        return metrics["loss"]

    return run


def seconds_of(function) -> float:
    """Of one call, over a few."""
    started = time.perf_counter()
    for _ in range(_REPEATS):
        result = function()
    jax.block_until_ready(result)
    return (time.perf_counter() - started) / _REPEATS


def stepped(configs: Sequence[config_lib.Config], programs: Sequence[jax.stages.Compiled]) -> list[Row]:
    """The time of each config's step, of which this machine has the program."""
    runs = [make_step(config, program) for config, program in zip(configs, programs, strict=True)]
    jax.block_until_ready([run() for run in runs])
    seconds = in_turn([functools.partial(seconds_of, run) for run in runs], _ROUNDS.value)
    return medians("step", seconds, seconds)


def over_sizes(name: str, sizes: Sequence[int], config: config_lib.Config, large: config_lib.Config) -> list[Row]:
    """Rows of a part that changes the network: ``name`` is "depth" or "width"."""
    here = [sized(config, _BATCH.value, **{name: size}) for size in sizes]
    compilations, programs = compiled(here, topology_lib.parse("cpu"))
    columns = [[{name: size} for size in sizes], stepped(here, programs), compilations]
    if _TOPOLOGY.value:
        topology = topology_lib.parse(_TOPOLOGY.value)
        rows = _ROWS_A_CHIP * topology.chips
        there = [sized(large, rows, **({"width": _LARGE_WIDTH.value} | {name: size})) for size in sizes]
        columns.append(compiled(there, topology)[0])
    return [functools.reduce(operator.or_, row) for row in zip(*columns, strict=True)]


def over_devices(counts: Sequence[int]) -> list[Row]:
    """Rows of the part "devices": its processes wait while another one is timed."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(_server(count)) for count in counts]
        sizes = [_answer(server) for server in servers]
        seconds = in_turn([functools.partial(_ask, server) for server in servers], _ROUNDS.value)
    rows = zip(counts, medians("step", seconds, seconds), sizes, strict=True)
    return [{"devices": count} | row | size for count, row, size in rows]


def _server(count: int) -> subprocess.Popen:
    # Of equal flags the last counts.
    xla = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
    command, pipe = [sys.executable, *sys.argv, f"--serve={count}"], subprocess.PIPE
    return subprocess.Popen(command, env=os.environ | {"XLA_FLAGS": xla}, stdin=pipe, stdout=pipe, text=True, bufsize=1)


def _ask(server: subprocess.Popen) -> float:
    print(file=server.stdin)
    return _answer(server)


def _answer(server: subprocess.Popen) -> Any:
    if not (line := server.stdout.readline()):
        raise DfjaxError(f"the process of {server.args[-1]} ended early; its own words are above")
    return json.loads(line)


def serve(count: int, config: config_lib.Config) -> None:
    """The other end of :func:`over_devices`: bytes of the compiled step, then a step's seconds for each line read."""
    config = sized(config, _BATCH.value)
    built = build.build(config, topology_lib.parse(f"cpu:{count}"))
    found = memory.measure(built)
    run = make_step(config, built.compiled)
    jax.block_until_ready(run())
    print(json.dumps({"state_bytes": sum(found.state.values()), "peak_bytes": found.peak}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(seconds_of(run)), flush=True)


def over_slices(large: config_lib.Config) -> list[Row]:
    """Rows of the part "state"."""
    rows: list[Row] = []
    for topology in map(topology_lib.parse, _SLICES):
        found = memory.state_bytes(build.parts(large, topology.devices()).state)
        row = {"topology": str(topology), "devices": topology.chips}
        row |= {f"{kind}_bytes": size for kind, size in found.items() if size}
        rows.append(row | {"state_bytes": sum(found.values())})
    first = rows[0]["devices"] * rows[0]["state_bytes"]
    return [row | {"ideal_ratio": row["devices"] * row["state_bytes"] / first} for row in rows]


def table(rows: Sequence[Row]) -> str:
    """Rows of the same names as aligned columns."""
    cells = [list(rows[0]), *([_cell(name, value) for name, value in row.items()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)


def _cell(name: str, value: Any) -> str:
    if name.endswith("_bytes"):
        return f"{value / 2**20:,.1f} MiB"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def measure() -> dict[str, list[Row]]:
    """Rows of every wanted part."""
    config, large = (config_lib.resolve(flags.FLAGS[name].value.to_dict()) for name in ("config", "large"))
    depths, widths, devices = ([int(size) for size in sizes.value] for sizes in (_DEPTHS, _WIDTHS, _DEVICES))
    parts = {
        "depth": lambda: over_sizes("depth", depths, config, large),
        "width": lambda: over_sizes("width", widths, config, large),
        "devices": lambda: over_devices(devices),
        "state": lambda: over_slices(large),
    }
    return {name: parts[name]() for name in _PARTS.value}


def main(_: list[str]) -> None:
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_compilation_cache", False)
    logging.getLogger("dfjax.parallel.mesh").setLevel(logging.WARNING)
    if _SERVE.value:
        serve(_SERVE.value, config_lib.resolve(flags.FLAGS.config.to_dict()))
        return
    try:
        found = measure()
    except DfjaxError as error:
        sys.exit(str(error))
    if _JSON.value:
        print(json.dumps(found))
        return
    for name, rows in found.items():
        print(f"{name}:\n{table(rows)}\n")


if __name__ == "__main__":
    app.run(main)
