"""The plan of the house, enforced: who may import whom."""

import pathlib
import subprocess
import sys

import pytest

import dfjax
from dfjax import config
from tests.architecture import imports

ROOT = pathlib.Path(dfjax.__file__).parent


def test_rooms_import_only_what_is_below_them():
    found = imports.read(ROOT)
    assert len(found) > 100
    assert imports.breaches(found) == []


def test_modules_do_not_import_each_other_in_a_circle():
    assert imports.circle(imports.read(ROOT)) == []


# Of each rule, one breach: it must be seen, or the tests above mean nothing.
@pytest.mark.parametrize(
    ("path", "line", "seen"),
    [
        ("diffusion/loss.py", "from dfjax.models import layers", "models is not below diffusion"),
        ("diffusion/loss.py", "import flax.nnx", "diffusion does without flax"),
        ("diffusion/loss.py", "from dfjax import config", "diffusion does without config"),
        ("diffusion/loss.py", "import pathlib", "diffusion does without pathlib"),
        ("models/layers.py", "from dfjax import config", "models does without config"),
        ("core/rng.py", "import optax", "core does without optax"),
        ("core/rng.py", "from dfjax import config", "config is not below core"),
        ("report/run.py", "from dfjax.sample import generate", "report does without sample"),
        ("models/layers.py", "def late():\n    from ..parallel import mesh", "parallel is not below models"),
        ("sample/generate.py", "import dfjax.training.step", "training is not below sample"),
        ("training/step.py", "from dfjax.cli import app", "cli is not below training"),
        ("inputs/tokenizer.py", "import tensorflow as tf", "inputs does without tensorflow"),
        ("attic/box.py", "import jax", "no room 'attic'"),
        ("__init__.py", "from dfjax.core import rng", "core is not below the package"),
    ],
)
def test_a_planted_breach_is_seen(path, line, seen, tmp_path):
    house = tmp_path / "dfjax"
    for name in ("config/__init__.py", "core/rng.py", "models/layers.py", "parallel/mesh.py", path):
        (house / name).parent.mkdir(parents=True, exist_ok=True)
        (house / name).touch()
    (house / path).write_text(line + "\n")
    (only,) = imports.breaches(imports.read(house))
    assert seen in only


def test_what_the_plan_allows_is_no_breach(tmp_path):
    (tmp_path / "dfjax" / "training").mkdir(parents=True)
    (tmp_path / "dfjax" / "config").mkdir()
    (tmp_path / "dfjax" / "config" / "__init__.py").touch()
    lines = "import json, flax, optax\nimport dfjax\nfrom dfjax import config\nfrom dfjax.training import step\n"
    (tmp_path / "dfjax" / "training" / "loop.py").write_text(lines)
    assert imports.breaches(imports.read(tmp_path / "dfjax")) == []


def test_a_planted_circle_is_seen(tmp_path):
    core = tmp_path / "dfjax" / "core"
    core.mkdir(parents=True)
    (core / "first.py").write_text("from dfjax.core import second\n")
    (core / "second.py").write_text("from . import first\n")
    assert set(imports.circle(imports.read(tmp_path / "dfjax"))) == {"dfjax.core.first", "dfjax.core.second"}
    # Inside a function it is no circle: the import runs later.
    (core / "second.py").write_text("def late():\n    from . import first\n")
    assert imports.circle(imports.read(tmp_path / "dfjax")) == []


def test_the_sampler_imports_neither_tensorflow_nor_the_data_pipeline():
    program = (
        "import sys, dfjax.sample.generate, dfjax.sample.restore\n"
        "heavy = ('tensorflow', 'tensorflow_datasets', 'grain', 'clu', 'dfjax.data', 'dfjax.training')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_training_loop_loads_tensorflow_only_where_it_writes():
    heavy = "('tensorflow', 'clu.metric_writers')"
    program = f"import sys, dfjax.training.loop\nprint([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_there_are_not_too_many_config_keys_and_each_has_its_type_and_meaning():
    # 60 carry the trainer, 20 the choices of docs/diffusion.md, 10 those of docs/scaling.md, 13 those of
    # docs/faults.md, docs/checkpoints.md, docs/data.md and docs/health.md, 10 those of docs/evaluation.md,
    # 3 name ports (objective, codec, conditioner).
    assert len(config.FIELDS) <= 116
    listed = config.describe()
    for key, field in config.FIELDS.items():
        assert field.metadata["doc"]
        assert f"--config.{key} : {type(field.default).__name__}" in listed
        assert field.metadata["doc"] in listed
