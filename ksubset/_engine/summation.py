"""Sums: one that is fast, and one that survives cancellation in any precision."""

from math import prod
from typing import Any

from ksubset._engine.arrays import fill
from ksubset._engine.ops import Array, Devices, Ops

SPREAD_FROM = 100_000
"""Rows with at least this many items may be spread over several devices."""


FOLD = 32
"""Terms added up one after the other; over thousands of terms, float32 would lose digits."""


def item_sums(ops: Ops, x: Array) -> Array:
    """Sums over the items, the first axis."""
    if ops.item_sums:
        return ops.item_sums(x)
    devices, (n, *rest) = dividing(ops, x.shape[0]), x.shape
    parts = devices.count if devices else 1
    return ops.xp.sum(_folded(ops, ops.xp.reshape(x, (parts, n // parts, *rest))), axis=0)


def _folded(ops: Ops, x: Array) -> Array:
    """Sums over the second axis, of terms that are a part of the axis apart."""
    xp, (parts, _, *rest) = ops.xp, x.shape
    while (size := x.shape[1] // FOLD) > 0:
        head = _sums_of_some(ops, xp.reshape(x[:, : FOLD * size, ...], (parts, FOLD, size, *rest)))
        x = xp.concat([head, x[:, FOLD * size :, ...]], axis=1) if x.shape[1] % FOLD else head
    return xp.sum(x, axis=1)


def _sums_of_some(ops: Ops, x: Array) -> Array:
    """Sums over the second axis by products with ones, which would gather rows that are spread over devices."""
    if ops.devices:
        return ops.xp.sum(x, axis=1)
    parts, size, *rest = x.shape
    whole = ops.xp.reshape(x, (parts, size, prod(rest)))
    return ops.xp.reshape(ops.matmul(fill(ops, (1, size), 1.0, x), whole), (parts, *rest))


def sums_from_both_ends(xp: Any, x: Array) -> tuple[Array, Array]:
    """Sums over the first axis up to each entry, and from each entry on."""
    return xp.cumulative_sum(x, axis=0), xp.flip(xp.cumulative_sum(xp.flip(x, axis=0), axis=0), axis=0)


def compensated_sum(ops: Ops, x: Array) -> Array:
    """Sum over the last axis as if in twice the precision; infinite terms stay infinite.

    Pairwise, the rounding error of each addition kept, and in float64 where that is at hand: Ogita, Rump & Oishi,
    "Accurate sum and dot product", SIAM J. Sci. Comput. 26 (2005).
    """
    xp = ops.xp
    if ops.eager_on_cpu and x.dtype == xp.float32:
        return xp.astype(compensated_sum(ops, xp.astype(x, xp.float64)), xp.float32)
    if devices := dividing(ops, x.shape[-1]):
        total, error = _pairwise(ops, xp.reshape(x, (*x.shape[:-1], devices.count, -1)))
        total, last = _pairwise(ops, total)
        error = xp.sum(error, axis=-1) + last
    else:
        total, error = _pairwise(ops, x)
    return total + xp.where(xp.isnan(error), xp.zeros_like(error), error)


def _pairwise(ops: Ops, x: Array) -> tuple[Array, Array]:
    """The sum over the last axis, and the sum of its rounding errors."""
    xp = ops.xp
    error = xp.sum(x[..., :0], axis=-1)
    while x.shape[-1] > 1:
        half = x.shape[-1] // 2
        a, b = x[..., :half], x[..., half : 2 * half]
        total = a + b
        shadow = total - a
        error = error + xp.sum((a - (total - shadow)) + (b - shadow), axis=-1)
        x = xp.concat([total, x[..., 2 * half :]], axis=-1)
    return xp.sum(x, axis=-1), error


def dividing(ops: Ops, size: int) -> Devices | None:
    """The devices over which rows of ``size`` items may be spread, if such rows are computed in parts."""
    return ops.devices if ops.devices and divides(ops.devices.count, size) else None


def divides(devices: int, size: int) -> bool:
    """Whether rows of ``size`` items are long, and divide into equal parts for that number of devices."""
    return size >= SPREAD_FROM and size % devices == 0
