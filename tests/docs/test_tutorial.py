"""The tutorial and the notebook run as they are written."""

import ast
import json
import pathlib
import re

import pytest

DOCS = pathlib.Path(__file__).parents[2] / "docs"


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (DOCS / "tutorial.md").read_text(), flags=re.M | re.S)


def cells() -> list[str]:
    notebook = json.loads((DOCS / "notebook.ipynb").read_text())
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run(parts: list[str]) -> dict:
    scope: dict = {"__name__": "tutorial"}
    for number, part in enumerate(parts):
        exec(compile(part, f"block {number}", "exec"), scope)
    return scope


@pytest.mark.slow
def test_the_tutorial_runs_from_the_first_block_to_the_last(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scope = run(blocks())
    metrics = (tmp_path / "runs" / "coloured" / "metrics.jsonl").read_text()
    assert '"train/colour"' in metrics
    assert scope["weighted"].step == 30


@pytest.mark.long
@pytest.mark.slow
def test_the_notebook_runs_and_is_short(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scope = run(cells())
    assert scope["pictures"].shape == (4, 16, 16, 3)
    assert scope["own"].step == 50
    lines = [line for cell in cells() for line in cell.splitlines() if line.strip()]
    assert len(lines) <= 40
    imported = {
        name.name if isinstance(node, ast.Import) else str(node.module)
        for cell in cells()
        for node in ast.walk(ast.parse(cell))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    assert {name for name in imported if name.startswith("dfjax")} == {"dfjax"}
