"""The primitives on which everything else is built: λ and log P, both marginals, J·v, and exact samples.

A row is computed by the contour, or, where hardly anything is random, by exchanges; see ``ksubset._engine.contour`` and
``ksubset._engine.exchange``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from ksubset._engine import exchange
from ksubset._engine.arrays import fill, items_first, items_last
from ksubset._engine.contour import Form, curve, with_form
from ksubset._engine.exchange import Exchanges
from ksubset._engine.items import Items, Totals, centred, tilted, totals
from ksubset._engine.ops import Array, Ops, choose
from ksubset._engine.rows import orient
from ksubset._engine.sampling import descend
from ksubset._engine.tree import inside, leaves
from ksubset._engine.window import choose_counts


@dataclass(frozen=True)
class Solution:
    """The log-partition and the marginals of a batch of rows, from which all results are computed.

    Attributes
    ----------
    tilted
        t = θ + λ, (..., n).
    log_partition
        log Σ_z exp(−Σ_i |t_i| · 1{z_i ≠ (t_i > 0)}) over the subsets z, (...): the log-normaliser as seen from the
        most likely outcome without the constraint.
    chosen, unchosen
        The marginals μ and 1 − μ, (..., n), both with full relative accuracy.

    A quantity that was not asked for is None.
    """

    tilted: Array
    log_partition: Array = None
    chosen: Array = None
    unchosen: Array = None


def moments(
    ops: Ops,
    logits: Array,
    k: int | Array,
    *,
    partition: bool = True,
    chosen: bool = True,
    unchosen: bool = True,
) -> Solution:
    """The log-partition and the marginals, as far as they are asked for."""
    x = tilted(ops, items_first(ops, logits), k)
    sums, wanted = totals(ops, x, k), (partition, chosen, unchosen)

    def by_contour(form: Form) -> tuple[Array, ...]:
        found = curve(form)
        change = found.deviation() if chosen or unchosen else None
        return _those(
            wanted,
            lambda: ops.xp.log(found.total) + x.likeliest(ops),
            lambda: probability(ops, x.p * (1 + x.q * change), x.t),
            lambda: probability(ops, x.q * (1 - x.p * change), -x.t),
        )

    def by_exchange() -> tuple[Array, ...]:
        log_partition, side = Exchanges(ops, x, _odds(ops, x, sums)).moments()
        return _those(
            wanted,
            lambda: log_partition,
            lambda: ops.xp.where(x.chosen, 1 - side, side),
            lambda: ops.xp.where(x.chosen, side, 1 - side),
        )

    few = exchange.serves(ops, sums)
    found = iter(choose(ops, few, by_exchange, lambda: with_form(ops, x, sums, k, by_contour)))
    log_partition, *sides = (next(found) if one else None for one in wanted)
    return Solution(items_last(ops, x.t), log_partition, *(y if y is None else items_last(ops, y) for y in sides))


def _those(wanted: tuple[bool, ...], *answers: Callable[[], Array]) -> tuple[Array, ...]:
    return tuple(answer() for answer, one in zip(answers, wanted, strict=True) if one)


def _odds(ops: Ops, x: Items, sums: Totals) -> Array:
    """The odds in the rows that are computed by exchanges: elsewhere their powers would overflow."""
    few = exchange.serves(ops, sums)
    return ops.xp.where(few, x.odds, ops.xp.zeros_like(x.odds))


def jacobian_product(ops: Ops, logits: Array, k: int | Array, v: Array) -> Array:
    """J · v, J = ∂μ/∂θ = Cov(z); the shape of ``logits`` and ``v`` alike."""
    logits, v = items_first(ops, logits), items_first(ops, v)
    x = tilted(ops, logits, k)
    sums = totals(ops, x, k)

    def by_exchange() -> tuple[Array, ...]:
        odds = _odds(ops, x, sums)
        return (Exchanges(ops, x, odds).product(centred(ops, odds, v, logits)),)

    def by_contour(form: Form) -> tuple[Array, ...]:
        return (curve(form).product(centred(ops, x.spread, v, logits)),)

    few = exchange.serves(ops, sums)
    return items_last(ops, choose(ops, few, by_exchange, lambda: with_form(ops, x, sums, k, by_contour))[0])


def draw(ops: Ops, logits: Array, k: int | Array, width: int, u: Array) -> Array:
    """Exact subsets, 0 and 1, from uniforms ``u``, draws + (..., n − 1): draws + (..., n), NaN in an infeasible row.

    If a row chooses more than half of its items, the items that it leaves out are drawn instead.
    """
    xp, (*batch, n) = ops.xp, logits.shape
    draws, x = tuple(u.shape[: u.ndim - logits.ndim]), tilted(ops, items_first(ops, logits), k)
    rows = orient(ops, x, k, width)
    counts = choose_counts(ops, rows)
    levels = inside(counts, leaves(ops, rows.p, rows.q))
    u = xp.permute_dims(xp.reshape(u, (prod(draws), prod(batch), max(n - 1, 0))), (2, 0, 1))
    z = xp.astype(descend(ops, counts, levels, rows.count, u)[:n, ...], logits.dtype)
    z = xp.where(rows.flipped, 1 - z, z) + 0 * xp.sum(rows.p, axis=0)
    return xp.reshape(xp.permute_dims(z, (1, 2, 0)), (*draws, *batch, n))


def probability(ops: Ops, x: Array, t: Array) -> Array:
    """Clip at 1 where rounding went above it; exactly 1 where t = ∞ leaves no choice."""
    one = fill(ops, (), 1.0, x)
    return ops.xp.where(t == ops.xp.inf, one, ops.xp.minimum(x, one))
