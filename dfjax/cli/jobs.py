"""The flags that describe a job to an engine, for the commands that hand jobs over."""

import dataclasses
import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags

from dfjax.cli import app
from dfjax.launching import engines
from dfjax.launching.job import NAME, JobSpec
from dfjax.plan import topology as topology_lib

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def refuse_files(argv: Sequence[str]) -> None:
    """Raise UsageError for flags in a file, before any flag is defined: an override in it would not be handed over."""
    if any(re.match("--?flagfile", word) for word in argv):
        raise app.UsageError("a --flagfile is not handed over: write its flags out")


def define() -> None:
    """The flags that all engines share; ``--config`` and ``--workdir`` are the command's own."""
    flags.DEFINE_string("topology", "cpu:1", "devices: v5e:16x16*2 (two slices), h100:8*4 (nodes), cpu:2 (a host)")
    flags.DEFINE_integer("hosts", None, "machines of CPUs; of TPUs and GPUs the topology says it", lower_bound=1)
    flags.DEFINE_string("name", "", "what the engine calls the job; empty: as the work directory")
    flags.DEFINE_integer("restarts", 3, "how often the engine starts it again, preempted or killed", lower_bound=0)
    flags.DEFINE_string("time_limit", "", "such as 90m, 12h or 1d12h; empty: none, or the engine's own")
    flags.DEFINE_multi_string("env", [], "NAME=VALUE for the processes; may be given several times")
    flags.DEFINE_bool("dry_run", False, "print what would be handed over, and hand nothing over")


def define_options(name: str, argv: Sequence[str]) -> None:
    """The flags of one engine. Raises UsageError for a flag in ``argv`` that neither it nor the command has."""
    for field in dataclasses.fields(engines.load(name).Options):
        words, choices = field.metadata["doc"], field.metadata["choices"]
        define: Any = flags.DEFINE_enum if choices else _DEFINE[type(field.default)]
        define(field.name, field.default, *([list(choices)] if choices else []), words)
    for word in argv:
        if word == "--":
            return
        if match := re.match(r"--?([^=.]+)", word):
            _refuse_unknown(match[1], name)


_DEFINE: dict[type, Any] = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
    tuple: flags.DEFINE_multi_string,
}


def _refuse_unknown(flag: str, name: str) -> None:
    known = flags.FLAGS
    if flag in known or flag.removeprefix("no") in known or flag in ("help", "h", "helpshort", "helpfull"):
        return
    for other in engines.ENGINES:
        if other != name and flag in {field.name for field in dataclasses.fields(engines.load(other).Options)}:
            raise app.UsageError(f"--{flag} is a flag of {other}, and {name} has none of that name")
    (near,) = difflib.get_close_matches(flag, list(known), n=1, cutoff=0.0)
    raise app.UsageError(f"{name} has no flag --{flag}; did you mean --{near}?")


def options(name: str) -> Any:
    """The ``Options`` of an engine as the flags say. Raises UsageError for a common flag that it has no use for."""
    engine = engines.load(name)
    for flag, why in engine.WITHOUT.items():
        if flags.FLAGS[flag].present:
            raise app.UsageError(f"{name} takes no --{flag}: {why}")
    values = {field.name: flags.FLAGS[field.name].value for field in dataclasses.fields(engine.Options)}
    return engine.Options(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


def spec(workdir: str, argv: Sequence[str], **more: Any) -> JobSpec:
    """The job that the flags describe; ``argv`` has the overrides of the config, ``more`` further fields.

    Raises:
      UsageError: a flag that cannot be used as given, such as devices that nobody offers.
    """
    try:
        topology = topology_lib.parse(flags.FLAGS.topology)
    except topology_lib.TopologyError as error:
        raise app.UsageError(f"--topology: {error}") from error
    return JobSpec(
        name=_name(flags.FLAGS.name, workdir),
        config=recipe(),
        workdir=absolute(workdir),
        topology=topology,
        overrides=overrides(argv),
        hosts=_hosts(topology),
        environment=tuple(_variable(word) for word in flags.FLAGS.env),
        restarts=flags.FLAGS.restarts,
        time_limit_seconds=seconds(flags.FLAGS.time_limit) if flags.FLAGS.time_limit else 0,
        **more,
    )


def absolute(path: str) -> str:
    """A path as every host can read it: an address such as gs://bucket/run stays as it is."""
    return path if "://" in path else os.path.abspath(path)


def recipe() -> Path:
    """The absolute path of ``--config``, with the argument of its ``get_config`` if one follows a colon."""
    file, colon, argument = config_flags.get_config_filename(flags.FLAGS["config"]).partition(":")
    return Path(f"{os.path.abspath(file)}{colon}{argument}")


def overrides(argv: Sequence[str]) -> tuple[str, ...]:
    """The words of ``dfjax train`` among those of a command that hands it over, each whole."""
    wanted = re.compile(r"--?(config\..*)", re.DOTALL)
    found = [f"--{match[1]}" for word in argv if (match := wanted.fullmatch(word))]
    cache = flags.FLAGS["compilation_cache"]
    return (*found, *([f"--compilation_cache={cache.value}"] if cache.present else []))


def seconds(text: str) -> int:
    """Of a duration such as "1h30m". Raises UsageError."""
    parts = re.fullmatch(r"(?:\d+[dhms])+", text.strip())
    if not parts:
        raise app.UsageError(f"--time_limit={text!r} is no duration such as 90m, 12h or 1d12h")
    found = sum(int(count) * _UNITS[unit] for count, unit in re.findall(r"(\d+)([dhms])", text))
    if not found:
        raise app.UsageError(f"--time_limit={text!r} is no time at all; leave it out for none")
    return found


def _hosts(topology: topology_lib.Topology) -> int:
    asked = flags.FLAGS.hosts
    if topology.kind == "cpu":
        return asked or 1
    if asked not in (None, topology.hosts):
        raise app.UsageError(f"--hosts={asked}, but {topology} has {topology.hosts}: leave --hosts out")
    return topology.hosts


def _name(name: str, workdir: str) -> str:
    if not name:
        found = re.sub(r"[^a-z0-9]+", "-", Path(workdir).name.lower()).strip("-")
        return re.sub(r"^(?=[^a-z]|$)", "run-", found)[:40].strip("-")
    if not NAME.fullmatch(name):
        raise app.UsageError(
            f"--name={name!r}: an engine's names have 1 to 40 lower-case letters, digits and hyphens, from a letter on"
        )
    return name


def _variable(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key):
        raise app.UsageError(f"--env={word!r} is no NAME=VALUE, as in --env=JAX_PLATFORMS=cpu")
    return key, value
