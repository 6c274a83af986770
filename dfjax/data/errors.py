"""The errors that the data layer raises for what its user can put right."""

from dfjax.core.errors import DfjaxError


class DataError(DfjaxError, ValueError):
    """Data that is missing or cannot be used. The message says what to do."""


class BadRecord(DataError):
    """One record that cannot be used. The message is the reason that the ledger gives; training takes another."""
