"""The k largest items of a row, from the least of them: one selection in the place of two sorts."""

from typing import NamedTuple

from ksubset._engine.arrays import entry_at, iota
from ksubset._engine.ops import Array, Ops, choose


class Largest(NamedTuple):
    """The k largest items of each row.

    Attributes
    ----------
    chosen
        Which these are, of equal ones the first: (..., n).
    least
        The least of them, the largest of all if k is 0: (..., 1).
    crowded
        Whether more items are equal to the least than are chosen: (..., 1).
    """

    chosen: Array
    least: Array
    crowded: Array


def largest(ops: Ops, x: Array, k: int | Array) -> Largest:
    """Select in rows (..., n) without NaN, for k from 0 to n; the result for other rows means nothing."""
    xp, x, k = ops.xp, ops.stop_gradient(x), k if isinstance(k, int) else k[..., None]
    least = _kth_largest(ops, x, k)
    above, equal = x > least, x == least
    missing = k - _count(ops, above)
    crowded = _count(ops, equal) > missing

    def first_ones() -> tuple[Array]:
        return (above | (equal & (xp.cumulative_sum(xp.astype(equal, xp.int32), axis=-1) <= missing)),)

    (chosen,) = choose(ops, crowded, first_ones, lambda: (above | equal,))
    return Largest(chosen, least, crowded)


def _kth_largest(ops: Ops, x: Array, k: int | Array) -> Array:
    """The k-th largest number of each row, (..., 1); the largest for k = 0, and 0 where there is none."""
    xp, n = ops.xp, x.shape[-1]
    if n == 0:
        return xp.sum(x, axis=-1, keepdims=True)
    if ops.kth_largest:
        return ops.kth_largest(x, k)
    ordered = ops.sort(x)
    if isinstance(k, int):
        place = min(n - k, n - 1)
        return ordered[..., place : place + 1]
    return entry_at(ops, ordered, iota(ops, n, x) == xp.clip(n - k, None, n - 1))[..., None]


def _count(ops: Ops, marks: Array) -> Array:
    return ops.xp.sum(ops.xp.astype(marks, ops.xp.int32), axis=-1, keepdims=True)
