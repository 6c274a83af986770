"""``dfjax train`` by several real processes, joined over loopback, each with one CPU device."""

import json
import os
import pathlib
import socket
import subprocess
import sys

from tests import command

PROGRAM = pathlib.Path(__file__).with_name("losses_program.py")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Run:
    """What ``count`` processes left behind: losses by step, hashes of rows by process, and what each said."""

    def __init__(self, count: int, data: str, folder: pathlib.Path, overrides: tuple[str, ...]):
        address = f"127.0.0.1:{free_port()}"
        environment = os.environ | {
            "JAX_PLATFORMS": "cpu",
            "JAX_COORDINATOR_BIND_ADDRESS": address,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        command_line = [sys.executable, str(PROGRAM)]
        arguments = command.train(folder / "run", data, *overrides)
        arguments += [f"--coordinator={address}", f"--num_processes={count}"]
        records = [folder / f"{rank}.json" for rank in range(count)]
        processes = [
            subprocess.Popen(
                [*command_line, str(record), *arguments, f"--process_id={rank}"],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank, record in enumerate(records)
        ]
        try:
            self.said = [process.communicate(timeout=300)[1] for process in processes]
        finally:
            for process in processes:
                process.kill()
        for process, words in zip(processes, self.said, strict=True):
            assert process.returncode == 0, words[-3000:]
        self.folder = folder / "run"
        self.rows = [json.loads(record.read_text()) for record in records]
        lines = [json.loads(line) for line in (self.folder / "metrics.jsonl").read_text().splitlines()]
        self.losses = {line["step"]: line["train/loss"] for line in lines if "train/loss" in line}
