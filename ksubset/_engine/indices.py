"""Subsets as sorted indices of their items, padded by −1, in the place of 0 and 1 for every item."""

from ksubset._engine.arrays import fill, iota
from ksubset._engine.ops import Array, Ops

PADDING = -1
"""The index that fills the places after the last item."""


def indices_of(ops: Ops, z: Array, places: int) -> Array:
    """The items of subsets (..., n), in ascending order: integers (..., places), `PADDING` after the last.

    There are no more items than places. A row of NaN has none.
    """
    xp, n = ops.xp, z.shape[-1]
    chosen, items = z > 0, xp.broadcast_to(iota(ops, n, z), tuple(z.shape))
    rank = xp.cumulative_sum(xp.astype(chosen, items.dtype), axis=-1, dtype=items.dtype)
    slot = xp.where(chosen, rank - 1, xp.full_like(rank, places))
    empty = fill(ops, (*z.shape[:-1], places + 1), PADDING, items)
    return _scattered(ops, empty, slot, items)[..., :places]


def members_of(ops: Ops, indices: Array, like: Array) -> Array:
    """The subsets (..., n) that integers (..., places) list; `PADDING` lists nothing.

    NaN where an integer is out of range or twice in a row; ``like`` gives n and the dtype.
    """
    xp, n = ops.xp, like.shape[-1]
    indices = xp.astype(indices, iota(ops, 1, like).dtype)  # small integers may not hold n
    listed = indices != PADDING
    possible = listed & (indices >= 0) & (indices < n)
    slot = xp.where(possible, indices, xp.full_like(indices, n))
    nothing = fill(ops, (*indices.shape[:-1], n + 1), 0.0, like)
    z = _scattered(ops, nothing, slot, xp.ones_like(xp.astype(slot, like.dtype)))[..., :n]
    given, once = (xp.sum(xp.astype(x, xp.int32), axis=-1, keepdims=True) for x in (listed, z == 1))
    return xp.where(once == given, z, xp.full_like(z, float("nan")))


def _scattered(ops: Ops, x: Array, slot: Array, values: Array) -> Array:
    """``x`` with ``values`` at the places ``slot`` along the last axis. Of several at a place, any or their sum."""
    if ops.scatter:
        return ops.scatter(x, slot, values)
    xp, size = ops.xp, x.shape[-1]
    here = slot[..., None, :] == iota(ops, size, x)[:, None]
    written = xp.sum(xp.where(here, values[..., None, :], xp.zeros_like(values[..., None, :])), axis=-1, dtype=x.dtype)
    return xp.where(xp.any(here, axis=-1), written, x)
