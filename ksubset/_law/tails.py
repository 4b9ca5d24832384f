"""Both tails of a distribution over the counts, from the logarithms of its probabilities."""

from math import log
from typing import Any

from ksubset._engine.arrays import broadcast_shapes
from ksubset._engine.ops import Array

SLACK = 8
"""Roundings by which a level may miss a tail that it is equal to."""


def tails(xp: Any, log_pmf: Array) -> tuple[Array, Array]:
    """log P(S ≤ c) and log P(S > c), (..., n + 1): each a sum from its own end, or 1 less the other one if it is more.

    So both keep their relative accuracy, and so do their logarithms where they are close to 0.
    """
    lower = _sums(xp, log_pmf)
    none = xp.where(xp.isnan(lower[..., -1:]), lower[..., -1:], xp.full_like(lower[..., -1:], -float("inf")))
    upper = xp.concat([xp.flip(_sums(xp, xp.flip(log_pmf, axis=-1)), axis=-1)[..., 1:], none], axis=-1)
    return _larger(xp, lower, upper), _larger(xp, upper, lower)


def _sums(xp: Any, x: Array) -> Array:
    """log Σ_{j ≤ c} exp(x_j), in log n steps."""
    reach = 1
    while reach < x.shape[-1]:
        x = xp.concat([x[..., :reach], _add(xp, x[..., reach:], x[..., :-reach])], axis=-1)
        reach *= 2
    return x


def _add(xp: Any, x: Array, y: Array) -> Array:
    """log(e^x + e^y), whose derivative is 0 where both are −∞."""
    high, low = xp.maximum(x, y), xp.minimum(x, y)
    finite = xp.where(high == -xp.inf, xp.zeros_like(high), high)
    return high + xp.log1p(xp.exp(low - finite))


def _larger(xp: Any, x: Array, other: Array) -> Array:
    """``x``, or log(1 − e^other) where that is more than half."""
    likely = other < x
    return xp.where(likely, xp.log1p(-xp.exp(xp.where(likely, other, xp.full_like(other, -1.0)))), x)


def least_count(xp: Any, log_pmf: Array, log_q: Array, log_rest: Array) -> Array:
    """The least c with P(S ≤ c) ≥ q; −1 where one is NaN, or the logarithms of q and 1 − q, (..., 1), are positive."""
    shape: Any = broadcast_shapes(tuple(log_pmf.shape), tuple(log_q.shape))
    lower, upper = (xp.broadcast_to(x, shape) for x in tails(xp, log_pmf))
    slack = SLACK * float(xp.finfo(log_pmf.dtype).eps)
    log_q, log_rest = (xp.broadcast_to(x, shape) for x in (log_q, log_rest))
    enough = lower >= log_q * (1 + slack) - slack
    little = upper <= log_rest * (1 - slack) + slack
    short = xp.astype(~xp.where(log_q < log(0.5), enough, little), xp.int32)
    count, bad = xp.sum(short, axis=-1), xp.isnan(lower[..., 0]) | (log_q[..., 0] > 0)
    return xp.where(bad, xp.full_like(count, -1), count)
