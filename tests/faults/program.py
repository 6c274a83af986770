"""``dfjax`` as a user calls it, which writes down what it is doing and takes its time over each step.

    python tests/faults/program.py MARKS PAUSE PLANTED train --config=... --workdir=...

MARKS is a file that gets a line ``seconds, phase, step`` whenever the process says what it is about to do; its last
line is what a killed process was at. PAUSE is in seconds, PLANTED what ``planted.plant`` takes. No other number is
touched.
"""

import os
import sys
import time

from dfjax.core import signals

if __name__ == "__main__":
    # As the command itself does, before libraries are loaded.
    signals.note()

from dfjax.cli import main
from dfjax.runtime import heartbeats
from tests.faults import planted


def mark_phases(marks: str, pause: float) -> None:
    file = os.open(marks, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    note = heartbeats.note

    def marked(phase: str, step: int | None = None, *, slow: bool = False) -> None:
        note(phase, step, slow=slow)
        os.write(file, f"{time.monotonic():.4f}\t{phase}\t{heartbeats.NOW.step}\n".encode())
        if phase == "stepping":
            time.sleep(pause)

    heartbeats.note = marked


if __name__ == "__main__":
    _, path, seconds, numbers, *arguments = sys.argv
    mark_phases(path, float(seconds))
    planted.plant(numbers)
    main.run(["dfjax", *arguments])
