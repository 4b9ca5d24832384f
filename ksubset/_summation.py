"""Sums: one that is fast, and one that survives cancellation in any precision."""

from typing import Any

from ksubset._typing import Array, Ops


def column_sums(ops: Ops, x: Array) -> Array:
    """Sums over the first of two axes."""
    return ops.column_sums(x) if ops.column_sums else ops.xp.sum(x, axis=0)


def sums_from_both_ends(xp: Any, x: Array) -> tuple[Array, Array]:
    """Sums over the first axis up to each entry, and from each entry on."""
    return xp.cumulative_sum(x, axis=0), xp.flip(xp.cumulative_sum(xp.flip(x, axis=0), axis=0), axis=0)


def compensated_sum(ops: Ops, x: Array) -> Array:
    """Sum over the last axis as if in twice the precision: pairwise, the rounding error of each addition kept.

    Ogita, Rump & Oishi, "Accurate sum and dot product", SIAM J. Sci. Comput. 26 (2005); infinite terms stay infinite.
    """
    xp = ops.xp
    error = xp.sum(x[..., :0], axis=-1)
    while x.shape[-1] > 1:
        half = x.shape[-1] // 2
        a, b = x[..., :half], x[..., half : 2 * half]
        total = a + b
        shadow = total - a
        lost = (a - (total - shadow)) + (b - shadow)
        finite = xp.isfinite(total) & xp.isfinite(shadow)
        error = error + xp.sum(xp.where(finite, lost, xp.zeros_like(lost)), axis=-1)
        x = xp.concat([total, x[..., 2 * half :]], axis=-1)
    return xp.sum(x, axis=-1) + error
