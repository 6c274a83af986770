"""Post-hoc averaging in sixty decimal digits: inner products of profiles in closed form, and the normal equations."""

from decimal import Decimal, localcontext

from dfjax.diffusion import averaging

_DIGITS = 60


class Problem:
    """The stored profiles' inner products G, those with the wanted profile b, and the wanted profile's own norm."""

    def __init__(self, stored, wanted):
        with localcontext(prec=_DIGITS):
            profiles = [(Decimal(step), Decimal(averaging.power_gamma(std))) for step, std in (*stored, wanted)]
            self.gram = [[_inner(p, q) for q in profiles[:-1]] for p in profiles[:-1]]
            self.right = [_inner(p, profiles[-1]) for p in profiles[:-1]]
            self.norm = _inner(profiles[-1], profiles[-1])

    def residual(self, values) -> float:
        """||sum_i x_i p_i - p|| / ||p||."""
        with localcontext(prec=_DIGITS):
            x = [Decimal(value) for value in values]
            square = self.norm - 2 * _dot(x, self.right) + _dot(x, [_dot(row, x) for row in self.gram])
            return float((square / self.norm).sqrt())

    def distance(self, values, others) -> float:
        """The norm of the difference of two weighted sums of the stored profiles, over ||p||."""
        with localcontext(prec=_DIGITS):
            x = [Decimal(a) - Decimal(b) for a, b in zip(values, others, strict=True)]
            return float((_dot(x, [_dot(row, x) for row in self.gram]) / self.norm).sqrt())

    def optimum(self) -> list[Decimal]:
        """The best weights, by Gaussian elimination."""
        with localcontext(prec=_DIGITS):
            rows = [[*row, value] for row, value in zip(self.gram, self.right, strict=True)]
            for k, pivot in enumerate(rows):
                for row in rows[k + 1 :]:
                    factor = row[k] / pivot[k]
                    row[k:] = [a - factor * b for a, b in zip(row[k:], pivot[k:], strict=True)]
            x: list[Decimal] = []
            for k in reversed(range(len(rows))):
                x.insert(0, (rows[k][-1] - _dot(rows[k][k + 1 : -1], x)) / rows[k][k])
            return x


def _dot(a, b) -> Decimal:
    return sum((x * y for x, y in zip(a, b, strict=True)), Decimal(0))


def _inner(p, q) -> Decimal:
    (t, g), (s, h) = p, q
    end = min(t, s)
    return (g + 1) * (h + 1) / (g + h + 1) / end * (end / t) ** (g + 1) * (end / s) ** (h + 1)
