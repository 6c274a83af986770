"""The files of a run that its report reads, of which hostile ones make no fault and no markup."""

import json
import pathlib
import tempfile

from hypothesis import strategies as st

from dfjax.checkpoint.store import CheckpointError
from dfjax.report import page, run, table
from tests.fuzz import inputs
from tests.report import made_up, parsed

_LINES = ("metrics.jsonl", "eval/metrics.jsonl")
_OBJECTS = ("config.json", "eval/grids/prompts.json", "eval/nearest/step_50.json")


def _whole() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        room = made_up.whole(pathlib.Path(folder) / "run")
        made_up.training(room, dict.fromkeys(range(1, 6), 1.0))
        return {str(path.relative_to(room)): path.read_bytes() for path in room.rglob("*") if path.is_file()}


FILES = _whole()


def _changed(name: str) -> st.SearchStrategy[bytes]:
    text = FILES[name].decode()
    if name in _LINES:
        lines = inputs.changed([json.loads(line) for line in text.splitlines()])
        said = lines.map(
            lambda found: "\n".join(map(json.dumps, found if isinstance(found, list) else [found])).encode()
        )
    else:
        said = inputs.changed(json.loads(text)).map(lambda found: json.dumps(found).encode())
    return said | inputs.mutated(st.just(FILES[name]))


@st.composite
def hostile(draw) -> dict[str, bytes]:
    """All files of a run, of which one, two or a sheet are not as they were."""
    names = draw(st.lists(st.sampled_from([*_LINES, *_OBJECTS, "eval/grids/step_50.png"]), min_size=1, max_size=2))
    return {
        name: draw(inputs.mutated(st.just(FILES[name]), inputs.mend_png) if name.endswith(".png") else _changed(name))
        for name in names
    }


def check(files: dict[str, bytes]) -> bool:
    """A page whose markup can be read, with two scripts, or a refusal in words."""
    with tempfile.TemporaryDirectory() as folder:
        room = pathlib.Path(folder) / "run"
        for name, data in (FILES | files).items():
            (room / name).parent.mkdir(parents=True, exist_ok=True)
            (room / name).write_bytes(data)
        # Files alone leave no empty folders, which a checkpoint has.
        for item in ("params", "ema", "optimizer", "tokenizer"):
            (room / "checkpoints" / "step_50" / item).mkdir(exist_ok=True)
        try:
            read = run.read(room)
        except CheckpointError as error:
            assert str(error)
            return False
        made = parsed.Page(page.make([read]).encode("utf-8", "replace").decode())
        assert [name for name, _ in made.tags].count("script") == 2
        assert made.data["runs"][0]["name"] == "run"
        json.dumps(table.to_json(table.make([read])), allow_nan=False)
        grid = made.data["pictures"][0]["grid"]
        # Whether the two sheets and the figures outlived it.
        return grid is not None and len(grid["sheets"]) == 2 and len(read.measured.points) == 2
