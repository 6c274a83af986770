"""``dfjax train`` by several real processes, joined over loopback, each with one CPU device."""

import json
import pathlib

from tests import command

PROGRAM = pathlib.Path(__file__).with_name("losses_program.py")


class Run:
    """What ``count`` processes left behind: losses by step, hashes of rows by process, and what each said."""

    def __init__(self, count: int, data: str, folder: pathlib.Path, overrides: tuple[str, ...]):
        records = [folder / f"{rank}.json" for rank in range(count)]
        arguments = command.train(folder / "run", data, *overrides)
        ends = command.ends(command.start_joined(count, *arguments, programs=[(PROGRAM, each) for each in records]))
        self.said = [words for _, words in ends]
        for status, words in ends:
            assert status == 0, words[-3000:]
        self.folder = folder / "run"
        self.rows = [json.loads(record.read_text()) for record in records]
        lines = [json.loads(line) for line in (self.folder / "metrics.jsonl").read_text().splitlines()]
        self.losses = {line["step"]: line["train/loss"] for line in lines if "train/loss" in line}
