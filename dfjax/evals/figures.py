"""What an evaluator says: a name, a value, and how sure it is."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Figure:
    """One measured figure.

    ``stderr``: its standard error, None where there is none to be had. ``num_images``: of how many drawn (or real)
    pictures it was measured.
    """

    name: str
    value: float
    stderr: float | None
    num_images: int
