"""A long row on several devices: a tree for each device's items, and one more for the roots of those.

Only the roots, a window of counts for each device, are brought together. Everything below them stays where its items
are, since `Devices.each` makes an axis of the devices that nothing else is merged with.
"""

from dataclasses import dataclass, replace
from typing import TypeAlias

from ksubset import _tree
from ksubset._layout import Rows
from ksubset._tree import Counts, leaves
from ksubset._typing import Array, Devices, Ops
from ksubset._window import choose_counts, counts_above

Levels: TypeAlias = list[Array]


@dataclass(frozen=True)
class Forest:
    """Rows whose items are on several devices."""

    ops: Ops
    devices: Devices
    rows: Rows

    def passes(self, p: Array, q: Array) -> tuple[Array, Array]:
        """P(Σz = k), (rows,), and the outside polynomials of the leaves divided by it, (2, n, rows)."""
        top, (below, levels, counts) = self.top, self._climb(p, q)
        total, outer = _tree.root(top, counts, levels, self.rows.count)
        outer = _tree.outside(top, counts, levels, outer / total)

        def down(p: Array, levels: Levels, outer: Array) -> Array:
            return _tree.outside(self.ops, choose_counts(self.ops, self.rows, p), levels, outer)

        return total, self._joined(self.devices.each(down, self._items(p), below, self._apart(outer)))

    def tangent_passes(self, p: Array, q: Array, push: Array) -> tuple[Array, Array]:
        """The outside polynomials of the leaves divided by P(Σz = k), and their derivatives, (2, n, rows)."""
        ops, top, (below, levels, counts) = self.ops, self.top, self._climb(p, q)

        def up(p: Array, levels: Levels, push: Array) -> Levels:
            tangents = leaves(ops, push, -push, empty=0.0)
            return _tree.inside_tangents(ops, choose_counts(ops, self.rows, p), levels, tangents)

        dbelow = self.devices.each(up, self._items(p), below, self._items(push))
        dlevels = _tree.inside_tangents(top, counts, levels, self._together(dbelow[-1]))
        _, _, outer, douter = _tree.root_tangents(top, counts, levels, dlevels, self.rows.count)
        outer, douter = _tree.outside_tangents(top, counts, levels, dlevels, outer, douter)

        def down(p: Array, *given: Array) -> tuple[Array, Array]:
            return _tree.outside_tangents(ops, choose_counts(ops, self.rows, p), *given)

        found = self.devices.each(down, self._items(p), below, dbelow, self._apart(outer), self._apart(douter))
        return self._joined(found[0]), self._joined(found[1])

    @property
    def top(self) -> Ops:
        """For what every device computes alike."""
        return replace(self.ops, devices=None)

    def _climb(self, p: Array, q: Array) -> tuple[Levels, Levels, Counts]:
        """The levels of the parts, with an axis of parts in front; those above them, and the counts of these."""
        ops, gather, size = self.ops, self.devices.gather, self.rows.size // self.devices.count

        def up(p: Array, q: Array) -> tuple[Levels, Array]:
            counts = choose_counts(ops, self.rows, p)
            levels = _tree.inside(ops, counts, leaves(ops, p, q), top=1)
            return levels, ops.xp.zeros((1, p.shape[1]), dtype=ops.xp.int32) + counts.offset(len(levels) - 1)

        below, offset = self.devices.each(up, self._items(p), self._items(q))
        mean = gather(ops.xp.sum(self._items(p), axis=1))
        counts = counts_above(self.top, self.rows, len(below) - 1, mean, gather(offset[:, 0, :]), size)
        return below, _tree.inside(self.top, counts, self._together(below[-1])), counts

    def _items(self, x: Array) -> Array:
        """(n, rows) to (parts, n/parts, rows)."""
        return self.ops.xp.reshape(x, (self.devices.count, -1, x.shape[1]))

    def _joined(self, x: Array) -> Array:
        """(parts, 2, n/parts, rows) to (2, n, rows)."""
        return self.ops.xp.reshape(self.ops.xp.permute_dims(x, (1, 0, 2, 3)), (2, -1, x.shape[3]))

    def _together(self, roots: Array) -> Array:
        """(parts, coefficients, 1, rows) to a level that all devices have, (coefficients, parts, rows)."""
        return self.ops.xp.permute_dims(self.devices.gather(roots[:, :, 0, :]), (1, 0, 2))

    def _apart(self, level: Array) -> Array:
        """The reverse of `_together`."""
        return self.ops.xp.permute_dims(self.devices.gather(level), (1, 0, 2))[:, :, None, :]
