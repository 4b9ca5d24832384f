"""The tilt λ: with p = σ(θ + λ) summing to about k, P(Σz = k) is never tiny and no logarithm is needed.

Adding λ to every logit leaves the k-subset distribution as it is, so λ need not be exact (a quarter of a standard
deviation of the count is plenty) and carries no gradient.
"""

from dataclasses import dataclass

from ksubset._engine.arrays import entry_at, fill, iota, items_last, whole
from ksubset._engine.ops import Array, Ops, State, choose
from ksubset._engine.summation import item_sums

STEPS = 14
"""Newton steps allowed; ten settle every family of logits tried (tests/engine/test_tilt.py)."""

TOLERANCE = 0.25
"""Standard deviations by which Σp may miss k."""

NEAR = 0.25
"""Order statistics no further apart than this may be exchanged, or replaced by a value between them."""

FORCED = 200.0
"""Distance put between the two order statistics when one is infinite: items on the far side have probability 0."""

FAR = 50.0
"""Where the search stops telling logits apart; e^50 leaves room for the step, at most log 2n, in float32."""

NARROW = 40.0
"""Logits within this range have all their odds in float32, wherever the middle of the range is moved to."""


@dataclass(frozen=True)
class Tilt:
    """λ = start + shift, (...) each; NaN where a row is infeasible or holds a NaN.

    The two are never added up. ``start`` cancels logits of any magnitude exactly; beside it ``shift`` would be rounded
    away.
    """

    start: Array
    shift: Array

    def apply(self, logits: Array) -> Array:
        """Compute t = θ + λ, (n, ...)."""
        return (logits + self.start) + self.shift

    def times(self, count: Array) -> Array:
        """Compute λ · count, λ with the part that rounding would take from the sum of the two."""
        total = self.start + self.shift
        shadow = total - self.start
        rest = (self.start - (total - shadow)) + (self.shift - shadow)
        return count * total + count * rest


@dataclass(frozen=True)
class Bracket:
    """Where to look for the shift of each row, (...) each: between ``low`` and ``high``, beginning at ``guess``."""

    start: Array
    low: Array
    high: Array
    guess: Array
    valid: Array


def tilt(ops: Ops, logits: Array, k: int | Array) -> Tilt:
    """Find λ for every row of (n, ...) by Newton's method on logit(Σp/n), which bisects where a step would leave."""
    xp, logits = ops.xp, ops.stop_gradient(logits)
    if logits.shape[0] == 0:
        nothing = xp.sum(logits, axis=0)
        return Tilt(nothing, nothing)
    count = whole(ops, k, logits) + xp.zeros_like(logits[0, ...])
    bracket = _bracket(ops, logits, k, count)
    odds = xp.exp(xp.clip(logits + bracket.start, -FAR, FAR))
    state: State = (bracket.guess, bracket.low, bracket.high, ~bracket.valid)
    shift = ops.repeat(lambda s: _step(ops, odds, count, s), state, STEPS)[0]
    nan = fill(ops, (), float("nan"), shift)
    return Tilt(bracket.start, xp.where(bracket.valid, shift, nan))


def _step(ops: Ops, odds: Array, count: Array, state: State) -> State:
    """One safeguarded Newton step for every row that has not settled.

    Σp − k is summed as Σp over the unlikely items, less Σq over the likely items, plus the number of likely items less
    k: small terms, whose float32 sum is still good to a fraction of an item when k is large.
    """
    xp, n = ops.xp, odds.shape[0]
    shift, low, high, settled = state
    raised = odds * xp.exp(shift)
    q = 1 / (1 + raised)
    p = raised * q
    above = raised > 1
    excess = item_sums(ops, xp.where(above, -q, p)) + (item_sums(ops, xp.astype(above, p.dtype)) - count)
    spread = item_sums(ops, p * q)
    settled = settled | (excess * excess <= xp.clip(TOLERANCE**2 * spread, 1e-6, None))
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


def _bracket(ops: Ops, logits: Array, k: int | Array, count: Array) -> Bracket:
    """From the ends of the row's range where all rows are narrow, else from the logits beside the k-th gap."""
    xp, n = ops.xp, logits.shape[0]
    if not ops.sweeps or (isinstance(k, int) and not 0 < k < n):
        return Bracket(*_between_order_statistics(ops, logits, k, count))
    top, bottom = xp.max(logits, axis=0), xp.min(logits, axis=0)
    narrow = xp.all((top - bottom <= NARROW) & (count > 0.5) & (count < n - 0.5))
    found = choose(
        ops,
        narrow,
        lambda: _between_ends(ops, logits, count, top, bottom),
        lambda: _between_order_statistics(ops, logits, k, count),
    )
    return Bracket(*found)


def _between_ends(ops: Ops, logits: Array, count: Array, top: Array, bottom: Array) -> tuple[Array, ...]:
    """Σσ(θ + λ) = k has its root between logit(k/n) − max θ and logit(k/n) − min θ."""
    xp, n = ops.xp, logits.shape[0]
    start, half, level = -(top / 2 + bottom / 2), (top - bottom) / 2, xp.log(count / (n - count))
    mean = item_sums(ops, logits + start) / n
    return (start, level - half - 1, level + half + 1, level - mean, top == top)


def _between_order_statistics(ops: Ops, logits: Array, k: int | Array, count: Array) -> tuple[Array, ...]:
    """Start in the middle of the gap, λ₀ = −(θ_(k) + θ_(k+1))/2, θ_(k) the k-th largest logit.

    The root is in [λ₀ − log(n − k), λ₀ + log k], the ends being reached where all logits are equal and k is 1 or n − 1;
    the bracket is wider by log 2, more than λ₀ may be off.
    """
    xp, n = ops.xp, logits.shape[0]
    upper, lower, valid = _gap(ops, logits, k)
    zero = xp.zeros_like(upper)
    low, high = -xp.log(2 * xp.clip(n - count, 0, n) + 2), xp.log(2 * xp.clip(count, 0, n) + 2)
    return -(upper / 2 + lower / 2), low, high, zero, valid


def _gap(ops: Ops, logits: Array, k: int | Array) -> tuple[Array, Array, Array]:
    """θ_(k) and θ_(k+1) made finite, and which rows are feasible."""
    xp, n = ops.xp, logits.shape[0]
    infinity = fill(ops, (), float("inf"), logits)
    upper, lower, valid = _ranked(ops, logits, k)
    size = iota(ops, 1, logits)[0] + k
    upper, lower = xp.where(size == 0, infinity, upper), xp.where(size == n, -infinity, lower)
    valid = valid & (upper != -infinity) & (lower != infinity) & (size >= 0) & (size <= n)
    all_chosen, none_left = upper == infinity, lower == -infinity
    zero = xp.zeros_like(upper)
    high = xp.where(all_chosen, xp.where(none_left, zero, lower + FORCED), upper)
    low = xp.where(none_left, xp.where(all_chosen, zero, upper - FORCED), lower)
    return xp.where(valid, high, zero), xp.where(valid, low, zero), valid


def _ranked(ops: Ops, logits: Array, k: int | Array) -> tuple[Array, Array, Array]:
    """The k-th and the next largest of each row, anything for those that do not exist, and which rows have no NaN."""
    xp, n = ops.xp, logits.shape[0]
    if ops.ranked:
        return *ops.ranked(logits, k), ~xp.any(xp.isnan(logits), axis=0)
    ordered = ops.sort(items_last(ops, logits))
    sound = ~xp.isnan(ordered[..., n - 1])
    if isinstance(k, int):
        return ordered[..., min(n - k, n - 1)], ordered[..., max(n - 1 - k, 0)], sound
    place = iota(ops, n, logits) + k[..., None]
    return entry_at(ops, ordered, place == n), entry_at(ops, ordered, place == n - 1), sound
