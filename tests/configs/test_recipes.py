"""The recipes: each resolves, and holds only what differs from the schema."""

import ast
import importlib.util
import pathlib

import pytest

from dfjax import config

RECIPES = sorted((pathlib.Path(__file__).parents[2] / "configs").glob("*.py"))


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
    assert f"dfjax train --config=configs/{recipe.name} --workdir=" in ast.get_docstring(ast.parse(recipe.read_text()))
