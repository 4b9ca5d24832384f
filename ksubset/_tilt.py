"""The tilt λ: with p = σ(θ + λ) summing to about k, P(Σz = k) is never tiny and no logarithm is needed.

Adding λ to every logit leaves the k-subset distribution as it is, so λ need not be exact (a quarter of a standard
deviation of the count is plenty) and carries no gradient.
"""

from ksubset._layout import Rows, fill, iota
from ksubset._summation import column_sums
from ksubset._typing import Array, Ops, State

STEPS = 12
"""Newton steps allowed; eight settle every family of logits tried (tests/test_tilt.py)."""

NEAR = 0.25
"""Order statistics as close as this may be exchanged, or replaced by a value between them."""

FORCED = 200.0
"""Distance put between the two order statistics when one is infinite: items on the far side have probability 0."""

FAR = 50.0
"""Where the search stops telling logits apart; e^50 leaves room for the step, at most log 2n, in float32."""


def sigmoids(ops: Ops, t: Array) -> tuple[Array, Array]:
    """σ(t) and σ(−t), both with full relative accuracy, without a branch per item."""
    xp, zero = ops.xp, fill(ops, (), 0.0, t)
    rise, fall = xp.exp(xp.minimum(t, zero)), xp.exp(xp.minimum(-t, zero))
    scale = 1 / (rise + fall)
    return rise * scale, fall * scale


def tilt(ops: Ops, rows: Rows) -> Array:
    """Find λ for every row: (rows,), NaN where a row is infeasible or holds a NaN.

    The search starts at λ₀ = −(θ_(k) + θ_(k+1))/2, θ_(k) the k-th largest logit. The root is in
    [λ₀ − log(n − k), λ₀ + log k], the ends being reached where all logits are equal and k is 1 or n − 1; the bracket is
    wider by log 2, more than λ₀ may be off. Newton's method on the logit of Σp/n bisects where a step would leave it.
    """
    xp, n, logits = ops.xp, rows.size, ops.stop_gradient(rows.logits)
    if n == 0:
        return xp.sum(logits, axis=0)
    upper, lower, valid = _order_statistics(ops, rows)
    start = -(upper / 2 + lower / 2)
    count = xp.astype(iota(ops, 1, start) + rows.count, start.dtype)
    odds = xp.exp(xp.clip(logits + start, -FAR, FAR))
    zero = xp.zeros_like(start)
    state: State = (zero, zero - xp.log(2 * (n - count) + 2), zero + xp.log(2 * count + 2), ~valid)
    above = xp.astype(odds > 1, odds.dtype)
    surplus = column_sums(ops, above) - count
    shift = ops.repeat(lambda s: _step(ops, odds, above, surplus, count, n, s), state, STEPS)[0]
    return xp.where(valid, start + shift, fill(ops, (), float("nan"), start))


def _step(ops: Ops, odds: Array, above: Array, surplus: Array, count: Array, n: int, state: State) -> State:
    """One safeguarded Newton step for every row that has not settled.

    Σp − k is summed as Σ(p − above) + surplus, ``above`` marking the items over the gap and ``surplus`` their number
    less k: small terms, whose float32 sum is still good to a fraction of an item when k is large.
    """
    xp = ops.xp
    shift, low, high, settled = state
    raised = odds * xp.exp(shift)
    q = 1 / (1 + raised)
    p = raised * q
    excess, spread = column_sums(ops, p - above) + surplus, column_sums(ops, p * q)
    settled = settled | (excess * excess <= xp.clip(spread / 16, 1e-6, None))
    low = xp.where(excess < 0, shift, low)
    high = xp.where(excess < 0, high, shift)
    new = shift - _newton(ops, count + excess, spread, count, n)
    new = xp.where((new > low) & (new < high), new, (low + high) / 2)
    return xp.where(settled, shift, new), low, high, settled


def _newton(ops: Ops, total: Array, spread: Array, count: Array, n: int) -> Array:
    """Newton's step on logit(Σp/n) − logit(k/n), guarded so that a saturated row yields a large finite one."""
    xp, tiny = ops.xp, 1e-30
    rest = xp.clip(n - total, tiny, None)
    total = xp.clip(total, tiny, None)
    ratio = (total / rest) * (xp.clip(n - count, tiny, None) / xp.clip(count, tiny, None))
    return xp.log(ratio) * (total * rest / n) / xp.clip(spread, tiny, None)


def _order_statistics(ops: Ops, rows: Rows) -> tuple[Array, Array, Array]:
    """θ_(k), θ_(k+1) made finite, and which rows are feasible."""
    xp, infinity = ops.xp, ops.xp.inf
    upper, lower, valid = _ranked(ops, ops.stop_gradient(rows.by_row), rows.count)
    upper = xp.where(xp.zeros_like(valid) | (rows.count == 0), fill(ops, (), infinity, upper), upper)
    valid = valid & (upper != -infinity) & (lower != infinity)
    if not isinstance(rows.count, int):
        valid = valid & (rows.count >= 0) & (rows.count <= rows.width)
    all_chosen, none_left = upper == infinity, lower == -infinity
    zero = xp.zeros_like(upper)
    high = xp.where(all_chosen, xp.where(none_left, zero, lower + FORCED), upper)
    low = xp.where(none_left, xp.where(all_chosen, zero, upper - FORCED), lower)
    return xp.where(valid, high, zero), xp.where(valid, low, zero), valid


def _ranked(ops: Ops, logits: Array, count: int | Array) -> tuple[Array, Array, Array]:
    """The count-th and the next largest of each row, and which rows are free of NaN."""
    xp, (rows, n) = ops.xp, logits.shape
    if ops.ranked:
        return *ops.ranked(logits, count), ~xp.any(xp.isnan(logits), axis=-1)
    ordered = ops.sort(logits)
    sound = ~xp.isnan(ordered[:, n - 1])
    if isinstance(count, int):
        return ordered[:, min(n - count, n - 1)], ordered[:, n - 1 - count], sound
    flat, start = xp.reshape(ordered, (-1,)), iota(ops, rows, ordered) * n
    upper = xp.take(flat, start + xp.clip(n - count, None, n - 1), axis=0)
    return upper, xp.take(flat, start + xp.clip(n - 1 - count, None, n - 1), axis=0), sound
