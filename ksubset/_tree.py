"""The tree engine: sums of independent Bernoulli variables, combined pairwise in log n levels (Algorithms 4 and 5).

A node holds the distribution of its count as a polynomial; a leaf is (q, p). Going up, a parent is the product of two
children (*inside*). Going down, a child's *outside* polynomial holds, for each count of the child, the probability
that all other items bring the total to k. A level is an array (coefficients, nodes, rows) whose first and second half
of nodes are paired; an odd last node rises alone. Every pass is bilinear, so tangents use the same two operations.

What a coefficient's index means is left to a ``Counts``: `FullCounts` keeps all of 0 … k, `ksubset._window` a window.
"""

from abc import ABC, abstractmethod

from ksubset._layout import contiguous, fill, iota, pad, resize
from ksubset._polynomial import correlate, product
from ksubset._typing import Array, Ops

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
    def correlate(self, level: int, outer: Array, siblings: Array) -> Array:
        """Outside polynomials of paired nodes, (a, 2, …), from their parents' and their siblings' polynomials."""

    @abstractmethod
    def offset(self, level: int) -> int | Array:
        """The count that coefficient 0 stands for: 0, or (nodes, rows)."""

    def resize(self, lone: Array, size: int) -> Array:
        """The polynomials of an unpaired node in the form of another level, of ``size`` coefficients."""
        return resize(self.ops, lone, size)

    def settle(self, probabilities: Array) -> Array:
        """Leave out what is below the error that these counts can bear."""
        return probabilities

    def settle_tangents(self, tangents: Array, probabilities: Array) -> Array:
        """Leave out the tangents of what was left out."""
        return tangents


class FullCounts(Counts):
    """All counts from 0 to the width of the rows, or to the last that matters.

    ``floor``, (rows,), is an absolute error that the probabilities of each row can bear. Counts that are less likely in
    every row and node are left out: levels keep as many coefficients as their arrays have.
    """

    def __init__(self, ops: Ops, width: int, floor: Array | None = None) -> None:
        super().__init__(ops)
        self.limit, self.floor = max(2, width + 1), floor

    def multiply(self, level: int, left: Array, right: Array) -> Array:
        return product(self.ops, left, right, min(2 * left.shape[0] - 1, self.limit))

    def correlate(self, level: int, outer: Array, siblings: Array) -> Array:
        reach = min(outer.shape[0], 2 * siblings.shape[0] - 1)  # what two nodes without their rare counts add up to
        return correlate(self.ops, outer[:reach, ...], siblings)

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

    def settle_tangents(self, tangents: Array, probabilities: Array) -> Array:
        if self.floor is None or tangents.shape[0] <= SHORT:
            return tangents
        zero = fill(self.ops, (), 0.0, tangents)
        return self.ops.xp.where(probabilities == 0, zero, tangents[: probabilities.shape[0], ...])


def split(level: Array) -> tuple[Array, Array, Array]:
    """The first of each pair, the second of each pair, and the lone last node, if any."""
    half = level.shape[1] // 2
    return level[:, :half, ...], level[:, half : 2 * half, ...], level[:, 2 * half :, ...]


def leaves(ops: Ops, chosen: Array, unchosen: Array, empty: float = 1.0) -> Array:
    """(2, items, rows); fewer than two items are filled up with items that are never chosen."""
    xp, (n, rows) = ops.xp, chosen.shape
    if n < 2:
        spare = (2 - n, rows)
        chosen = xp.concat([chosen, fill(ops, spare, 0.0, chosen)], axis=0)
        unchosen = xp.concat([unchosen, fill(ops, spare, empty, unchosen)], axis=0)
    return xp.stack([unchosen, chosen], axis=0)


def inside(ops: Ops, counts: Counts, leaves: Array, height: int | None = None, top: int = 2) -> list[Array]:
    """Levels from the leaves, (2, items, rows), to one of ``top`` nodes, the last pair, or only ``height`` of them."""
    levels = [leaves]
    while levels[-1].shape[1] > top and len(levels) != height:
        left, right, lone = split(levels[-1])
        parents = counts.multiply(len(levels) - 1, left, right)
        levels.append(counts.settle(_join(counts, parents, lone)))
    return levels


def inside_tangents(ops: Ops, counts: Counts, levels: list[Array], leaves: Array) -> list[Array]:
    """Derivatives of `inside` along a tangent of the leaves."""
    tangents = [leaves]
    for i, level in enumerate(levels[:-1]):
        (left, right, _), (dleft, dright, dlone) = split(level), split(tangents[-1])
        parents = counts.multiply(i, dleft, right) + counts.multiply(i, left, dright)
        tangents.append(counts.settle_tangents(_join(counts, parents, dlone), levels[i + 1]))
    return tangents


def root(ops: Ops, counts: Counts, levels: list[Array], k: int | Array) -> tuple[Array, Array]:
    """P(Σz = k), (rows,), and the outside polynomials of the last pair, not yet divided by it."""
    outer = _mirrored_pair(ops, counts, levels, k)
    return ops.xp.sum(levels[-1][:, 0, ...] * outer[:, 0, ...], axis=0), outer


def root_tangents(
    ops: Ops, counts: Counts, levels: list[Array], tangents: list[Array], k: int | Array
) -> tuple[Array, Array, Array, Array]:
    """P, its derivative, the outside polynomials of the last pair divided by P, and their derivatives."""
    xp, (total, outer) = ops.xp, root(ops, counts, levels, k)
    douter = _mirrored_pair(ops, counts, tangents, k)
    first, dfirst = levels[-1][:, 0, ...], tangents[-1][:, 0, ...]
    dtotal = xp.sum(dfirst * outer[:, 0, ...] + first * douter[:, 0, ...], axis=0)
    outer = outer / total
    return total, dtotal, outer, (douter - outer * dtotal) / total


def outside(ops: Ops, counts: Counts, levels: list[Array], outer: Array) -> Array:
    """Outside polynomials of the leaves, (2, items, rows), from those of the last pair."""
    for i in range(len(levels) - 2, -1, -1):
        half = levels[i].shape[1] // 2
        pairs = counts.correlate(i, outer[:, :half, ...], _siblings(ops, levels[i]))
        outer = _join(counts, _flatten(ops, pairs), outer[:, half:, ...])
        outer = counts.settle(outer)
    return outer


def outside_tangents(
    ops: Ops, counts: Counts, levels: list[Array], tangents: list[Array], outer: Array, douter: Array
) -> tuple[Array, Array]:
    """`outside` and its derivative."""
    for i in range(len(levels) - 2, -1, -1):
        half, siblings = levels[i].shape[1] // 2, _siblings(ops, levels[i])
        dpairs = counts.correlate(i, douter[:, :half, ...], siblings)
        dpairs = dpairs + counts.correlate(i, outer[:, :half, ...], _siblings(ops, tangents[i]))
        pairs = counts.correlate(i, outer[:, :half, ...], siblings)
        douter = _join(counts, _flatten(ops, dpairs), douter[:, half:, ...])
        outer = counts.settle(_join(counts, _flatten(ops, pairs), outer[:, half:, ...]))
        douter = counts.settle_tangents(douter, outer)
    return outer, douter


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


def _mirrored_pair(ops: Ops, counts: Counts, levels: list[Array], k: int | Array) -> Array:
    """For each node of the last pair, its sibling read backwards from k: the probability that both add up to k."""
    level, offset = levels[-1], counts.offset(len(levels) - 1)
    swapped = ops.xp.concat([level[:, 1:, ...], level[:, :1, ...]], axis=1)
    if isinstance(k, int) and isinstance(offset, int):
        return _mirror_static(ops, swapped, k)
    total = k - (offset if isinstance(offset, int) else offset[0, ...] + offset[1, ...])
    total = ops.xp.broadcast_to(total, (2, 1, level.shape[2]))
    return mirror(ops, swapped, total)[:, :, 0, :]


def _mirror_static(ops: Ops, x: Array, k: int) -> Array:
    """`mirror` where every total is the same: a flip and a shift."""
    size = x.shape[0]
    kept = contiguous(ops, ops.xp.flip(x[max(0, k - size + 1) : min(k + 1, size), ...], axis=0))
    return pad(ops, kept, max(0, k - size + 1), max(0, size - 1 - k))


def _siblings(ops: Ops, level: Array) -> Array:
    """(a, nodes, …) to (a, 2, half, …): the sibling of each first node, then that of each second node."""
    size, half = level.shape[0], level.shape[1] // 2
    pairs = ops.xp.reshape(level[:, : 2 * half, ...], (size, 2, half, *level.shape[2:]))
    return ops.xp.flip(pairs, axis=1)


def _flatten(ops: Ops, pairs: Array) -> Array:
    """(a, 2, half, …) to (a, 2 · half, …): first halves, then second halves."""
    return ops.xp.reshape(pairs, (pairs.shape[0], 2 * pairs.shape[2], *pairs.shape[3:]))


def _join(counts: Counts, paired: Array, lone: Array) -> Array:
    """The nodes of a level: those that come in pairs, and the lone last one, if any."""
    if lone.shape[1] == 0:
        return paired
    return counts.ops.xp.concat([paired, counts.resize(lone, paired.shape[0])], axis=1)
