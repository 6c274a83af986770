"""What can go wrong when a job is handed over."""

from dfjax.core.errors import WRONG_USE, DfjaxError


class LaunchError(DfjaxError):
    """An engine did not take a job."""


class JobError(LaunchError):
    """A job that cannot be asked for in this way."""

    status = WRONG_USE
