#!/usr/bin/env bash
# optax 0.2.8, jax 0.10.2. optax.partition(transforms, label_function), and optax.tree.map_params over its state.
# Guess: the label function is only ever called with the tree of parameters that init was given, so it may read it as a dict.
# Seen: map_params calls init anew with a placeholder that is no dict, and so the label function too; one that iterates over
# the parameters raises TypeError, one that is written with tree maps gets back what it was given.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 optax==0.2.8
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import sys

import jax
import jax.numpy as jnp
import optax

print("optax", importlib.metadata.version("optax"), "jax", jax.__version__)
params = {"head": {"w": jnp.ones(3)}, "body": {"w": jnp.ones(3)}}
seen = []


def by_name(params):
    seen.append(type(params).__name__)
    return {name: name for name in params}


def by_path(params):
    return jax.tree_util.tree_map_with_path(lambda path, _: path[0].key, params)


transforms = {"head": optax.sgd(0.1, momentum=0.9), "body": optax.adam(0.1)}
print("guess: the labels of a dict of parameters may be made by iterating over it")
plain = optax.partition(transforms, by_name)
state = plain.init(params)
try:
    optax.tree.map_params(plain, lambda leaf: leaf, state)
    failed = False
except TypeError as error:
    failed = True
    print("seen:", type(error).__name__, error, "after calls with", seen)
mapped = optax.partition(transforms, by_path)
optax.tree.map_params(mapped, lambda leaf: leaf, mapped.init(params))
print("with tree maps: no error")
sys.exit(0 if failed and "dict" in seen and len(set(seen)) == 2 else 1)
PYTHON
