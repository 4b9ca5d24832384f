"""The tree: sums of independent Bernoulli variables, combined pairwise in log n levels (Algorithms 4 and 5).

A node holds the distribution of its count as a polynomial; a leaf is (q, p), a parent the product of its two children.
A level is an array (coefficients, nodes, rows) whose first and second half of nodes are paired; an odd last node rises
alone. Samples are drawn on the way down, by ``ksubset._engine.sampling``.

A ``Counts`` defines the meaning of a coefficient's index: `FullCounts` keeps all of 0 … k, `window` some of them.
"""

from abc import ABC, abstractmethod

from ksubset._engine.arrays import fill, iota, pad
from ksubset._engine.ops import Array, Ops
from ksubset._engine.polynomial import product

SHORT = 32
"""Polynomials of at most this many coefficients seldom reach down to `FullCounts.floor` and are left as they are."""


class Counts(ABC):
    """How counts are stored and combined at each level; level 0 holds the leaves.

    A node keeps the counts from its ``offset`` on, which is the same one level up if the node rises alone.
    """

    def __init__(self, ops: Ops) -> None:
        self.ops = ops

    @abstractmethod
    def multiply(self, level: int, left: Array, right: Array) -> Array:
        """Polynomials of the parents of the paired nodes of ``level``."""

    @abstractmethod
    def offset(self, level: int) -> int | Array:
        """The count that coefficient 0 stands for: 0, or (nodes, rows)."""

    def settle(self, probabilities: Array) -> Array:
        """Drop probabilities below the error that these counts can bear."""
        return probabilities


class FullCounts(Counts):
    """All counts from 0 to the width of the rows, or to the last that matters.

    ``floor``, (rows,), is an absolute error that the probabilities of each row can bear. Counts that are less likely in
    every row and node are dropped, so that the arrays of the levels become shorter.
    """

    def __init__(self, ops: Ops, width: int, floor: Array | None = None) -> None:
        super().__init__(ops)
        self.limit, self.floor = max(2, width + 1), floor

    def multiply(self, level: int, left: Array, right: Array) -> Array:
        return product(self.ops, left, right, min(2 * left.shape[0] - 1, self.limit))

    def offset(self, level: int) -> int | Array:
        return 0

    def settle(self, probabilities: Array) -> Array:
        if self.floor is None or probabilities.shape[0] <= SHORT:
            return probabilities
        xp, size = self.ops.xp, probabilities.shape[0]
        settled = xp.maximum(probabilities, self.floor) - self.floor
        used = xp.flip(xp.any(settled != 0, axis=(1, 2)))
        last = size - int(xp.argmax(xp.astype(used, xp.int8)))
        return settled[: max(2, last + 1), ...]  # one more: where an item that is hardly ever chosen is chosen


def split(level: Array) -> tuple[Array, Array, Array]:
    """The first of each pair, the second of each pair, and the lone last node, if any."""
    half = level.shape[1] // 2
    return level[:, :half, ...], level[:, half : 2 * half, ...], level[:, 2 * half :, ...]


def leaves(ops: Ops, chosen: Array, unchosen: Array) -> Array:
    """(2, items, rows); fewer than two items are filled up with items that are never chosen."""
    xp, (n, rows) = ops.xp, chosen.shape
    if n < 2:
        spare = (2 - n, rows)
        chosen = xp.concat([chosen, fill(ops, spare, 0.0, chosen)], axis=0)
        unchosen = xp.concat([unchosen, fill(ops, spare, 1.0, unchosen)], axis=0)
    return xp.stack([unchosen, chosen], axis=0)


def inside(counts: Counts, leaves: Array) -> list[Array]:
    """Levels from the leaves, (2, items, rows), to the last pair."""
    levels = [leaves]
    while levels[-1].shape[1] > 2:
        left, right, lone = split(levels[-1])
        parents = counts.multiply(len(levels) - 1, left, right)
        levels.append(counts.settle(_join(counts.ops, parents, lone)))
    return levels


def mirror(ops: Ops, x: Array, total: Array) -> Array:
    """out[a] = x[total − a], 0 outside of ``x``.

    ``x`` is (coefficients, nodes, rows); ``total`` integers (nodes, draws, rows), the result (coefficients, nodes,
    draws, rows).
    """
    xp, (size, nodes, rows), padded = ops.xp, x.shape, pad(ops, x, 1, 1)
    index = xp.clip(total - iota(ops, size, x)[:, None, None, None] + 1, 0, size + 1)
    if ops.devices:
        return ops.devices.pick(padded, index)
    flat = xp.reshape(padded, (-1,))
    place = iota(ops, nodes, x)[:, None, None] * rows + iota(ops, rows, x)
    index = index * (nodes * rows) + place
    return xp.reshape(xp.take(flat, xp.reshape(index, (-1,)), axis=0), tuple(index.shape))


def _join(ops: Ops, paired: Array, lone: Array) -> Array:
    """The nodes of a level: the parents of pairs, and the lone last one, which has no more coefficients than they."""
    if lone.shape[1] == 0:
        return paired
    return ops.xp.concat([paired, pad(ops, lone, 0, paired.shape[0] - lone.shape[0])], axis=1)
