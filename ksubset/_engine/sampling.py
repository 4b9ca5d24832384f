"""Exact sampling down the tree: each node's count, split between its two children by inverting a distribution."""

from functools import partial

from ksubset._engine.arrays import contiguous, fill, iota
from ksubset._engine.ops import Array, Ops
from ksubset._engine.summation import sums_from_both_ends
from ksubset._engine.tree import Counts, mirror, split


def descend(ops: Ops, counts: Counts, levels: list[Array], k: int | Array, u: Array) -> Array:
    """Draw the count of every leaf given the total ``k``: integers (items, draws, rows), from u, (n − 1, draws, rows).

    The uniforms are used from the root of the tree to its leaves, one for each pair of nodes. Whatever the levels hold,
    no node is given a count that its items cannot have: every draw has k ones.
    """
    xp, (draws, rows) = ops.xp, u.shape[1:]
    u = contiguous(ops, u) if u.shape[0] else fill(ops, (1, draws, rows), 0.0, u)
    total = xp.broadcast_to(iota(ops, 1, u) + k, (1, draws, rows))
    used = 0
    for i in range(len(levels) - 1, -1, -1):
        left, right, _ = split(levels[i])
        pairs = left.shape[1]
        first, second = _offsets(counts, i, pairs)
        parents = total[:pairs, ...]
        weights = left[:, :, None, :] * mirror(ops, right, parents - first - second)
        least, most = _possible(ops, parents, levels[0].shape[1], i)
        chosen = first + invert(ops, weights, u[used : used + pairs, ...])
        chosen = xp.minimum(xp.maximum(chosen, least), most)
        total = xp.concat([chosen, parents - chosen, total[pairs:, ...]], axis=0)
        used += pairs
    return total


def _possible(ops: Ops, parents: Array, n: int, level: int) -> tuple[Array, Array]:
    """The least and the largest count of the first of each pair: nodes have 2^level items, save perhaps the last."""
    xp, pairs, size = ops.xp, parents.shape[0], 2**level
    nodes = -(-n // size)
    last = n - (nodes - 1) * size if nodes == 2 * pairs else size
    seconds = fill(ops, (pairs, 1, 1), size, parents)
    seconds = xp.concat([seconds[: pairs - 1, ...], fill(ops, (1, 1, 1), last, parents)], axis=0)
    return xp.maximum(parents - seconds, xp.zeros_like(parents)), xp.minimum(parents, fill(ops, (), size, parents))


def _offsets(counts: Counts, level: int, pairs: int) -> tuple[int | Array, int | Array]:
    offset = counts.offset(level)
    if isinstance(offset, int):
        return offset, offset
    return offset[:pairs, None, :], offset[pairs : 2 * pairs, None, :]


def invert(ops: Ops, weights: Array, u: Array) -> Array:
    """The index, along the first axis, at which the cumulative weights pass the fraction ``u`` of their sum.

    u and u − 1 mean the same. In the upper half the distance from 1 is measured against sums taken from the far end:
    both tails, where a log-concave distribution has its rare values, are resolved as finely as floats near 0 are.
    """
    xp = ops.xp
    u = xp.where(u >= 0.5, u - 1, u)
    upper = u < 0
    rising, falling = (ops.sums_from_both_ends or partial(sums_from_both_ends, xp))(weights)
    target = xp.astype(xp.abs(u), weights.dtype) * rising[-1, ...]
    below, above = _count(ops, rising <= target, u), _count(ops, falling > target, u) - 1
    return xp.where(upper, above, below)


def _count(ops: Ops, mask: Array, like: Array) -> Array:
    return ops.xp.sum(ops.xp.astype(mask, iota(ops, 1, like).dtype), axis=0)
