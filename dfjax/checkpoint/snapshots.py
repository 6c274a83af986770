"""Averages of the weights, apart from checkpoints: snapshots of the tracked ones, and those made from snapshots.

Both are the item ``averages``: a tree of parameters for each length, under its name (``"0.05"``). A snapshot has all
tracked lengths, a reconstructed average has one. Config and tokenizer come with them, so that they can be drawn with.
"""

from pathlib import Path
from typing import Any

from dfjax.checkpoint.store import AVERAGES, LIMIT_SECONDS, Store


class Snapshots(Store):
    """The snapshots of one run, all of them kept."""

    noun = "snapshot"
    items = (AVERAGES,)

    def __init__(self, folder: Path, *, write: bool = False, limit_seconds: int = LIMIT_SECONDS):
        super().__init__(folder, write=write, limit_seconds=limit_seconds)

    def lengths(self, step: int) -> dict[float, Any]:
        """Shapes and types of the parameters, by length."""
        return {float(name): tree for name, tree in self.array_shapes(step, AVERAGES).items()}

    def read(self, step: int, wanted: dict[float, Any]) -> dict[float, Any]:
        """The averages by length, all of them; ``wanted`` as for :meth:`Store.arrays`, which raises."""
        tree = self.arrays(step, {AVERAGES: {str(std): params for std, params in wanted.items()}})[AVERAGES]
        return {float(name): params for name, params in tree.items()}

    def _way_back(self, step: int) -> str:
        return "delete that folder to average without it"


class Reconstructed(Snapshots):
    """Averages of one length that were made from snapshots."""

    noun = "average"

    def _way_back(self, step: int) -> str:
        return "`dfjax average` makes it anew"
