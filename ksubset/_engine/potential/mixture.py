"""Cardinality potentials, p(z) ∝ exp(θ · z + ω(Σz)): their moments, under several tilts if the sizes need them.

One tilt, at the mean of the size, serves the sizes around it; sizes further away wait for a tilt of their own. The
moments of the parts are merged as in a mixture: all terms are positive, so that relative accuracy is kept.

With T = (z, 1{Σz = 0}, …, 1{Σz = n}) this is the exponential family exp((θ, ω) · T): the mean of T is (μ, π), its
covariance J, and J · (v, u) = Cov(T, f), f = v · z + u(Σz).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ksubset._engine.arrays import fill, iota, items_first, items_last, pad
from ksubset._engine.inference import probability
from ksubset._engine.ops import Array, Ops, State
from ksubset._engine.potential.parts import Part, log_probabilities, part_of, part_product
from ksubset._engine.potential.sizes import Sizes, Tilted, climb, likely_size, sizes
from ksubset._engine.summation import item_sums
from ksubset._engine.tilt import Tilt


@dataclass(frozen=True)
class Mixture:
    """The moments of a batch of rows, NaN where no size is possible.

    Attributes
    ----------
    tilted
        t = θ + λ, (..., n), for the tilt of the part with the most weight.
    slope
        −λ(c − r), (..., n + 1), r the size that this part was tilted to: exactly 0 there, however large λ is.
    lead
        λ(m − r), (...), m the number of items with t > 0.
    log_partition
        log Σ_z exp(ω(Σz) + slope(Σz) − Σ_i |t_i| · 1{z_i ≠ (t_i > 0)}), (...): the log-normaliser less lead and the θ
        of the m.
    chosen, unchosen
        The marginals μ and 1 − μ, (..., n).
    counts
        π, the probability of each size, (..., n + 1).
    """

    tilted: Array
    slope: Array
    lead: Array
    log_partition: Array
    chosen: Array
    unchosen: Array
    counts: Array


Visit: TypeAlias = Callable[[Tilted, Array, State], tuple[State, Array]]


def sweep(given: Sizes, visit: Visit, state: State) -> State:
    """Tilt to a likely size first, then near the first size that still waits, until none does.

    ``visit(at, waiting, state)`` returns the new state, and which of the waiting sizes (sizes, ...) are done.
    """
    ops, xp = given.ops, given.ops.xp

    def step(state: State) -> State:
        *so_far, target, waiting, _ = state
        at = climb(given, target)
        found, done = visit(at, waiting, tuple(so_far))
        waiting = waiting & ~done
        return (*found, given.first(waiting, at.reach() / 2), waiting, ~xp.any(waiting, axis=0))

    state = (*state, likely_size(given), given.wanted, ~xp.any(given.wanted, axis=0))
    return ops.repeat(step, state, 2 * given.wanted.shape[0] + 4)[:-3]


def moments(ops: Ops, logits: Array, log_weights: Array, low: int, high: int) -> Mixture:
    """The moments of rows, (..., n), whose sizes have log-weights (..., n + 1), −∞ outside of ``low`` … ``high``."""
    xp, given = ops.xp, sizes(ops, logits, log_weights, low, high)

    def visit(at: Tilted, waiting: Array, state: State) -> tuple[State, Array]:
        part = part_of(at, waiting)
        merged = _merged(given, state, part, at, _means(part))
        return merged, part.done | at.negligible(merged[0])

    items = xp.zeros_like(given.logits)
    log_total, start, shift, center, log_partition, *means = sweep(given, visit, _nothing(given, items, items))
    bad, tilt = _bad(ops, log_total), Tilt(start, shift)
    t = tilt.apply(given.logits) + bad
    chosen, unchosen = probability(ops, means[0] + bad, t), probability(ops, means[1] + bad, -t)
    chances = _every_size(ops, logits, low, means[2] + bad)
    slope, lead = slopes(ops, t, tilt, center)
    tilted, slope, chosen, unchosen, chances = (items_last(ops, x) for x in (t, slope, chosen, unchosen, chances))
    return Mixture(tilted, slope, lead, log_partition + bad, chosen, unchosen, chances)


def product(
    ops: Ops, logits: Array, log_weights: Array, low: int, high: int, v: Array, u: Array
) -> tuple[Array, Array]:
    """J · (v, u): the covariances of v · z + u(Σz) with z, (..., n), and with each size's indicator, (..., n + 1)."""
    xp, given = ops.xp, sizes(ops, logits, log_weights, low, high)
    v = items_first(ops, xp.where(xp.isinf(logits), xp.zeros_like(v), v))
    u = items_first(ops, u)[low : high + 1, ...]
    u = xp.where(given.wanted, u, xp.zeros_like(u))

    def visit(at: Tilted, waiting: Array, state: State) -> tuple[State, Array]:
        part, (old_mean, *old_changes) = part_of(at, waiting), state[8:]
        changes, means = part_product(at, part, v, u), _means(part)
        mean = item_sums(ops, v * part.chosen) + xp.sum(u * part.sizes, axis=0)
        share = _share(given, state[0], part)
        cross = share.new * share.old * (mean - old_mean)
        apart = xp.where(part.chosen > part.unchosen, state[6] - part.unchosen, part.chosen - state[5])
        crossed = [
            share.merged(x, y) + share.within(cross * z)
            for x, y, z in zip(old_changes, changes, (apart, part.sizes - state[7]), strict=True)
        ]
        merged = _merged(given, state[:8], part, at, means)
        return (*merged, share.merged(old_mean, mean), *crossed), part.done | at.negligible(merged[0])

    items = xp.zeros_like(given.logits)
    none = xp.sum(items, axis=0)
    state = (*_nothing(given, items, items), none, items, xp.zeros_like(given.log_weights))
    log_total, *_, image, moved = sweep(given, visit, state)
    bad = _bad(ops, log_total)
    return items_last(ops, image + bad), items_last(ops, _every_size(ops, logits, low, moved + bad))


def count_log_probabilities(ops: Ops, logits: Array) -> Array:
    """The log-probability of every count of independent items, (..., n + 1); −∞ for impossible ones."""
    xp, n, batch = ops.xp, logits.shape[-1], tuple(logits.shape[:-1])
    given = sizes(ops, logits, fill(ops, (*batch, n + 1), 0.0, logits), 0, n)

    def visit(at: Tilted, waiting: Array, state: State) -> tuple[State, Array]:
        done, value = log_probabilities(at, waiting)
        return (xp.where(done, value, state[0]),), done

    (found,) = sweep(given, visit, (fill(ops, tuple(given.wanted.shape), -float("inf"), logits),))
    found = xp.where(xp.any(given.wanted, axis=0), found, fill(ops, (), float("nan"), found))
    return items_last(ops, found)


@dataclass(frozen=True)
class Share:
    """The shares of the earlier parts and of a new part in their sum; exactly 0 for an empty side."""

    ops: Ops
    old: Array
    new: Array

    def merged(self, x: Array, y: Array) -> Array:
        """The mean of two moments."""
        return self.within(self.new * y) + self.old * x

    def within(self, x: Array) -> Array:
        """``x``, or 0 if the new part has no share: an empty part may hold NaN."""
        return self.ops.xp.where(self.new > 0, x, self.ops.xp.zeros_like(x))


def _share(given: Sizes, total: Array, part: Part) -> Share:
    ops, xp, zero = given.ops, given.ops.xp, given.ops.xp.zeros_like(total)
    gap = xp.where(part.log_total == -xp.inf, part.log_total, (part.log_total - total) / given.unit)
    rise, fall = xp.exp(xp.minimum(gap, zero)), xp.exp(xp.minimum(-gap, zero))
    return Share(ops, fall / (rise + fall), rise / (rise + fall))


def _means(part: Part) -> tuple[Array, Array, Array]:
    return part.chosen, part.unchosen, part.sizes


def _nothing(given: Sizes, chosen: Array, unchosen: Array) -> State:
    """The state before the first part: the log-total; λ, target and log-partition of the largest part; the moments."""
    none = given.ops.xp.sum(given.ops.xp.zeros_like(chosen), axis=0)
    sizes = given.ops.xp.zeros_like(given.log_weights)
    return none - given.ops.xp.inf, none, none, none, none, chosen, unchosen, sizes


def _merged(given: Sizes, state: State, part: Part, at: Tilted, means: tuple[Array, ...]) -> State:
    """The state after a part has been added."""
    xp, (total, start, shift, center, partition, *old) = given.ops.xp, state
    share, larger = _share(given, total, part), part.log_total > total
    top = xp.where(larger, part.log_total, total)
    more = xp.where(xp.isinf(top), xp.zeros_like(top), -xp.log(xp.where(larger, share.new, share.old)))
    log_total, partition = top + given.unit * more, xp.where(larger, part.log_partition, partition) + more
    start, shift = xp.where(larger, at.tilt.start, start), xp.where(larger, at.tilt.shift, shift)
    center = xp.where(larger, xp.astype(at.target, center.dtype), center)
    return log_total, start, shift, center, partition, *(share.merged(x, y) for x, y in zip(old, means, strict=True))


def _every_size(ops: Ops, logits: Array, low: int, x: Array) -> Array:
    """(sizes, ...) to (n + 1, ...), 0 for the sizes below ``low`` and above the last."""
    return pad(ops, x, low, logits.shape[-1] + 1 - low - x.shape[0])


def slopes(ops: Ops, t: Array, tilt: Tilt, center: Array) -> tuple[Array, Array]:
    """−λ(c − r) for c = 0 … n, (n + 1, ...), and λ(m − r), (...): r the center, m the number of items with t > 0."""
    xp, n = ops.xp, t.shape[0]
    count = xp.reshape(xp.astype(iota(ops, n + 1, t), t.dtype), (-1, *(1,) * (t.ndim - 1)))
    return -tilt.times(count - center), tilt.times(xp.sum(xp.astype(t > 0, t.dtype), axis=0) - center)


def _bad(ops: Ops, log_total: Array) -> Array:
    """NaN for the rows without a possible size, else 0."""
    xp = ops.xp
    return xp.where(xp.isfinite(log_total), xp.zeros_like(log_total), fill(ops, (), float("nan"), log_total))
