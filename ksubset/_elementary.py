"""Elementary functions with the derivatives that the contour and its answers agree on."""

from ksubset._layout import fill
from ksubset._typing import Array, Ops


def softplus(ops: Ops, x: Array) -> Array:
    return positive_part(ops, x) + ops.xp.log1p(ops.xp.exp(-magnitude(ops, x)))


def positive_part(ops: Ops, x: Array) -> Array:
    return ops.xp.maximum(x, fill(ops, (), 0.0, x))


def magnitude(ops: Ops, x: Array) -> Array:
    """|x| whose derivative at 0 agrees with a side chosen by x > 0."""
    return ops.xp.where(x > 0, x, -x)
