"""In which keys of their configs runs differ: from each other, or one run from the defaults."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dfjax import config as config_lib

_LONGEST = 1000


@dataclasses.dataclass(frozen=True)
class Difference:
    """A key, what it means, its default, and its value in each run, as words; None where nothing is said."""

    key: str
    meaning: str
    default: str | None
    values: list[str | None]


def read(path: Path) -> dict[str, Any]:
    """A saved config by full key (``optim.learning_rate``), whatever version wrote it; empty if it cannot be read."""
    try:
        sections = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(sections, dict):
        return {}
    return {
        f"{section}.{name}": value
        for section, keys in sections.items()
        if isinstance(keys, dict)
        for name, value in keys.items()
    }


def find(configs: Sequence[dict[str, Any]]) -> list[Difference]:
    """Keys in which several configs differ, or in which one is not at its defaults; in the schema's order.

    A key that a config lacks, since an older version wrote it, stands at its default.
    """
    known = [key for key in config_lib.FIELDS if any(key in config for config in configs)]
    unknown = sorted({key for config in configs for key in config} - set(known))
    found = []
    for key in (*known, *unknown):
        field = config_lib.FIELDS.get(key)
        default = _words(field.default) if field else None
        values = [_words(config[key]) if key in config else default if config else None for config in configs]
        said = [value for value, config in zip(values, configs, strict=True) if config]
        if len(set(said)) > 1 or (len(configs) == 1 and said != [default]):
            found.append(Difference(key, field.metadata["doc"] if field else "", default, values))
    return found


def _words(value: Any) -> str:
    """A value as JSON, so that ``1`` and ``"1"`` differ, while 1 and 1.0 are one; cut where it is very long."""
    several = isinstance(value, list | tuple)
    words = f"[{', '.join(_json(each) for each in value)}]" if several else _json(value)
    return words if len(words) <= _LONGEST else words[:_LONGEST] + "…"


def _json(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "…"
