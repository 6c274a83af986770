"""dfjax data build|inspect --config=RECIPE.py

build prepares the recipe's data set; inspect says what is in it and writes a picture of what training sees.
"""

from absl import flags

from dfjax.cli import app

_CONFIG = app.define_config()
_NUM = flags.DEFINE_integer("num", 64, "pictures in the grid of `inspect`", lower_bound=1)
_OUT = flags.DEFINE_string("out", "data.png", "picture that `inspect` writes")

_ACTIONS = ("build", "inspect")


def main(rest: list[str]) -> None:
    """Build or inspect."""
    if len(rest) != 1 or rest[0] not in _ACTIONS:
        raise app.UsageError(f"say `dfjax data {' or '.join(_ACTIONS)}`, not {' '.join(rest)!r}")
    if rest[0] == "inspect":
        app.check_picture_path(_OUT.value)
    from dfjax.data import inspection

    inspection.run(app.read_config(_CONFIG), rest[0], _NUM.value, _OUT.value)
