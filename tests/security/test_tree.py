"""The tree holds nothing that runs, unpickles or imports what a file says."""

import pathlib

import pytest

from tests.security import forbidden

ROOT = pathlib.Path(__file__).parents[2]
# Modules that dfjax names itself; TFDS behind a look at what it would import; what an engine is handed, as words
# that no shell reads; and recipes that start from another one, which are code as any.
KNOWN = {
    ("configs/sweeps/learning_rate.py", "runpy"),
    ("configs/sweeps/objective.py", "runpy"),
    # Of places that stand in the code, never of what a file says.
    ("dfjax/__init__.py", "importlib.import_module"),
    ("dfjax/core/registry.py", "importlib.import_module"),
    ("dfjax/launching/engine.py", "subprocess.run"),
    ("dfjax/launching/engines.py", "importlib.import_module"),
    ("dfjax/launching/processes.py", "subprocess.Popen"),
    ("dfjax/sweeps/pool.py", "subprocess.Popen"),
    ("dfjax/sweeps/search.py", "subprocess.run"),
    ("dfjax/cli/main.py", "importlib.import_module"),
    ("dfjax/datasets/emoji_captions.py", "importlib.import_module"),
    ("dfjax/data/folders.py", "tfds.builder_from_directory"),
}


def test_no_module_runs_or_imports_what_a_file_says():
    files = [path for folder in ("dfjax", "launch", "configs") for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 80
    found = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in files
        for _, name in forbidden.uses(path.read_text("utf-8"))
    }
    assert found == KNOWN


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from dill import loads",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "eval(text)",
        "def f():\n    exec(text)",
        "import importlib\nimportlib.import_module(name)",
        "import torch\ntorch.load(path)",
        "import yaml",
    ],
)
def test_each_way_to_do_so_would_be_found(source):
    assert list(forbidden.uses(source))


def test_what_only_looks_alike_is_not_found():
    assert not list(
        forbidden.uses("import re, numpy as np\nre.compile('x')\nlowered.compile()\nnp.load(path)\nx.eval()")
    )
