"""``bad_records.jsonl``: which records a run met and could not use."""

import json
import logging
from collections.abc import Iterable
from pathlib import Path

import jax

from dfjax.core import jsonl
from dfjax.data.errors import DataError
from dfjax.runtime import hosts

_log = logging.getLogger(__name__)

# Fewer bad records end no run: of the first batch, one may be a large share.
LEAST = 16
_SHOWN = 10


class Ledger:
    """Lines ``{"step", "id", "reason"}``: each bad record once, with the step that met it first (0: validation).

    Each process notes what its own rows met; :meth:`share` makes that known to all of them, and the first one writes.
    So the file does not depend on the number of processes, nor, as lines past the checkpoint are dropped, on resumes.
    """

    def __init__(self, path: Path, start: int):
        """Go on from what the file holds up to step ``start``. Every process calls this."""
        self._path = path
        lines = []
        if jax.process_index() == 0 and path.exists():
            jsonl.forget_after(path, start)
            lines = [line for line in jsonl.read(path) if {"id", "reason"} <= line.keys()]
        lines = json.loads(hosts.from_first(json.dumps(lines).encode()))
        self._known: dict[str, tuple[int, str]] = {
            str(line["id"]): (line["step"], str(line["reason"])) for line in lines
        }
        self._new: dict[str, tuple[int, str]] = {}
        self._new_cuts = self._cuts = 0

    def __len__(self) -> int:
        """How many records are listed, of all processes, as of the last :meth:`share`."""
        return len(self._known)

    @property
    def cut_captions(self) -> int:
        """How many captions lost their end since this start, in all processes, as of the last :meth:`share`."""
        return self._cuts

    def note(self, step: int, bad: Iterable[tuple[str, str]], cut_captions: int = 0) -> None:
        """Keep what ``step`` met: (id, reason) of the records that were replaced, and how many captions were cut."""
        self._new_cuts += cut_captions
        for record, reason in bad:
            if record not in self._known and record not in self._new:
                self._new[record] = (step, reason)

    def share(self) -> None:
        """Make known what was noted. Every process calls this after the same step: when it logs, and before it saves.

        A save must not come first: what was read before a checkpoint is not read again after it.
        """
        mine = json.dumps([self._new_cuts, self._new]).encode() if self._new or self._new_cuts else b""
        found: dict[str, tuple[int, str]] = {}
        for said in filter(None, hosts.from_all(mine)):
            cuts, new = json.loads(said)
            self._cuts += cuts
            for record, (step, reason) in new.items():
                found[record] = min(found.get(record, (step, reason)), (step, reason))
        self._new, self._new_cuts = {}, 0
        found = {record: found[record] for record in sorted(found, key=lambda record: (found[record][0], record))}
        for record, (_, reason) in list(found.items())[: max(0, _SHOWN - len(self._known))]:
            _log.warning("record %s was replaced: %s", record, reason)
        if found:
            self._known |= found
            self._write()
            _log.warning("%d records were replaced so far; %s lists them", len(self), self._path)

    def check(self, max_share: float, visited: int) -> None:
        """Raise DataError if training met too many bad records: more than a share (and LEAST) of ``visited`` ones.

        It is the same in every process, and for any number of them. A share of 0 admits none.
        """
        bad = {record: reason for record, (step, reason) in self._known.items() if step > 0}
        # What was passed over on the way to a good record may be met before its own turn.
        visited = max(visited, len(bad))
        if len(bad) > max_share * visited and len(bad) >= (LEAST if max_share else 1):
            record, reason = next(iter(bad.items()))
            raise DataError(
                f"{len(bad)} of the {visited} records that training visited are bad, more than a share of "
                f"data.max_bad_share={max_share}; the first is {record}: {reason}. {self._path} lists them. Mend the "
                "data set, or go on with a higher --config.data.max_bad_share"
            )

    def _write(self) -> None:
        if jax.process_index() != 0:
            return
        try:
            jsonl.write(
                self._path, ({"step": step, "id": name, "reason": why} for name, (step, why) in self._known.items())
            )
        except OSError as error:
            # Nothing is lost: the next time all of it is written.
            _log.warning("%s cannot be written: %s", self._path, error)
