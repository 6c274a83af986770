"""Records whose storage fails now and then are read again, with back-off, so that no batch depends on its moods."""

import copy
import logging
import re
import time
from collections.abc import Sequence
from typing import Any

from dfjax.data.errors import DataError

_log = logging.getLogger(__name__)

# Of ArrayRecord's reader, which is C++ and raises no OSError. A record that is damaged itself is told in other words.
_FAULT = re.compile(r"\b(?:open|p?read|fstat)\(\) failed: ([^;]*)")


class Stored(Sequence[Any]):
    """TFDS's data source ``source``, where a failing file system is no fault of the record that was asked for."""

    def __init__(self, source: Sequence[Any], pauses: Sequence[float] = (1, 2, 4, 8, 16, 32)):
        """``pauses``: seconds before each further try."""
        self._source, self._pauses = source, tuple(pauses)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index):
        """The record at ``index``.

        Raises:
          DataError: its storage failed at every try. What the source raises else is the record's own fault.
        """
        pauses = iter(self._pauses)
        while True:
            try:
                return self._source[index]
            except Exception as error:
                words, tries = _fault(error), len(self._pauses) + 1
                if not words:
                    raise
                pause = next(pauses, None)
                if pause is None:
                    raise DataError(
                        f"record {index} could not be read at {tries} tries: {words}. It is not the record that "
                        "fails but its storage: mend that, and the same command goes on from the newest checkpoint"
                    ) from error
            _log.warning("record %d could not be read: %s; the next try comes in %g s", index, words, pause)
            time.sleep(pause)
            # A reader that failed once does not recover; a copy opens its files anew.
            self._source = copy.deepcopy(self._source)


def _fault(error: Exception) -> str:
    """What the file system said; empty if it is not to blame."""
    found = _FAULT.search(str(error))
    return found[1] if found else str(error) if isinstance(error, OSError) else ""
