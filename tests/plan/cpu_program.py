"""Run with eight CPU devices by test_traffic.py: prints what the reader finds in programs of known traffic.

A JSON object: for each program its collectives, as kind, axes, executions, bytes of the whole array, bytes sent a time.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from dfjax.plan import traffic
from tests.plan import programs

KINDS = ("all-gather", "reduce-scatter", "all-reduce", "all-to-all", "collective-permute")


def main() -> None:
    mesh = Mesh(np.array(jax.devices()).reshape(2, 4), ("data", "fsdp"))
    square = programs.square(jnp.float32)  # the CPU adds up bfloat16 in float32
    texts = {kind: programs.text(mesh, programs.single(kind, "fsdp"), square) for kind in KINDS}
    texts["together"] = programs.text(mesh, programs.together, square, programs.square(jnp.int32))
    weights = (5, programs.WIDTH, programs.WIDTH), jnp.float32, P(None, "fsdp")
    texts["nested"] = programs.text(mesh, programs.nested, square, weights)
    found = {name: traffic.collectives(text, mesh) for name, text in texts.items()}
    print(json.dumps({name: [_row(one) for one in some] for name, some in found.items()}))


def _row(one: traffic.Collective) -> tuple:
    return one.kind, one.axes, one.count, one.payload_bytes, one.link_bytes


if __name__ == "__main__":
    main()
