"""The recipes: each resolves, and holds only what differs from the schema."""

import ast
import importlib.util
import pathlib
import subprocess
import sys

import pytest

from dfjax import config
from dfjax.sweeps import lines

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
RECIPES = sorted(CONFIGS.rglob("*.py"))
SWEEPS = sorted((CONFIGS / "sweeps").glob("*.py"))


def _values(recipe: pathlib.Path) -> config.Config:
    spec = importlib.util.spec_from_file_location(recipe.stem, recipe)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return config.resolve(module.get_config().to_dict())


def test_there_are_recipes():
    assert {"emoji", "emoji_full"} <= {recipe.stem for recipe in RECIPES}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_a_recipe_sets_only_what_differs(recipe):
    made, plain = _values(recipe).to_dict(), config.Config().to_dict()
    targets = [
        t for node in ast.walk(ast.parse(recipe.read_text())) if isinstance(node, ast.Assign) for t in node.targets
    ]
    keys = [ast.unparse(target).removeprefix("config.") for target in targets if isinstance(target, ast.Attribute)]
    assert keys
    assert len(keys) == len(set(keys))
    same = [key for key in keys for section, name in [key.split(".")] if made[section][name] == plain[section][name]]
    assert same == []


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_a_recipe_says_how_it_is_run(recipe):
    said = ast.get_docstring(ast.parse(recipe.read_text()))
    command = "sweep" if recipe in SWEEPS else "train"
    assert f"dfjax {command} --config=configs/{recipe.relative_to(CONFIGS)} --workdir=" in said


@pytest.mark.parametrize("recipe", SWEEPS, ids=lambda recipe: recipe.stem)
def test_every_line_of_a_sweep_can_be_trained(recipe):
    found = lines.read(recipe, _values(recipe))
    assert len(found) > 1
    assert all("=" in line.name for line in found)


def test_the_sweep_over_objectives_has_every_admitted_combination_and_no_other():
    recipe = CONFIGS / "sweeps" / "objective.py"
    found = {tuple(line.overrides.values()) for line in lines.read(recipe, _values(recipe))}
    kinds, schedules = {kind for kind, _, _ in found}, {schedule for _, schedule, _ in found}
    assert kinds == {"x0", "eps", "v", "flow"}
    # Eps gives no picture back where a schedule ends in pure noise.
    assert {schedule for kind, schedule, _ in found if kind == "eps"} == {"linear"}
    assert len(found) == 2 * (len(kinds) * len(schedules) - 2)


def test_a_recipe_is_imported_without_loading_jax():
    heavy = "[name for name in ('jax', 'flax', 'optuna') if name in sys.modules]"
    program = f"import runpy, sys; runpy.run_path(sys.argv[1]); print({heavy})"
    for recipe in SWEEPS:
        done = subprocess.run([sys.executable, "-c", program, recipe], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"
