"""The lines of a sweep: what a recipe's ``sweep()`` yields, checked against the schema and named by what differs."""

import dataclasses
import hashlib
import importlib.util
import itertools
import json
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from dfjax import config as config_lib
from dfjax.core.errors import DfjaxError
from dfjax.launching.errors import JobError
from dfjax.objective import process

# More is taken for a sweep without end.
MOST = 10_000
_LONGEST_NAME = 100
_LONGEST_VALUE = 32


@dataclasses.dataclass(frozen=True)
class Line:
    """One run of a sweep.

    Attributes:
      number: from 1. name: of its work directory, in the folder of the sweep. overrides: by full key, checked.
      steps: of the whole run.
    """

    number: int
    name: str
    overrides: dict[str, Any]
    steps: int

    @property
    def words(self) -> tuple[str, ...]:
        """The overrides as words of ``dfjax train``, each whole."""
        return tuple(f"--config.{key}={_word(value)}" for key, value in self.overrides.items())


def load(recipe: Path) -> ModuleType:
    """The module of a recipe, whose path may end with ``:argument``. Raises JobError, with the place, if it raises."""
    path = str(recipe).partition(":")[0]
    spec = importlib.util.spec_from_file_location("dfjax_recipe", path)
    if spec is None or spec.loader is None:
        raise JobError(f"the recipe {path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    call(lambda: spec.loader.exec_module(module), "the recipe", path)  # type: ignore[union-attr]
    return module


def call(function: Callable[[], Any], what: str, path: str) -> Any:
    """What a recipe's function returns. Raises JobError with the line of the recipe where it raises."""
    try:
        return function()
    except DfjaxError:
        raise
    except Exception as error:
        own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
        where = f" ({path}, line {own[-1].lineno})" if own else f" ({path})"
        first = (str(error).strip().splitlines() or [""])[0][:300]
        raise JobError(f"{what} raised{where}: {type(error).__name__}: {first}") from error


def read(recipe: Path, base: config_lib.Config) -> list[Line]:
    """The lines of the recipe's ``sweep()``, each checked on top of ``base``, the config without them.

    Raises:
      JobError: there is no ``sweep()``, it yields nothing or no dict, or two lines are the same. ConfigError: a line
        that the schema refuses, or that cannot work. Both name the line.
    """
    module = load(recipe)
    if not hasattr(module, "sweep"):
        raise JobError(
            f"the recipe {recipe} has no function sweep() that yields dicts of overrides; "
            "configs/sweeps/learning_rate.py shows one"
        )
    path = str(recipe).partition(":")[0]
    found = call(lambda: list(itertools.islice(module.sweep(), MOST + 1)), "the recipe's sweep()", path)
    if not found:
        raise JobError("the recipe's sweep() yields nothing: it is to yield a dict of overrides for each run")
    if len(found) > MOST:
        raise JobError(f"the recipe's sweep() yields more than {MOST:,} lines: does it end?")
    checked = [check(number, overrides, base) for number, overrides in enumerate(found, 1)]
    _refuse_equal([config for _, config in checked], found)
    names = name_all([overrides for overrides, _ in checked])
    return [
        Line(number, name, overrides, config.train.num_steps)
        for number, (name, (overrides, config)) in enumerate(zip(names, checked, strict=True), 1)
    ]


def check(number: int, overrides: Any, base: config_lib.Config) -> tuple[dict[str, Any], config_lib.Config]:
    """A line's overrides in the types of the schema, and the whole config. Raises JobError or ConfigError."""
    if not isinstance(overrides, Mapping):
        raise JobError(
            f'line {number} of the sweep is a {type(overrides).__name__}, and no dict such as {{"model.width": 64}}'
        )
    try:
        config = base.with_(overrides)
        process.check(config)
    except config_lib.ConfigError as error:
        raise config_lib.ConfigError(f"line {number} of the sweep ({_said(overrides)}): {error}") from error
    resolved = config.to_dict()
    return {key: resolved[key.split(".")[0]][key.split(".")[1]] for key in overrides}, config


def _refuse_equal(configs: Sequence[config_lib.Config], overrides: Sequence[Any]) -> None:
    seen: dict[str, int] = {}
    for number, config in enumerate(configs, 1):
        first = seen.setdefault(config.to_json(), number)
        if first != number:
            raise JobError(
                f"lines {first} and {number} of the sweep are the same run ({_said(overrides[number - 1])}): "
                "leave one of them out"
            )


def _said(overrides: Mapping[Any, Any]) -> str:
    words = ", ".join(f"{key}={value!r}" for key, value in overrides.items())
    return words if len(words) <= 200 else words[:200] + "…"


def name_all(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each line, of what differs between them: safe on every file system, and unique in any case."""
    keys = differing(lines)
    short = shortened(keys)
    names = [_name({short[key]: overrides[key] for key in keys if key in overrides}) for overrides in lines]
    folded = [name.casefold() for name in names]
    return [
        f"{name}-{_digest(overrides)}" if folded.count(fold) > 1 else name
        for name, fold, overrides in zip(names, folded, lines, strict=True)
    ]


def differing(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys whose values differ between lines, in the order in which they come; of a single line all it has."""
    keys = list(dict.fromkeys(key for overrides in lines for key in overrides))
    if len(lines) == 1:
        return keys
    return [key for key in keys if len({_json(overrides.get(key)) for overrides in lines}) > 1]


def shortened(keys: Sequence[str]) -> dict[str, str]:
    """Each key without its section, where that is enough to tell it from the others."""
    tails = [key.split(".")[-1] for key in keys]
    return {key: tail if tails.count(tail) == 1 else key for key, tail in zip(keys, tails, strict=True)}


def _name(values: Mapping[str, Any]) -> str:
    parts = []
    for key, value in values.items():
        plain = _word(value)
        safe = re.sub(r"[^A-Za-z0-9._+-]+", "_", plain)
        if safe != plain or len(safe) > _LONGEST_VALUE:
            safe = f"{safe[: _LONGEST_VALUE - 9]}-{_digest(value)}"
        parts.append(f"{key}={safe}")
    name = ",".join(parts) or "base"
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 9]}-{_digest(dict(values))}"


def _word(value: Any) -> str:
    """A value as the flags of configs read it."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else repr(tuple(value) if isinstance(value, list) else value)


def _digest(value: Any) -> str:
    return hashlib.sha256(_json(value).encode()).hexdigest()[:8]


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
