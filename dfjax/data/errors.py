"""The errors that the data layer raises for what its user can put right."""

from dfjax.core.errors import KILLED, DfjaxError


class DataError(DfjaxError, ValueError):
    """Data that is missing or cannot be used. The message says what to do."""


class BadRecord(DataError):
    """One record that cannot be used. The message is the reason that the ledger gives; training takes another."""


class WorkerError(DataError):
    """A worker that was killed. Nothing is wrong with the data: to be started again, as after any kill."""

    status = KILLED
