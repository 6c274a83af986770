"""What can go wrong in an evaluation, and a user can mend."""

from dfjax.core.errors import DfjaxError


class EvaluationError(DfjaxError):
    """What was asked for cannot be measured."""


class StatisticsError(EvaluationError):
    """Reference statistics that are of something else, or damaged."""
