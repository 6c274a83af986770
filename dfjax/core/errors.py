"""The errors a user can mend, and the exit statuses of commands."""

FAILED = 1
WRONG_USE = 2
PREEMPTED = 42
KILLED = 137


class DfjaxError(Exception):
    """Something the user can mend. The message fits a screen and says what to do; commands print it bare."""

    status = FAILED


class ConfigError(DfjaxError, ValueError):
    """A config that cannot work. The message names the key and says what to do."""

    status = WRONG_USE


class Preempted(DfjaxError):
    """A run was told to end before its last step, and has saved what it had: the same command goes on."""

    status = PREEMPTED
