"""A long row on several devices: a tree for each device's items, and one more for the roots of those.

Only the roots, a window of counts for each device, are brought together. Everything below them stays where its items
are, since `Ops.each` makes an axis of the devices that nothing else is merged with.
"""

from typing import TypeAlias

from ksubset import _tree
from ksubset._layout import Rows
from ksubset._summation import is_spread
from ksubset._tree import Counts, leaves
from ksubset._typing import Array, Ops
from ksubset._window import choose_counts, counts_above

Levels: TypeAlias = list[Array]


def applies(ops: Ops, rows: Rows) -> bool:
    """Whether the rows are long enough."""
    return is_spread(ops, rows.size)


def passes(ops: Ops, rows: Rows, p: Array, q: Array) -> tuple[Array, Array]:
    """P(Σz = k), (rows,), and the outside polynomials of the leaves divided by it, (2, n, rows)."""
    below, top, counts = _climb(ops, rows, p, q)
    total, outer = _tree.root(ops, counts, top, rows.count)
    outer = _tree.outside(ops, counts, top, outer / total)

    def down(p: Array, levels: Levels, outer: Array) -> Array:
        return _tree.outside(ops, choose_counts(ops, rows, p), levels, outer)

    return total, _joined(ops, ops.each(down, _items(ops, p), below, _apart(ops, outer)))


def tangent_passes(ops: Ops, rows: Rows, p: Array, q: Array, push: Array) -> tuple[Array, Array]:
    """The outside polynomials of the leaves divided by P(Σz = k), and their derivatives, (2, n, rows)."""
    below, top, counts = _climb(ops, rows, p, q)

    def up(p: Array, levels: Levels, push: Array) -> Levels:
        return _tree.inside_tangents(ops, choose_counts(ops, rows, p), levels, leaves(ops, push, -push, empty=0.0))

    dbelow = ops.each(up, _items(ops, p), below, _items(ops, push))
    dtop = _tree.inside_tangents(ops, counts, top, _together(ops, dbelow[-1]))
    _, _, outer, douter = _tree.root_tangents(ops, counts, top, dtop, rows.count)
    outer, douter = _tree.outside_tangents(ops, counts, top, dtop, outer, douter)

    def down(p: Array, levels: Levels, dlevels: Levels, outer: Array, douter: Array) -> tuple[Array, Array]:
        return _tree.outside_tangents(ops, choose_counts(ops, rows, p), levels, dlevels, outer, douter)

    both = ops.each(down, _items(ops, p), below, dbelow, _apart(ops, outer), _apart(ops, douter))
    return _joined(ops, both[0]), _joined(ops, both[1])


def _climb(ops: Ops, rows: Rows, p: Array, q: Array) -> tuple[Levels, Levels, Counts]:
    """The levels of the parts, with an axis of parts in front; those above them, and the counts of these."""

    def up(p: Array, q: Array) -> tuple[Levels, Array]:
        counts = choose_counts(ops, rows, p)
        levels = _tree.inside(ops, counts, leaves(ops, p, q), top=1)
        return levels, counts.offset(len(levels) - 1) + 0 * ops.xp.astype(levels[-1][0, ...] > 0, ops.xp.int32)

    below, offset = ops.each(up, _items(ops, p), _items(ops, q))
    mean = ops.xp.sum(_items(ops, p), axis=1)
    counts = counts_above(ops, rows, len(below) - 1, mean, offset[:, 0, :], rows.size // ops.parts)
    return below, _tree.inside(ops, counts, _together(ops, below[-1])), counts


def _items(ops: Ops, x: Array) -> Array:
    """(n, rows) to (parts, n/parts, rows)."""
    return ops.xp.reshape(x, (ops.parts, -1, x.shape[1]))


def _joined(ops: Ops, x: Array) -> Array:
    """(parts, 2, n/parts, rows) to (2, n, rows)."""
    return ops.xp.reshape(ops.xp.permute_dims(x, (1, 0, 2, 3)), (2, -1, x.shape[3]))


def _together(ops: Ops, roots: Array) -> Array:
    """(parts, coefficients, 1, rows) to a level, (coefficients, parts, rows)."""
    return ops.xp.permute_dims(roots[:, :, 0, :], (1, 0, 2))


def _apart(ops: Ops, level: Array) -> Array:
    """The reverse of `_together`."""
    return ops.xp.permute_dims(level, (1, 0, 2))[:, :, None, :]
