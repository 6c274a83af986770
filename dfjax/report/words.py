"""Numbers as a reader likes them."""

import math


def number(value: float | None) -> str:
    """Four digits that count, such as ``0.01234`` or ``12,345``; a dash where there is none."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def measured(value: float, stderr: float | None) -> str:
    """Such as ``0.0123 ± 0.0011``: the error has two digits, and the value as many places."""
    if stderr is None or not math.isfinite(value) or not 0 < stderr < math.inf:
        return number(value) + (" ± 0" if stderr == 0 else "")
    places = 1 - math.floor(math.log10(stderr))
    # Far from 1 on either side, places would be a long row of zeros.
    if places > 7 or abs(value) >= 1e9:
        return f"{value:.4g} ± {stderr:.2g}"
    places = max(places, 0)
    return f"{value:,.{places}f} ± {stderr:,.{places}f}"


def seconds(value: float | None) -> str:
    """Such as 2d03h, 1h02m, 3m20s or 12s."""
    if value is None or not math.isfinite(value):
        return "unknown"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02d}h"
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def count(value: int, noun: str) -> str:
    """Such as ``1 checkpoint`` or ``2 checkpoints``."""
    return f"{value:,} {noun}{'' if value == 1 else 's'}"
