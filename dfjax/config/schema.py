"""The whole config: every key by its full name, from a recipe's mapping, to JSON and back."""

import dataclasses
import difflib
import json
from collections.abc import Mapping
from typing import Any

import ml_collections

from dfjax.config.data import Data, Text
from dfjax.config.diffusion import Diffusion
from dfjax.config.keys import checked, choices_of, shown
from dfjax.config.model import Model
from dfjax.config.sampling import Eval, Sample
from dfjax.config.training import Hosts, Mesh, Optim, Train
from dfjax.core.errors import ConfigError

_LONGEST_NAME = 100


@dataclasses.dataclass(frozen=True)
class Config:
    """The whole config; see the sections for the keys."""

    data: Data = dataclasses.field(default_factory=Data)
    text: Text = dataclasses.field(default_factory=Text)
    model: Model = dataclasses.field(default_factory=Model)
    diffusion: Diffusion = dataclasses.field(default_factory=Diffusion)
    optim: Optim = dataclasses.field(default_factory=Optim)
    train: Train = dataclasses.field(default_factory=Train)
    mesh: Mesh = dataclasses.field(default_factory=Mesh)
    sample: Sample = dataclasses.field(default_factory=Sample)
    eval: Eval = dataclasses.field(default_factory=Eval)
    hosts: Hosts = dataclasses.field(default_factory=Hosts)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        return dataclasses.asdict(self)

    def with_(self, changes: Mapping[str, Any]) -> "Config":
        """This config with some keys changed, by their full names: ``config.with_({"optim.learning_rate": 1e-3})``.

        Raises:
          ConfigError: as :func:`resolve`.
        """
        values = self.to_dict()
        for key, value in changes.items():
            if key not in FIELDS:
                raise ConfigError(f"unknown config key {shown(key)}; {nearest(key)}")
            section, name = key.split(".")
            values[section][name] = value
        return resolve(values)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2) + "\n"


SECTIONS: dict[str, Any] = {field.name: field.type for field in dataclasses.fields(Config)}


def _fields() -> dict[str, dataclasses.Field]:
    """Every field by its full key, such as ``optim.learning_rate``."""
    return {
        f"{section.name}.{field.name}": field
        for section in dataclasses.fields(Config)
        for field in dataclasses.fields(SECTIONS[section.name])
    }


FIELDS = _fields()


def default() -> ml_collections.ConfigDict:
    """All keys at their defaults, as the ``ConfigDict`` a recipe starts from. Unknown keys raise on assignment."""
    return ml_collections.ConfigDict(Config().to_dict()).lock()


def resolve(values: Mapping[str, Any]) -> Config:
    """The typed, checked config of a recipe's nested mapping. Missing keys take their defaults.

    Raises:
      ConfigError: an unknown key or section, a wrong type, a value out of range, or keys that contradict each other.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"a config has sections of keys; this one is a {type(values).__name__}")
    flat: dict[str, Any] = {}
    for section, keys in values.items():
        if not isinstance(keys, Mapping):
            raise ConfigError(f"config key {shown(section)} is not a section; {nearest(section)}")
        flat.update({f"{section}.{name}": value for name, value in keys.items()})
    for key in flat:
        if key not in FIELDS:
            raise ConfigError(f"unknown config key {shown(key)}; {nearest(key)}")
    values_of = {key: checked(key, field, flat.get(key, field.default)) for key, field in FIELDS.items()}
    config = Config(
        **{
            section.name: SECTIONS[section.name](
                **{k.split(".")[1]: v for k, v in values_of.items() if k.split(".")[0] == section.name}
            )
            for section in dataclasses.fields(Config)
        }
    )
    # The checks are of whole configs, and know this class.
    from dfjax.config import together

    together.check(config)
    return config


def nearest(key: str) -> str:
    """Words that name the known key nearest to ``key``."""
    key = str(key)[:_LONGEST_NAME]
    close = difflib.get_close_matches(key, FIELDS, n=1, cutoff=0.0)[0]
    tail = key.split(".")[-1]
    same_name = [known for known in FIELDS if known.split(".")[-1] == tail]
    return f"did you mean {(same_name or [close])[0]!r}? (`dfjax train --help` lists all keys)"


def from_json(text: str) -> Config:
    """The config that :meth:`Config.to_json` wrote. Raises ConfigError if it is not one."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the saved config is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError("the saved config is not a JSON object")
    return resolve(values)


def changes_that_break_resume(saved: Config, wanted: Config) -> list[str]:
    """Lines ``key: saved -> wanted`` for keys that a resumed run may not change, since they change what is trained."""
    old, new = saved.to_dict(), wanted.to_dict()
    lines = []
    for key, field in FIELDS.items():
        section, name = key.split(".")
        if not field.metadata["resume"] and old[section][name] != new[section][name]:
            lines.append(f"{key}: {old[section][name]!r} -> {new[section][name]!r}")
    return lines


def describe() -> str:
    """A table of every key: type, default, meaning and, where there are any, choices."""
    lines = []
    for key, field in FIELDS.items():
        choices = f" ({' | '.join(known)})" if (known := choices_of(field)) else ""
        lines.append(f"  --config.{key} : {type(field.default).__name__} = {field.default!r}")
        low, high = field.metadata["low"], field.metadata["high"]
        bounds = "" if low is None else f" (at least {low})" if high is None else f" ({low} to {high})"
        lines.append(f"      {field.metadata['doc']}{choices}{bounds}")
    return "\n".join(lines)
