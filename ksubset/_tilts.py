"""The distribution of the count under one tilt after another, until every count has been within reach of one.

Under the tilt λ the count has the probabilities P_λ(c) ∝ e_c(exp θ) · exp(λc). They are sums of products of
non-negative numbers, which keep their relative accuracy until they come near the smallest floats. Counts that are out
of the reach of a tilt wait for one that is made for the first of them. Most rows need one tilt or two; a row whose
logits lie far apart may need one for every count.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ksubset import _sequential, _tree
from ksubset._functions import softplus
from ksubset._inference import SEQUENTIAL_FROM
from ksubset._layout import Rows, fill, flat_rows, iota, items_first, orient, resize
from ksubset._summation import compensated_sum
from ksubset._tilt import sigmoids, tilt
from ksubset._typing import Array, Ops, State

Levels: TypeAlias = list[Array]
Visit: TypeAlias = Callable[["Tilted", Array, State], tuple[State, Array]]


FLOOR = 2.0**-512
"""What float64 leaves out where the processor is slow below 2⁻¹⁰²²: no product of two larger numbers is."""

REACH = 2.0**-400
"""Probabilities above it do not notice that n² times `FLOOR` may be missing."""


@dataclass(frozen=True)
class Tilted:
    """A batch of rows under one tilt, after the inside pass.

    Attributes
    ----------
    rows
        The rows as they were given.
    target
        The count that the tilt was made for, (rows,).
    shift
        λ, (rows,).
    t, p, q
        θ + λ, σ(t) and σ(−t), (n, rows).
    levels, prefixes
        The tree, and where the sequential engine runs in the place of its top, the distributions of what comes before
        each node.
    probabilities
        P_λ(c), (width + 1, rows).
    """

    rows: Rows
    target: Array
    shift: Array
    t: Array
    p: Array
    q: Array
    levels: Levels
    prefixes: Array
    probabilities: Array

    def above(self) -> Array:
        """The items on the likelier side of the tilt; their number is what `slope` counts from."""
        return self.t > 0 if self.rows.sign == 1 else self.t >= 0

    def slope(self, ops: Ops) -> Array:
        """−λ(c − m), m the number of items `above`: (width + 1, rows)."""
        xp, whole = ops.xp, iota(ops, 1, self.p).dtype
        most = xp.sum(xp.astype(self.above(), whole), axis=0)
        return -self.shift * xp.astype(counts(ops, self.rows, self.p) - most, self.p.dtype)

    def volume(self, ops: Ops) -> Array:
        """−Σ log max(p, q), (rows,): log e_c is the sum of this, `slope`, log P_λ(c), and θ of the items `above`."""
        return -compensated_sum(ops, ops.xp.permute_dims(ops.xp.log(ops.xp.maximum(self.p, self.q)), (1, 0)))

    def reach(self, ops: Ops) -> float:
        """The probability from which on the error that underflow makes is below rounding."""
        if floor(ops, self.p) is not None:
            return REACH
        limits = ops.xp.finfo(self.p.dtype)
        return float(limits.smallest_normal) / float(limits.eps) ** 2

    def within_reach(self, ops: Ops) -> Array:
        """Counts whose probabilities are accurate, the target among them, (width + 1, rows)."""
        return (self.probabilities >= self.reach(ops)) | (counts(ops, self.rows, self.p) == self.target)


def floor(ops: Ops, like: Array) -> Array | None:
    """An error that the probabilities of each row, (rows,), can bear, or None where there is no need of one."""
    if not ops.eager_on_cpu or ops.xp.finfo(like.dtype).bits < 64:
        return None
    return fill(ops, (like.shape[1],), FLOOR, like)


def counts(ops: Ops, rows: Rows, like: Array) -> Array:
    """The counts 0 … width, (width + 1, 1)."""
    return iota(ops, rows.width + 1, like)[:, None]


def arrange(ops: Ops, logits: Array, width: int, sign: int = 1) -> Rows:
    """Rows whose counts from 0 to ``width`` are wanted, all negated if ``sign`` is −1."""
    by_row = flat_rows(ops, logits if sign == 1 else -logits)
    return Rows(items_first(ops, by_row), by_row, 0, sign, max(1, width))


def feasible(ops: Ops, rows: Rows) -> Array:
    """Counts that infinite logits leave possible, none in a row that holds NaN: (width + 1, rows)."""
    xp, theta = ops.xp, rows.logits
    whole = iota(ops, 1, theta).dtype
    always = xp.sum(xp.astype(theta == xp.inf, whole), axis=0)
    never = xp.sum(xp.astype(theta == -xp.inf, whole), axis=0)
    sound = ~xp.any(xp.isnan(theta), axis=0)
    count = counts(ops, rows, theta)
    return sound & (count >= always) & (count <= rows.size - never)


def typical(ops: Ops, rows: Rows) -> Array:
    """The mean of the count of independent items, rounded: (rows,)."""
    xp = ops.xp
    mean = xp.sum(sigmoids(ops, ops.stop_gradient(rows.logits))[0], axis=0)
    return xp.astype(xp.round(xp.where(xp.isnan(mean), xp.zeros_like(mean), mean)), iota(ops, 1, mean).dtype)


def nearest(ops: Ops, wanted: Array, count: Array) -> Array:
    """``count`` brought between the first and the last count of each row that is wanted."""
    xp = ops.xp
    marks = xp.astype(wanted, iota(ops, 1, wanted).dtype)
    last = marks.shape[0] - 1 - xp.argmax(xp.flip(marks, axis=0), axis=0)
    return xp.maximum(xp.minimum(count, last), xp.argmax(marks, axis=0))


def sweep(ops: Ops, rows: Rows, target: Array, wanted: Array, visit: Visit, state: State) -> State:
    """Tilt to ``target`` (rows,), then to the first count that still waits, until none of those ``wanted`` does.

    ``visit(tilted, waiting, state)`` returns the new state, and which of the waiting counts (width + 1, rows) are done.
    """
    xp = ops.xp

    def step(state: State) -> State:
        *so_far, target, waiting, _ = state
        found, done = visit(climb(ops, rows, target), waiting, tuple(so_far))
        waiting = waiting & ~done
        first = xp.argmax(xp.astype(waiting, target.dtype), axis=0)
        return (*found, xp.astype(first, target.dtype), waiting, ~xp.any(waiting, axis=0))

    state = (*state, target, wanted, ~xp.any(wanted, axis=0))
    return ops.repeat(step, state, rows.width + 2)[:-3]


def climb(ops: Ops, rows: Rows, target: Array) -> Tilted:
    """The inside pass under the tilt for the counts ``target``, (rows,)."""
    xp = ops.xp
    for_tilt = orient(ops, rows.by_row, xp.clip(target, 0, rows.size), rows.size)
    shift = tilt(ops, for_tilt) * for_tilt.sign
    t = rows.logits + shift
    p, q = sigmoids(ops, t)
    full = _tree.FullCounts(ops, rows.width, floor(ops, p))
    levels = _tree.inside(ops, full, _tree.leaves(ops, p, q), SEQUENTIAL_FROM if ops.scan else None, top=1)
    if ops.scan:
        last, prefixes = _sequential.forth(ops, ops.scan, levels[-1], rows.width)
        return Tilted(rows, target, shift, t, p, q, levels, prefixes, last)
    root = levels[-1][:, 0, :]
    return Tilted(rows, target, shift, t, p, q, levels, None, resize(ops, root, rows.width + 1))


def descend(ops: Ops, tilted: Tilted, weights: Array) -> Array:
    """The outside polynomials of the leaves, (2, n, rows), where the counts have ``weights``, (width + 1, rows)."""
    full, levels = _tree.FullCounts(ops, tilted.rows.width, floor(ops, tilted.p)), tilted.levels
    outer = weights[:, None, :]
    if ops.scan:
        outer = _sequential.back(ops, ops.scan, levels[-1], tilted.prefixes, weights)
    return _tree.outside(ops, full, levels, outer)[:, : tilted.rows.size, ...]


def count_log_probabilities(ops: Ops, logits: Array) -> Array:
    """The log-probability of every count of independent items, (..., n + 1); −∞ for impossible ones."""
    xp, n = ops.xp, logits.shape[-1]
    rows = arrange(ops, logits, n)
    possible = feasible(ops, rows)

    def visit(at: Tilted, waiting: Array, state: State) -> tuple[State, Array]:
        done = waiting & at.within_reach(ops)
        theta = xp.where(at.above(), -rows.logits, rows.logits)
        terms = xp.log(xp.maximum(at.p, at.q)) + softplus(ops, theta)
        value = xp.log(at.probabilities) + at.slope(ops) - compensated_sum(ops, xp.permute_dims(terms, (1, 0)))
        return (xp.where(done, value, state[0]),), done

    nothing = fill(ops, tuple(possible.shape), -float("inf"), logits)
    (found,) = sweep(ops, rows, nearest(ops, possible, typical(ops, rows)), possible, visit, (nothing,))
    found = xp.where(xp.any(possible, axis=0), found, fill(ops, (), float("nan"), found))
    return xp.reshape(xp.permute_dims(found[: n + 1, :], (1, 0)), (*logits.shape[:-1], n + 1))
