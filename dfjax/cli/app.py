"""What all commands share: flags, logging, and errors as one screen of words."""

import dataclasses
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import app as absl_app
from absl import flags
from absl import logging as absl_logging
from ml_collections import config_flags

from dfjax import config as config_lib
from dfjax.cli import cache
from dfjax.core import storage
from dfjax.core.errors import FAILED, WRONG_USE, DfjaxError
from dfjax.sweeps import lines

# Of absl's flags, in the words of the schema.
_BOUNDS = {"lower_bound": "low", "upper_bound": "high"}


class UsageError(DfjaxError):
    """Flags that cannot be used as given."""

    status = WRONG_USE


def define_config() -> flags.FlagHolder:
    """The required flag ``--config=recipe.py``, and with it ``--config.section.key=value`` for every key."""
    holder = config_flags.DEFINE_config_file("config", None, "recipe file, such as configs/emoji.py", lock_config=True)
    flags.mark_flag_as_required("config")
    return holder


def define_section(section: str, but: Sequence[str] = ()) -> dict[str, flags.FlagHolder]:
    """A flag for each key of a section of the config, but for some; None is the run's own value."""
    define: dict[type, Any] = {
        str: flags.DEFINE_string,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        tuple: flags.DEFINE_list,
    }
    holders = {}
    for field in dataclasses.fields(config_lib.SECTIONS[section]):
        if field.name not in but:
            choices = f" ({', '.join(field.metadata['choices'])})" if field.metadata["choices"] else ""
            words = f"{field.metadata['doc']}{choices}; by default the run's {section}.{field.name}"
            numeric = isinstance(field.default, int | float)
            bounds = {flag: field.metadata[end] for flag, end in _BOUNDS.items()} if numeric else {}
            holders[field.name] = define[type(field.default)](field.name, None, words, **bounds)
    return holders


def define_recipe() -> None:
    """The flag ``--recipe``, for commands that take a run and no config: its names are registered before they run."""
    flags.DEFINE_string("recipe", "", "the run's recipe, where that registers a sampler, denoiser, ... of its own")


def read_section(section: str, holders: dict[str, flags.FlagHolder]) -> dict[str, Any]:
    """What the flags of :func:`define_section` change. Raises UsageError for numbers that are none."""
    wishes = {name: holder.value for name, holder in holders.items() if holder.value is not None}
    for name, value in wishes.items():
        if isinstance(value, list):
            default: Any = config_lib.FIELDS[f"{section}.{name}"].default
            wishes[name] = _numbers(name, value) if isinstance(default[0], float) else tuple(value)
    return wishes


def _numbers(name: str, words: Sequence[str]) -> tuple[float, ...]:
    try:
        return tuple(float(word.strip("() ")) for word in words)
    except ValueError as error:
        raise UsageError(f"--{name} takes numbers with commas between, such as 0.1,0.9") from error


def run(
    main: Callable[[list[str]], None],
    argv: list[str],
    doc: str,
    prepare: Callable[[list[str]], None] | None = None,
) -> None:
    """Parse ``argv``, call ``main``, exit: 0 done, 1 error, 2 wrong use, 42 told to end and saved.

    No traceback for what a user can mend. ``prepare`` is called with the words before they are parsed, by a command
    whose flags depend on them.
    """
    sys.modules["__main__"].__doc__ = doc
    _refuse_unknown_keys(argv)
    try:
        if prepare:
            prepare(argv[1:])
    except DfjaxError as error:
        _fail(str(error), error.status)
    try:
        try:
            absl_app.run(lambda rest: _guarded(main, rest), argv=argv, flags_parser=_parse)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read this has read enough, as `| head` does. What is left goes nowhere, or Python would speak of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)


def _parse(argv: list[str]) -> list[str]:
    if any(a in ("--help", "-help", "-h", "--helpshort", "--helpfull") for a in argv):
        print(sys.modules["__main__"].__doc__)
        print(_flag_help())
        if "config" in flags.FLAGS:
            print("\nConfig keys (--config=RECIPE sets them, --config.KEY=VALUE overrides):\n" + config_lib.describe())
        sys.exit(0)
    try:
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        _fail(f"{_without_traceback(str(error))}; `{argv[0]} --help` lists the flags", WRONG_USE)
    except OSError as error:
        _fail(_no_recipe(error), WRONG_USE)
    except Exception as error:  # A recipe is code, and can raise anything.
        _fail(_recipe_raised(error), WRONG_USE)
    return rest


def _recipe_raised(error: Exception) -> str:
    """File, line and words of what a recipe raised, with the nearest config key where it named a wrong one."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = str(Path(config_lib.__file__).parent)
    own = [f for f in frames if not f.filename.startswith(ours) and not re.search("site-packages|<frozen", f.filename)]
    where = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    first = str(error).strip().split("\n")[0][:300]
    unknown = re.match(r'\W*Key \W*"(\w+)', first) or re.match(r"'(\w+)'$", first)
    if unknown and isinstance(error, AttributeError | KeyError):
        return f"the recipe sets an unknown key{where}: {unknown[1]!r}; {config_lib.nearest(unknown[1])}"
    if "no attribute 'get_config'" in first:
        return "the recipe has no function get_config(); configs/emoji.py shows one"
    return f"the recipe cannot be read{where}: {type(error).__name__}: {first}"


def _without_traceback(words: str) -> str:
    """What ml_collections says of a recipe that raised: where, and what."""
    lines = [line.strip() for line in words.strip().splitlines()]
    return f"{lines[0]} {lines[-1]}" if "Traceback (most recent call last):" in lines else words


def _flag_help() -> str:
    """The flags of dfjax's own modules, one a line."""
    lines = ["Flags:"]
    for module, own in flags.FLAGS.flags_by_module_dict().items():
        if module.startswith("dfjax"):
            lines += [f"  --{flag.name} (default {flag.default!r})\n      {flag.help}" for flag in own]
    return "\n".join(lines)


def _refuse_unknown_keys(argv: list[str]) -> None:
    """An override of a key that the schema does not have: named with the nearest one that it has."""
    for argument in argv:
        match = re.match(r"--?config\.([^=]+)", argument)
        if match and match[1] not in config_lib.FIELDS:
            _fail(f"unknown config key {match[1]!r}; {config_lib.nearest(match[1])}", WRONG_USE)
        if match and "=" not in argument:
            _fail(f"write --config.{match[1]}=VALUE, with an equals sign", WRONG_USE)


def _guarded(main: Callable[[list[str]], None], rest: list[str]) -> None:
    _set_up_logging()
    try:
        cache.set_up()
        if recipe := flags.FLAGS.get_flag_value("recipe", ""):
            # For what it registers; which it does as it is read.
            lines.load(Path(recipe))
        main(rest[1:])
    except DfjaxError as error:
        logging.getLogger("dfjax").debug("", exc_info=error)
        _fail(str(error), error.status)
    except Exception as error:
        if not (fault := storage.fault(error)):
            raise
        logging.getLogger("dfjax").debug("", exc_info=error)
        path = getattr(error, "filename", None) or "a file"
        _fail(f"{path} could not be written or read: {fault}; mend that, and run the same command again", FAILED)
    except KeyboardInterrupt:
        _fail("interrupted; the same command goes on from the newest checkpoint", 130)


def _fail(words: str, status: int) -> None:
    print(f"dfjax: {words}", file=sys.stderr)
    sys.exit(status)


def _set_up_logging() -> None:
    """dfjax speaks from INFO, libraries from WARNING, all to stderr; --verbosity=0 lets absl's own logger speak too."""
    absl_logging.use_absl_handler()
    absl_logging.get_absl_handler().setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    absl_logging.get_absl_handler().python_handler.stream = sys.stderr
    if not flags.FLAGS["verbosity"].present:
        absl_logging.set_verbosity(absl_logging.WARNING)
        # Orbax uses these loggers, with a traceback for each write that fails; what goes wrong comes as an exception.
        for name in ("absl", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        sys.unraisablehook = _unraisable
    logging.getLogger("dfjax").setLevel(logging.DEBUG if flags.FLAGS.verbosity > 0 else logging.INFO)


def _unraisable(what) -> None:
    """All that cannot be raised, but for what the rest of a failed save says: its event loop is closed."""
    if str(what.exc_value) != "Event loop is closed" and "async_serialize" not in repr(what.object):
        sys.__unraisablehook__(what)


def quiet_unless_first() -> None:
    """Of several processes only the first speaks of what goes well; call it once they are joined."""
    import jax

    if jax.process_index() and flags.FLAGS.verbosity <= 0:
        logging.getLogger("dfjax").setLevel(logging.WARNING)


def refuse_rest(rest: list[str]) -> None:
    """Raise UsageError for words that belong to no flag."""
    if rest:
        raise UsageError(f"what is {rest[0]!r}? Everything is given as --flag=value, with quotes around spaces")


def check_length(name: str, std: float) -> None:
    """Raise UsageError unless a flag is the length of an average that optim.ema_stds could have."""
    bounds = config_lib.FIELDS["optim.ema_stds"].metadata
    # Written so that NaN is refused too.
    if not bounds["low"] <= std <= bounds["high"]:
        raise UsageError(f"--{name}={std} is no length from {bounds['low']} to {bounds['high']}")


def check_picture_path(path: str) -> None:
    """Raise UsageError, before any work is done, unless a picture can be written there."""
    from PIL import Image

    target = Path(path).absolute()
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent} to write {target.name} to; make it first")
    if target.is_dir():
        raise UsageError(f"{path} is a folder; name a picture in it, such as {Path(path) / 'samples.png'}")
    if target.suffix.lower() not in Image.registered_extensions():
        raise UsageError(f"{path} has no ending of a picture; name it {target.stem}.png, say")
    if not os.access(target if target.exists() else target.parent, os.W_OK):
        raise UsageError(f"{path} may not be written; choose another path")


def read_config(holder: flags.FlagHolder) -> config_lib.Config:
    """The checked config of the ``--config`` flag and its overrides."""
    try:
        values = holder.value.to_dict()
    except OSError as error:
        # Without overrides a recipe that cannot be loaded is only noticed when it is used.
        raise UsageError(_no_recipe(error)) from error
    except AttributeError as error:
        raise UsageError(
            "get_config() of the recipe must return config.default() with its changes, "
            f"not {type(holder.value).__name__}"
        ) from error
    return config_lib.resolve(values)


def _no_recipe(error: OSError) -> str:
    return f"the recipe of --config cannot be read: {str(error).strip().splitlines()[-1].strip()}"
