"""The form in which the sampler sees a batch: items first, rows last, and at most half of the items chosen.

A row that chooses more than half of its items is drawn by the items it leaves out, so no polynomial ever needs more
than n/2 + 1 coefficients.
"""

from dataclasses import dataclass
from math import prod

from ksubset._engine.arrays import iota
from ksubset._engine.items import Items
from ksubset._engine.ops import Array, Ops


@dataclass(frozen=True)
class Rows:
    """Rows as the sampler sees them: items first, and at most half of the items chosen.

    Attributes
    ----------
    p, q
        The probabilities of each item to be in the smaller part and not to be, (n, rows).
    count
        How many items are in the smaller part, at most n // 2: an int, or (rows,).
    flipped
        Whether the smaller part consists of the items that are not chosen, (rows,) or ().
    width
        A static upper bound of ``count``.
    """

    p: Array
    q: Array
    count: int | Array
    flipped: Array
    width: int

    @property
    def size(self) -> int:
        """The number of items, n."""
        return int(self.p.shape[0])


def orient(ops: Ops, x: Items, k: int | Array, width: int) -> Rows:
    """Flatten the batch and exchange chosen for unchosen where that makes the count smaller."""
    xp, (n, *batch) = ops.xp, x.t.shape
    p, q = (xp.reshape(y, (n, prod(batch))) for y in (x.p, x.q))
    size = iota(ops, 1, p)[0] + (k if isinstance(k, int) else xp.reshape(xp.broadcast_to(k, tuple(batch)), (-1,)))
    flipped = 2 * size > n
    smaller = min(k, n - k) if isinstance(k, int) else xp.minimum(size, n - size)
    return Rows(xp.where(flipped, q, p), xp.where(flipped, p, q), smaller, flipped, width)
