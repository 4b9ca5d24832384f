"""Where the contour is sampled: the trapezoidal rule with half-offset nodes, which here is exact to rounding.

The count S of independent items has the characteristic function F(φ) = Π f_i, f_i = 1 + p_i (e^iφ − 1), and
P(S = c) = (1/2π) ∫ F e^−icφ dφ. Two errors are made, and both are bounded by e^−L. N nodes see P(S = c ± N) as
P(S = c): by Bernstein's inequality that is below e^−L once N exceeds √(2LV) + L/3 + |Σp − c|. And since
|F| ≤ exp(−V (1 − cos φ)), V = Σpq, nodes with V (1 − cos φ) > L may be left out. The integrand at −φ is the conjugate
of the integrand at φ, and about L/π of the N/2 nodes in (0, π) remain: few, whatever n, k and V are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, pi, prod, sqrt
from typing import Any

from ksubset._engine.arrays import iota
from ksubset._engine.elementary import turn
from ksubset._engine.ops import Array, Ops, scan

LOG_ERROR = {32: 18.0, 64: 38.0}
"""L by the bits of a float: e^−L is below the rounding of a sum of probabilities."""

LEAST = 0.25
"""Rows of smaller variance get the nodes for this variance; `exchange` computes them instead."""


@dataclass(frozen=True)
class Nodes:
    """Angles φ in (0, π) for each row, (nodes, ...), the unused nodes of a row last; none has a gradient.

    Attributes
    ----------
    turns
        φ/2π.
    half_sine, half_cosine
        sin(φ/2) and cos(φ/2), both with full relative accuracy.
    used
        1, or 0 where a row has fewer nodes than others.
    period
        N, (...).
    """

    turns: Array
    half_sine: Array
    half_cosine: Array
    used: Array
    period: Array

    @property
    def fall(self) -> Array:
        """cos φ − 1."""
        return -2 * self.half_sine * self.half_sine

    @property
    def sine(self) -> Array:
        """sin φ."""
        return 2 * self.half_sine * self.half_cosine

    def turn(self, ops: Ops, count: Array) -> Array:
        """e^i·count·φ."""
        return ops.join(*turn(ops, count * self.turns))


def place(ops: Ops, variance: Array, reach: Array, most: tuple[float, float]) -> Nodes:
    """The nodes of rows with Σpq = ``variance`` for the probabilities of counts within ``reach`` of Σp, (...) each.

    ``most`` bounds the variance, and the reach in standard deviations, where values cannot be read.
    """
    xp, bits = ops.xp, ops.xp.finfo(variance.dtype).bits
    error = LOG_ERROR[bits]
    variance = xp.where(variance > LEAST, variance, xp.full_like(variance, LEAST))
    reach = xp.where(reach > 0, reach, xp.zeros_like(reach))
    period = 2 * xp.ceil((xp.sqrt(2 * error * variance) + error / 3 + reach) / 2)
    size = _needed(xp, variance, period, error) if ops.eager_on_cpu else node_bound(error, *most)
    middle = xp.astype(xp.reshape(iota(ops, size, variance), (-1, *(1,) * variance.ndim)), variance.dtype) + 0.5
    half_sine, half_cosine = (turn(ops, x / (2 * period))[1] for x in (middle, period / 2 - middle))
    used = (middle < period / 2) & (2 * half_sine * half_sine * variance <= error)
    return Nodes(middle / period, half_sine, half_cosine, xp.astype(used, variance.dtype), period)


def _needed(xp: Any, variance: Array, period: Array, error: float) -> int:
    """The largest number of nodes that a row has."""
    if not prod(period.shape):
        return 1
    widest = 2 * xp.asin(xp.sqrt(xp.clip(error / (2 * variance), None, 1.0)))
    return max(1, int(xp.max(xp.floor(period * widest / (2 * pi) + 0.5))))


def node_bound(error: float, variance: float, deviations: float) -> int:
    """The largest number of nodes of any row: N/2, which grows with V, up to V = L/2; rows beyond have no more."""
    variance = max(LEAST, min(variance, error / 2))
    return ceil((sqrt(2 * error * variance) + error / 3 + deviations * sqrt(variance)) / 2)


def at_each(ops: Ops, function: Callable[..., tuple[Array, ...]], given: tuple[Array, ...]) -> tuple[Array, ...]:
    """A function at every node, stacked; nodes are taken one by one, so that the arrays of items stay small."""
    length = given[0].shape[0]
    found: tuple[Array, ...] = scan(ops, lambda carry, node: (carry, function(*node)), (), given, length)[1]
    return found


def total_of_each(
    ops: Ops, function: Callable[..., tuple[Array, ...]], given: tuple[Array, ...], total: tuple[Array, ...]
) -> tuple[Array, ...]:
    """``total`` plus the sum of a function over the nodes."""

    def step(total: tuple[Array, ...], node: tuple[Array, ...]) -> tuple[tuple[Array, ...], tuple[()]]:
        return tuple(a + b for a, b in zip(total, function(*node), strict=True)), ()

    found: tuple[Array, ...] = scan(ops, step, total, given, given[0].shape[0])[0]
    return found
