"""What a key of the config is, and what value it takes."""

import dataclasses
import difflib
import re
import reprlib
from collections.abc import Iterable
from typing import Any

from dfjax.core.errors import ConfigError

# Steps and counts without a bound of their own are 32-bit numbers in the compiled step.
_LARGEST = 2**31 - 1
# Of a longer name the start is enough to find the nearest one, in time.
_LONGEST_NAME = 100


def key(
    default: Any,
    doc: str,
    *,
    choices: Iterable[str] = (),
    auto: bool = False,
    low: float | None = None,
    high: float | None = None,
    resume: bool = False,
    item: type | None = None,
):
    """A schema field. ``low`` and ``high`` are inclusive; ``resume`` marks keys that may change between resumes.

    ``choices`` may be a registry: what is registered by the time a value is checked can be chosen, and the word auto
    with ``auto``. ``item`` is the type of a tuple's items, where its default is empty.
    """
    metadata = {"doc": doc, "choices": choices, "auto": auto, "low": low, "high": high, "resume": resume, "item": item}
    return dataclasses.field(default=default, metadata=metadata)


def choices_of(field: dataclasses.Field) -> tuple[str, ...]:
    """The names that a key takes, of a registry those that are in it by now; none where it takes any value."""
    return ("auto",) * field.metadata["auto"] + tuple(field.metadata["choices"])


def shown(value: Any) -> str:
    """A value in a message: a config out of a file may hold anything, of any size and depth."""
    return reprlib.repr(value)


def checked(key: str, field: dataclasses.Field, value: Any) -> Any:
    """``value`` in the key's own type, or a ConfigError that says what is wrong with it."""
    initial: Any = field.default
    expected = type(initial)
    if expected is float and type(value) is int:
        value = _to_float(key, value)
    if expected is tuple and isinstance(value, list | tuple):
        item = field.metadata["item"] or type(initial[0])
        value = tuple(_to_float(key, v) if item is float and type(v) is int else v for v in value)
        if any(type(v) is not item for v in value):
            raise ConfigError(f"config key {key!r} takes a tuple of {item.__name__}, not {shown(value)}")
    if type(value) is not expected:
        raise ConfigError(f"config key {key!r} takes {expected.__name__}, not {type(value).__name__} ({shown(value)})")
    choices = choices_of(field)
    for one in value if isinstance(value, tuple) else (value,):
        if choices and one not in choices:
            close = difflib.get_close_matches(one[:_LONGEST_NAME], choices, n=1, cutoff=0.0)[0]
            raise ConfigError(
                f"config key {key!r} takes {'some' if isinstance(value, tuple) else 'one'} of {', '.join(choices)}, "
                f"not {shown(one)}; did you mean {close!r}?"
            )
        _check_one(key, one, field.metadata["low"], field.metadata["high"])
    return value


def _check_one(key: str, value: Any, low: float | None, high: float | None) -> None:
    """Refuse a number out of its bounds, and a text that no file or name could hold."""
    if isinstance(value, str) and re.search(r"[\0\ud800-\udfff]", value):
        raise ConfigError(f"config key {key!r} takes a text without NUL and surrogates, not {shown(value)}")
    if isinstance(value, float) and abs(value) == float("inf"):
        raise ConfigError(f"config key {key!r} must be finite")
    if type(value) is int and value > _LARGEST:
        raise ConfigError(f"config key {key!r} must be below 2**31, not {shown(value)}")
    # Written so that NaN, which compares false with everything, is refused too.
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        bounds = f"at least {low}" + (f" and at most {high}" if high is not None else "")
        raise ConfigError(f"config key {key!r} must be {bounds}, not {shown(value)}")


def _to_float(key: str, value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ConfigError(f"config key {key!r} must be finite, not {shown(value)}") from None
