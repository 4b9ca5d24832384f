"""Cardinality potentials, p(z) ∝ exp(θ · z + ω(Σz)): their moments under as many tilts as their counts need.

One tilt, at the mean of the count, serves where the counts that matter are within its reach, as they are if ω is
concave. Otherwise the counts are divided among several; the moments of the parts are merged as those of a mixture.

With T = (z, 1{Σz = 0}, …, 1{Σz = n}) this is the exponential family exp((θ, ω) · T): the mean of T is (μ, π), its
covariance J, and J · (v, u) = Cov(T, f), f = v · z + u(Σz).
"""

from dataclasses import dataclass

from ksubset._inference import probability
from ksubset._layout import fill, iota, items_first, items_last
from ksubset._parts import Part, Weighted, arrange, first_target, part_of, part_product
from ksubset._summation import column_sums
from ksubset._tilts import Tilted, Visit, descend, sweep
from ksubset._typing import Array, Ops, State


@dataclass(frozen=True)
class Mixture:
    """The moments of a batch of rows, NaN where no count is possible.

    Attributes
    ----------
    tilted
        t = θ + λ, (..., n), for the tilt of the part with the most weight.
    slope
        −λ(c − m), (..., n + 1), m the number of items with t > 0.
    log_volume
        log Σ_z exp(ω(Σz) + slope(Σz) − Σ_i |t_i| · 1{z_i ≠ (t_i > 0)}), (...): the log-normaliser less the θ of the m.
    chosen, unchosen
        The marginals μ and 1 − μ, (..., n).
    counts
        π, the probability of each count, (..., n + 1).
    """

    tilted: Array
    slope: Array
    log_volume: Array
    chosen: Array
    unchosen: Array
    counts: Array


def solve(ops: Ops, logits: Array, log_weights: Array, low: int, high: int) -> Mixture:
    """The moments of rows, (..., n), whose counts have log-weights (..., n + 1), −∞ outside of ``low`` … ``high``."""
    xp, batch = ops.xp, tuple(logits.shape[:-1])
    given = arrange(ops, logits, log_weights, low, high)

    def visit(at: Tilted, waiting: Array, state: State) -> tuple[State, Array]:
        part = part_of(ops, given, at, waiting, state[0])
        outer = descend(ops, at, part.weights)
        return _mixed(ops, state, part, at.shift, (*_sides(ops, at, outer), part.counts)), part.done

    items = xp.zeros_like(given.rows.logits)
    log_total, shift, log_volume, *sides, chances = _run(
        ops, given, visit, [items, items, xp.zeros_like(given.log_weights)]
    )
    bad = _bad(ops, log_total)
    t = (given.rows.logits + shift) * given.rows.sign + bad
    chosen, unchosen = (items_last(ops, x + bad, batch) for x in (sides[::-1] if given.flipped else sides))
    chances = items_last(ops, given.every_count(ops, chances + bad), batch)
    t, shift = items_last(ops, t, batch), xp.reshape(shift * given.rows.sign, batch)
    return Mixture(t, slope(ops, t, shift), xp.reshape(log_volume + bad, batch), chosen, unchosen, chances)


def product(
    ops: Ops, logits: Array, log_weights: Array, low: int, high: int, v: Array, u: Array
) -> tuple[Array, Array]:
    """J · (v, u): the covariances of v · z + u(Σz) with z, (..., n), and with each count's indicator, (..., n + 1).

    As in `ksubset._inference.jacobian_product` those with z are read from the less likely side of each item.
    """
    xp, batch = ops.xp, tuple(logits.shape[:-1])
    given = arrange(ops, logits, log_weights, low, high)
    v = items_first(ops, xp.where(xp.isinf(logits), xp.zeros_like(v), v)) * given.rows.sign
    u = given.these_counts(ops, items_first(ops, u))
    u = xp.where(given.wanted, u, xp.zeros_like(u))

    def visit(at: Tilted, waiting: Array, state: State) -> tuple[State, Array]:
        part = part_of(ops, given, at, waiting, state[0])
        outer, *changes = part_product(ops, given, at, part, v, u)
        means = (*_sides(ops, at, outer), part.counts)
        mean = column_sums(ops, v * means[0]) + column_sums(ops, u * part.counts)
        share, gap = _share(ops, state[0], part), mean - state[6]
        old = zip(means, state[3:6], (1, -1, 1), state[7:], changes, strict=True)
        crossed = [
            _blend(ops, share, y, dy) + _within(ops, share, share * (1 - share) * gap * sign * (x - was))
            for x, was, sign, y, dy in old
        ]
        return (*_mixed(ops, state[:6], part, at.shift, means), _blend(ops, share, state[6], mean), *crossed), part.done

    items = xp.zeros_like(given.rows.logits)
    state = [
        items,
        items,
        xp.zeros_like(given.log_weights),
        column_sums(ops, items),
        items,
        items,
        xp.zeros_like(given.log_weights),
    ]
    log_total, _, _, chosen, unchosen, _, _, rise, fall, moved = _run(ops, given, visit, state)
    bad = _bad(ops, log_total)
    image = xp.where(chosen > unchosen, fall, rise) * given.rows.sign + bad
    return items_last(ops, image, batch), items_last(ops, given.every_count(ops, moved + bad), batch)


def _run(ops: Ops, given: Weighted, visit: Visit, moments: list[Array]) -> State:
    """Sweep from log-total −∞; the state is the log-total, the tilt and log-volume of its largest part, the moments."""
    target = first_target(ops, given)
    none = fill(ops, tuple(target.shape), 0.0, given.log_weights)
    return sweep(ops, given.rows, target, given.wanted, visit, (none - ops.xp.inf, none, none, *moments))


def _mixed(ops: Ops, state: State, part: Part, shift: Array, means: tuple[Array, ...]) -> State:
    """The state after a part has been added."""
    xp, (total, old_shift, old_volume, *old) = ops.xp, state
    share, larger = _share(ops, total, part), part.log_total > total
    top = xp.where(larger, part.log_total, total)
    log_total = xp.where(xp.isinf(top), top, top - xp.log(xp.where(larger, share, 1 - share)))
    volume = xp.where(larger, part.log_volume, old_volume) + xp.where(
        xp.isinf(top), xp.zeros_like(top), log_total - top
    )
    merged = (_blend(ops, share, x, y) for x, y in zip(old, means, strict=True))
    return log_total, xp.where(larger, shift, old_shift), volume, *merged


def _share(ops: Ops, total: Array, part: Part) -> Array:
    """The part's share in its sum with what was there before: exactly 1 for the first, exactly 0 for an empty one."""
    xp, zero = ops.xp, ops.xp.zeros_like(total)
    gap = xp.where(part.log_total == -xp.inf, part.log_total, part.log_total - total)
    rise, fall = xp.exp(xp.minimum(gap, zero)), xp.exp(xp.minimum(-gap, zero))
    return rise / (rise + fall)


def _blend(ops: Ops, share: Array, old: Array, new: Array) -> Array:
    mixed = old + _within(ops, share, share * (new - old))
    return ops.xp.where(share == 1, new, mixed)


def _within(ops: Ops, share: Array, x: Array) -> Array:
    """0 unless the new part has a share: what an empty one holds may be NaN."""
    return ops.xp.where(share > 0, x, ops.xp.zeros_like(x))


def _sides(ops: Ops, at: Tilted, outer: Array) -> tuple[Array, Array]:
    return probability(ops, at.p * outer[1, ...], at.t), probability(ops, at.q * outer[0, ...], -at.t)


def slope(ops: Ops, t: Array, shift: Array) -> Array:
    """−λ(c − m) for the counts c = 0 … n, m the number of items with t > 0: (..., n + 1)."""
    xp, whole = ops.xp, iota(ops, 1, t).dtype
    most = xp.sum(xp.astype(t > 0, whole), axis=-1)[..., None]
    return -shift[..., None] * xp.astype(iota(ops, t.shape[-1] + 1, t) - most, t.dtype)


def _bad(ops: Ops, log_total: Array) -> Array:
    """NaN for the rows without a possible count, else 0."""
    xp = ops.xp
    return xp.where(xp.isfinite(log_total), xp.zeros_like(log_total), fill(ops, (), float("nan"), log_total))
