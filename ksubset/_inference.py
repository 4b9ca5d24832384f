"""The four primitives everything else is made of: λ and log P, both marginals, J·v, and exact samples."""

from dataclasses import dataclass
from math import prod

from ksubset import _sequential, _tree
from ksubset._layout import Rows, fill, items_first, items_last, orient
from ksubset._sampling import descend
from ksubset._spread import Forest
from ksubset._summation import column_sums, compensated_sum, dividing
from ksubset._tilt import sigmoids, tilt
from ksubset._tree import leaves
from ksubset._typing import Array, Ops
from ksubset._window import choose_counts

SEQUENTIAL_FROM = 3
"""Levels of the tree below the sequential engine: blocks of four items."""


@dataclass(frozen=True)
class Solution:
    """What the answers about a batch of rows are computed from.

    Attributes
    ----------
    tilted
        t = θ + λ, (..., n).
    log_volume
        log Σ_z exp(−Σ_i |t_i| · 1{z_i ≠ (t_i > 0)}) over the subsets z, (...): the log-normaliser as seen from the
        most likely outcome without the constraint. It is log P(Σz = k) − Σ log max(p, q), with the very p and q that
        entered P, so that their rounding cancels.
    chosen, unchosen
        The marginals μ and 1 − μ, (..., n), both with full relative accuracy.

    What was not asked for is None.
    """

    tilted: Array
    log_volume: Array = None
    chosen: Array = None
    unchosen: Array = None


def solve(
    ops: Ops,
    logits: Array,
    k: int | Array,
    width: int,
    *,
    volume: bool = True,
    chosen: bool = True,
    unchosen: bool = True,
) -> Solution:
    """Run the inside pass and, if marginals are wanted, the outside pass."""
    batch = tuple(logits.shape[:-1])
    rows = orient(ops, logits, k, width)
    t = rows.logits + tilt(ops, rows)
    p, q = sigmoids(ops, t)
    total, outer = _passes(ops, rows, p, q, down=chosen or unchosen)
    tilted = items_last(ops, t if isinstance(rows.sign, int) and rows.sign == 1 else t * rows.sign, batch)
    log_volume = ops.xp.reshape(_log_volume(ops, total, p, q), batch) if volume else None
    if outer is None:
        return Solution(tilted, log_volume)
    sides = (p, outer[1, ...], t), (q, outer[0, ...], -t)
    return Solution(tilted, log_volume, *_marginals(ops, rows, sides, batch, (chosen, unchosen)))


def _passes(ops: Ops, rows: Rows, p: Array, q: Array, *, down: bool) -> tuple[Array, Array]:
    """P(Σz = k), (rows,), and if wanted the outside polynomials of the leaves divided by it, (2, n, rows)."""
    if devices := dividing(ops, rows.size):
        return Forest(ops, devices, rows).passes(p, q)
    counts = choose_counts(ops, rows, p)
    scan = ops.scan if isinstance(counts, _tree.FullCounts) else None
    levels = _tree.inside(ops, counts, leaves(ops, p, q), SEQUENTIAL_FROM if scan else None)
    if scan:
        total, outer = _sequential.root(ops, scan, levels[-1], rows.count, rows.width)
    else:
        total, outer = _tree.root(ops, counts, levels, rows.count)
    return total, _tree.outside(ops, counts, levels, outer / total)[:, : rows.size, ...] if down else None


def _log_volume(ops: Ops, total: Array, p: Array, q: Array) -> Array:
    likely = ops.xp.permute_dims(ops.xp.maximum(p, q), (1, 0))
    return ops.xp.log(total) - compensated_sum(ops, ops.xp.log(likely))


def jacobian_product(ops: Ops, logits: Array, k: int | Array, width: int, v: Array) -> Array:
    """J · v, J = ∂μ/∂θ = Cov(z), by tangents through both passes; the shape of ``logits`` and ``v`` alike.

    The tangent is read from the less likely side of each item, which is where it keeps its relative accuracy.
    """
    batch = tuple(logits.shape[:-1])
    rows = orient(ops, logits, k, width)
    t = rows.logits + tilt(ops, rows)
    p, q = sigmoids(ops, t)
    push = _push(ops, p * q, items_first(ops, v), rows.logits)
    outer, douter = _tangent_passes(ops, rows, p, q, push)
    rise = push * outer[1, ...] + p * douter[1, ...]
    fall = push * outer[0, ...] - q * douter[0, ...]
    return items_last(ops, ops.xp.where(t > 0, fall, rise), batch)


def _tangent_passes(ops: Ops, rows: Rows, p: Array, q: Array, push: Array) -> tuple[Array, Array]:
    """The outside polynomials of the leaves divided by P(Σz = k), and their derivatives, (2, n, rows)."""
    if devices := dividing(ops, rows.size):
        return Forest(ops, devices, rows).tangent_passes(p, q, push)
    counts = choose_counts(ops, rows, p)
    scan = ops.scan if isinstance(counts, _tree.FullCounts) else None
    levels = _tree.inside(ops, counts, leaves(ops, p, q), SEQUENTIAL_FROM if scan else None)
    tangents = _tree.inside_tangents(ops, counts, levels, leaves(ops, push, -push, empty=0.0))
    if scan:
        top = levels[-1], tangents[-1]
        _, _, outer, douter = _sequential.root_tangents(ops, scan, *top, rows.count, rows.width)
    else:
        _, _, outer, douter = _tree.root_tangents(ops, counts, levels, tangents, rows.count)
    outer, douter = _tree.outside_tangents(ops, counts, levels, tangents, outer, douter)
    return outer[:, : rows.size, ...], douter[:, : rows.size, ...]


def draw(ops: Ops, logits: Array, k: int | Array, width: int, u: Array) -> Array:
    """Exact subsets, 0 and 1, from uniforms ``u``, draws + (..., n − 1): draws + (..., n), NaN in an infeasible row."""
    xp, (*batch, n) = ops.xp, logits.shape
    draws = tuple(u.shape[: u.ndim - logits.ndim])
    rows = orient(ops, logits, k, width)
    shift = tilt(ops, rows)
    p, q = sigmoids(ops, rows.logits + shift)
    counts = choose_counts(ops, rows, p, drawing=True)
    levels = _tree.inside(ops, counts, leaves(ops, p, q))
    u = xp.permute_dims(xp.reshape(u, (prod(draws), prod(batch), max(n - 1, 0))), (2, 0, 1))
    z = xp.astype(descend(ops, counts, levels, rows.count, u)[:n, ...], logits.dtype)
    z = z * rows.sign + (1 - rows.sign) / 2 + 0 * shift
    return xp.reshape(xp.permute_dims(z, (1, 2, 0)), (*draws, *batch, n))


def probability(ops: Ops, x: Array, t: Array) -> Array:
    """Take off what rounding put above 1; exactly 1 where t = ∞ leaves no choice."""
    one = fill(ops, (), 1.0, x)
    return ops.xp.where(t == ops.xp.inf, one, ops.xp.minimum(x, one))


def _push(ops: Ops, weights: Array, v: Array, logits: Array) -> Array:
    """``weights`` times ``v`` less its weighted mean, which J maps to 0 anyway; 0 at the items that ±∞ decides."""
    xp = ops.xp
    v = xp.where(xp.isinf(logits), fill(ops, (), 0.0, v), v)
    mean = weighted_mean(ops, weights, v)
    return 2 * weights * (v / 2 - mean / 2)  # v − mean overflows beside an item masked by the least float


def weighted_mean(ops: Ops, weights: Array, v: Array) -> Array:
    """Σ wv / Σ w over the items, for a result that no constant added to ``v`` changes: ``weights`` get no gradient."""
    weights = ops.stop_gradient(weights)
    return column_sums(ops, weights * v) / ops.xp.clip(column_sums(ops, weights), 1e-37, None)


def _marginals(
    ops: Ops,
    rows: Rows,
    sides: tuple[tuple[Array, Array, Array], ...],
    batch: tuple[int, ...],
    wanted: tuple[bool, bool],
) -> list[Array]:
    """The marginals that are wanted, exchanged in the rows that stand for their complement."""

    def one(side: tuple[Array, Array, Array]) -> Array:
        own, outer, t = side
        return items_last(ops, probability(ops, own * outer, t), batch)

    if isinstance(rows.sign, int):
        return [one(x) if w else None for x, w in zip(sides[:: rows.sign], wanted, strict=True)]
    flipped, pair = ops.xp.reshape(rows.sign < 0, (*batch, 1)), [one(x) for x in sides]
    return [ops.xp.where(flipped, pair[1], pair[0]), ops.xp.where(flipped, pair[0], pair[1])]
