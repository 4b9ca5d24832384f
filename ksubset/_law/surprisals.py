"""The terms of a surprisal that the items contribute."""

from typing import Any

from ksubset._engine.elementary import magnitude
from ksubset._engine.ops import Array, Ops
from ksubset._engine.summation import compensated_sum


def unlikely_cost(ops: Ops, t: Array, mean: Any) -> Array:
    """Σ |t| · m, m the mean of each item's less likely side, with ∞ · 0 = 0."""
    xp, size = ops.xp, magnitude(ops, t)
    unlikely = xp.where(t > 0, mean.unchosen, mean.chosen)
    return compensated_sum(ops, xp.where(unlikely == 0, xp.zeros_like(size), size) * unlikely)
