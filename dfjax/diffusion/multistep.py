"""Solvers that look back at the estimates of earlier steps; each makes a table of ``tables``.

Over a step an estimate is taken as a polynomial in some variable, through its last values (Adams-Bashforth). A
corrector mends each state by the polynomial through its own new estimate too (Adams-Moulton), which costs no call.
"""

import numpy as np
from jaxtyping import Float

from dfjax.diffusion import tables
from dfjax.diffusion.tables import Column, Levels, Multistep, first_order, start_and_end

# Gauss and Legendre's, for integrals from -1 to 1.
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(40)


def lagrange(nodes: np.ndarray, start: float, end: float, rate: float) -> np.ndarray:
    """Weights w, of sum 1, such that the mean of p(c) over start..end under the density e^(rate c) is w . p(nodes).

    Exact for polynomials p of degree below len(nodes). 40 Gauss-Legendre points give it to rounding for
    |rate (end - start)| up to 30.
    """
    c, weights = _gauss(start, end)
    return _weigh(nodes, c, weights * np.exp(rate * (c - max(start, end))))


def _gauss(start: float, end: float) -> tuple[np.ndarray, np.ndarray]:
    """40 points between start and end, and their weights in an integral."""
    return start + (end - start) * (_POINTS + 1) / 2, _WEIGHTS


def _weigh(nodes: np.ndarray, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted mean at ``points`` of the polynomial through values at ``nodes``, as shares of those values."""
    basis = [
        np.prod([(points - other) / (node - other) for other in np.delete(nodes, j)], axis=0)
        for j, node in enumerate(nodes)
    ]
    return np.array([np.sum(weights * values) for values in basis]) / np.sum(weights)


def _adams(c: np.ndarray, order: int, rate: float) -> Float[np.ndarray, "steps order_minus_1"]:
    """Weights of value_1, value_2, ... in each step's mean over c_i..c_i+1, by the polynomial through the last values.

    The order grows with the number of values there are. Where c ends at infinity it falls to 1 at the last step, as
    is the custom ("lower order final"); a value at infinite c is not looked at.
    """
    steps = len(c) - 1
    past = np.zeros((steps, order - 1))
    for i in range(steps):
        nodes = _nodes(c, i, order if np.isfinite(c[-1]) else min(order, steps - i))
        if len(nodes) > 1:
            past[i, : len(nodes) - 1] = lagrange(nodes, c[i], c[i + 1], rate)[1:]
    return past


def _nodes(c: np.ndarray, i: int, most: int) -> np.ndarray:
    """c_i, c_i-1, ...: at most so many, and none from the first infinite one on."""
    nodes = c[max(0, i - most + 1) : i + 1][::-1]
    return nodes[: int(np.argmin(np.append(np.isfinite(nodes), False)))]


def _half_step(c: np.ndarray) -> Column:
    """-h_i / (2 h_i-1): DPM-Solver++(2M)'s weight of value_1, a straight line taken at the middle of the step."""
    h = np.diff(c)
    weight = np.zeros(len(h))
    with np.errstate(invalid="ignore"):
        weight[1:] = -0.5 * h[1:] / h[:-1]
    # No difference is looked at on the way to an infinite end.
    return np.where(np.isfinite(c[1:]), weight, 0.0)


def unip(grid: Levels, order: int) -> Multistep:
    """UniP of the given order (arXiv 2302.04867, algorithm 2, B_2); DPM-Solver++ multistep (2211.01095, algorithm 2).

    Order 2 is DPM-Solver++(2M). Order 3 integrates the polynomial through three estimates exactly; the released code
    of DPM-Solver++(3M) gives its second difference half of its weight, which costs an order.
    """
    start, end = start_and_end(grid)
    a, b = first_order(start, end)
    past = _adams(grid.log_ratio, order, -1.0)
    if order > 1:
        # Where only two estimates are known, and in all of 2M, the simpler rule of the papers.
        two = np.count_nonzero(past, axis=1) <= 1
        past[two, 0] = _half_step(grid.log_ratio)[two]
    return Multistep(start.t, a, b, b[:, None] * past)


def unipc(grid: Levels, order: int) -> Multistep:
    """UniPC: UniP, and each state mended once its own estimate is known (arXiv 2302.04867, algorithm 1).

    No call is added. The corrector integrates the polynomial through the new estimate and ``order`` old ones (order 1:
    their mean).
    """
    predictor = unip(grid, order)
    c = grid.log_ratio
    correct = np.zeros((len(c) - 1, order))
    for i in range(1, len(c) - 1):
        # As many as the step before had, and the new one.
        nodes = _nodes(c, i, 2 + int(np.count_nonzero(predictor.past[i - 1])))
        if len(nodes) < 2:
            continue
        weights = np.array([0.5, 0.5]) if len(nodes) == 2 else lagrange(nodes, c[i - 1], c[i], -1.0)
        correct[i] = _mend(predictor.b[i - 1], predictor.past[i - 1], weights)
    return predictor._replace(correct=correct)


def _mend(b: float, past: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """What mends a step of b and ``past`` into one of b times the weighted mean of estimates.

    ``weights`` has sum 1, and is of the new estimate, the one that the step started from, and those before.
    """
    change = np.zeros(len(past) + 2)
    change[: len(weights)] = b * weights
    change[1] -= b - past.sum()
    change[2:] -= past
    return change[1:]


def angle(grid: Levels, order: int, data_std: float = 0.5) -> Multistep:
    """A multistep method with UniPC's corrector, whose variable is finite from pure noise to the clean picture.

    The estimate x is taken as a polynomial in u = cos(arctan(r / d)), with r = sigma/alpha and d the data's standard
    deviation. For a Gaussian of that deviation x is linear in u along the flow; for any data with a density it is
    smooth in u at both ends. So the first and the last step keep their order, and the last one, z = x, extrapolates
    the estimates to u = 1. A step takes the mean of x over alpha/sigma, as d(z/sigma) = x d(alpha/sigma).
    """
    start, end = start_and_end(grid)
    a, b = first_order(start, end)
    with np.errstate(divide="ignore"):
        # u = tanh(s); 1 - u is written without that difference, which keeps no digits near the picture.
        s = np.arcsinh(data_std * grid.alpha / grid.sigma)
    away = 2.0 / (1.0 + np.exp(2.0 * s))

    def mean(nodes: np.ndarray, i: int) -> np.ndarray:
        """Shares of the values at nodes in the mean over step i."""
        if np.isinf(s[i + 1]):
            points, weights = np.zeros(1), np.ones(1)
        else:
            points, weights = _gauss(s[i], s[i + 1])
            points, weights = 2.0 / (1.0 + np.exp(2.0 * points)), weights * np.cosh(points)
        shares = _weigh(nodes, points, weights)
        # A step far longer than those before it, as to the picture from where a grid is dense, would magnify errors.
        return shares if np.abs(shares).sum() < 10.0 else mean(nodes[:-1], i)

    past, correct = np.zeros((len(b), order - 1)), np.zeros((len(b), order))
    for i in range(len(b)):
        nodes = away[: i + 1][::-1]
        shares = mean(nodes[:order], i)
        past[i, : len(shares) - 1] = b[i] * shares[1:]
        if i > 0:
            correct[i] = _mend(b[i - 1], past[i - 1], mean(nodes[: order + 1], i - 1))
    return Multistep(start.t, a, b, past, correct=correct)


def dpmpp_2m_sde(grid: Levels, eta: float = 1.0) -> Multistep:
    """DPM-Solver++(2M) for the reverse SDE (arXiv 2211.01095, appendix); eta scales its noise, 0 is 2M.

    a = (sigma_s / sigma_t) e^(-eta h), and noise sigma_s sqrt(1 - e^(-2 eta h)).
    """
    start, end = start_and_end(grid)
    decay = tables.decay(grid) ** eta
    a = end.sigma / start.sigma * decay
    b = end.alpha - a * start.alpha
    past = (b * _half_step(grid.log_ratio))[:, None]
    return Multistep(start.t, a, b, past, end.sigma * np.sqrt(1.0 - decay**2) if eta else None)


def _in_eps(grid: Levels, past: np.ndarray) -> Multistep:
    """A multistep method on eps = (z - alpha x) / sigma, from d(z/alpha) = eps d(sigma/alpha)."""
    start, end = start_and_end(grid)
    a, b = first_order(start, end)
    with np.errstate(invalid="ignore"):
        # alpha_s (r_s - r_t), of which there is none where r_t is infinite: past is 0 there.
        size = np.where(np.isfinite(grid.ratio[:-1]), end.alpha * np.diff(grid.ratio), 0.0)
    return Multistep(start.t, a, b, size[:, None] * past, of_z=1.0 / start.sigma, of_x=-start.alpha / start.sigma)


def lms(grid: Levels, order: int) -> Multistep:
    """Linear multistep (Adams-Bashforth): eps as a polynomial in sigma/alpha (k-diffusion's LMS; PNDM, 2202.09778)."""
    return _in_eps(grid, _adams(grid.ratio, order, 0.0))


def deis(grid: Levels, order: int) -> Multistep:
    """DEIS: eps as a polynomial in log(sigma/alpha) (arXiv 2204.13902, equation 15, "rho-AB" in the log)."""
    return _in_eps(grid, _adams(grid.log_ratio, order, 1.0))
