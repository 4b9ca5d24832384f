"""The items of a batch as independent Bernoulli variables under a tilt, from which every engine starts."""

from dataclasses import dataclass

from ksubset._engine.arrays import fill, items_last, whole
from ksubset._engine.ops import Array, Ops
from ksubset._engine.summation import compensated_sum, item_sums
from ksubset._engine.tilt import TOLERANCE, tilt


@dataclass(frozen=True)
class Items:
    """Bernoulli variables with log-odds t, (n, ...): the items are the first axis here and in all engines.

    Attributes
    ----------
    t
        θ + λ.
    chosen
        Which items are more likely chosen than not, t > 0.
    odds
        Of the less likely side, e^−|t|.
    p, q
        σ(t) and σ(−t), both with full relative accuracy.
    spread
        pq.
    lean
        q − p.
    """

    t: Array
    chosen: Array
    odds: Array
    p: Array
    q: Array
    spread: Array
    lean: Array

    def likeliest(self, ops: Ops) -> Array:
        """−log of the probability of the likeliest outcome, Σ log(1 + e^−|t|): (...)."""
        return compensated_sum(ops, items_last(ops, ops.xp.log1p(self.odds)))


@dataclass(frozen=True)
class Totals:
    """Sums over a row's items that describe its counts, (...) each and without a gradient.

    Attributes
    ----------
    variance
        Σpq.
    ahead
        The number of likely items less k, a whole number.
    gap
        Σp − k.
    reach
        A bound on |Σp − c| over all counts c that are asked about.
    deviations
        A bound on the reach in standard deviations, one number.
    """

    variance: Array
    ahead: Array
    gap: Array
    reach: Array
    deviations: float


def totals(ops: Ops, x: Items, k: int | Array, deviations: float = 0.0) -> Totals:
    """The totals, as sums of small terms, for k and for counts within ``deviations`` standard deviations of k."""
    xp = ops.xp
    ahead = item_sums(ops, xp.astype(x.chosen, x.t.dtype)) - whole(ops, k, x.t)
    p, q, spread = (ops.stop_gradient(y) for y in (x.p, x.q, x.spread))
    variance, gap = item_sums(ops, spread), ahead + item_sums(ops, xp.where(x.chosen, -q, p))
    return Totals(variance, ahead, gap, xp.abs(gap) + deviations * xp.sqrt(variance), deviations + TOLERANCE)


def tilted(ops: Ops, logits: Array, k: int | Array) -> Items:
    """The items of rows (n, ...) under the tilt to k."""
    return items(ops, tilt(ops, logits, k).apply(logits))


def items(ops: Ops, t: Array) -> Items:
    """The items with log-odds t."""
    xp, chosen = ops.xp, t > 0
    odds = xp.exp(xp.where(chosen, -t, t))
    likely = 1 / (1 + odds)
    unlikely = odds * likely
    gap = (1 - odds) * likely
    p, q = xp.where(chosen, likely, unlikely), xp.where(chosen, unlikely, likely)
    return Items(t, chosen, odds, p, q, unlikely * likely, xp.where(chosen, -gap, gap))


def centred(ops: Ops, weights: Array, v: Array, logits: Array) -> Array:
    """``weights`` times ``v`` less its weighted mean, which J maps to 0 anyway; 0 at the items that ±∞ decides."""
    xp = ops.xp
    v = xp.where(xp.isinf(logits), fill(ops, (), 0.0, v), v)
    fixed = ops.stop_gradient(weights)
    mean = item_sums(ops, fixed * v) / xp.clip(item_sums(ops, fixed), 1e-37, None)
    return 2 * weights * (v / 2 - mean / 2)  # v − mean overflows beside an item masked by the least float
