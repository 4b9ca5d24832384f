"""The counts of a cardinality potential that one tilt serves, and their share in its moments."""

from dataclasses import dataclass
from math import log

from ksubset import _sequential, _tilts, _tree
from ksubset._inference import weighted_mean
from ksubset._layout import Rows, fill, items_first, resize
from ksubset._summation import column_sums
from ksubset._tilts import Tilted, climb, feasible, nearest, typical
from ksubset._typing import Array, Ops, State

HEAVIEST = {32: log(1e6), 64: log(1e90)}
"""By the bits of a float: the log-weight, relative to the probable counts, up to which a count may be out of reach.

The absolute error of its probability, n² of the smallest numbers, still disappears beside any marginal that matters.
"""


@dataclass(frozen=True)
class Weighted:
    """Rows with the log-weights of their counts as the engines see them.

    Attributes
    ----------
    rows
        Negated where fewer items are unchosen than chosen at most; then count c stands for n − c.
    log_weights, wanted
        ω, and which counts have a finite one and are possible: (width + 1, rows).
    """

    rows: Rows
    log_weights: Array
    wanted: Array

    @property
    def flipped(self) -> bool:
        """Whether chosen and unchosen have been exchanged."""
        return bool(self.rows.sign == -1)

    def these_counts(self, ops: Ops, x: Array) -> Array:
        """From all counts, (n + 1, rows), those of the engines, (width + 1, rows)."""
        return _these_counts(ops, self.rows, x)

    def every_count(self, ops: Ops, x: Array) -> Array:
        """The reverse of `these_counts`, with 0 for the rest."""
        size = self.rows.size + 1
        x = resize(ops, x, size)
        return ops.xp.flip(x, axis=0) if self.flipped else x


@dataclass(frozen=True)
class Part:
    """What the counts ``done`` under one tilt add up to.

    Attributes
    ----------
    done
        (width + 1, rows).
    log_total, log_volume
        The logarithm of their weight, −∞ if there are none, less the θ of all items above 0 or of those above the tilt:
        (rows,).
    weights
        What multiplies P_λ(c) to give ``counts``.
    counts
        The probability of each count within the part.
    """

    done: Array
    log_total: Array
    log_volume: Array
    weights: Array
    counts: Array


def arrange(ops: Ops, logits: Array, log_weights: Array, low: int, high: int) -> Weighted:
    """Lay out rows, (..., n), whose log-weights (..., n + 1) are −∞ outside of the counts ``low`` … ``high``."""
    size = logits.shape[-1]
    sign, width = (-1, size - low) if size - low < high else (1, high)
    rows = _tilts.arrange(ops, logits, width, sign)
    log_weights = _these_counts(ops, rows, items_first(ops, log_weights))
    wanted = feasible(ops, rows) & (log_weights > -ops.xp.inf) & ~ops.xp.any(ops.xp.isnan(log_weights), axis=0)
    return Weighted(rows, log_weights, wanted)


def _these_counts(ops: Ops, rows: Rows, x: Array) -> Array:
    x = ops.xp.flip(x, axis=0) if rows.sign == -1 else x
    return resize(ops, x, rows.width + 1)


def first_target(ops: Ops, given: Weighted) -> Array:
    """A count to tilt to first: about the mean, (rows,).

    Where the log-weights are not the same over a range of counts, a first inside pass finds out how they move the mean.
    """
    xp, omega, nowhere = ops.xp, given.log_weights, fill(ops, (), -float("inf"), given.log_weights)
    target = nearest(ops, given.wanted, typical(ops, given.rows))
    lowest, highest = (nearest(ops, given.wanted, xp.full_like(target, c)) for c in (0, given.rows.width))
    count = _tilts.counts(ops, given.rows, omega)
    top = xp.max(omega, axis=0)
    flat = xp.all((omega == top) | (count < lowest) | (count > highest), axis=0)
    if ops.eager_on_cpu and bool(xp.all(flat)):
        return target

    def refine(state: State) -> State:
        at = climb(ops, given.rows, state[0])
        log_terms = xp.where(given.wanted, omega + at.slope(ops) + xp.log(at.probabilities), nowhere)
        terms = xp.exp(log_terms - xp.max(log_terms, axis=0))
        mean = xp.sum(xp.astype(count, terms.dtype) * terms, axis=0) / xp.sum(terms, axis=0)
        mean = xp.round(xp.where(xp.isnan(mean), xp.astype(state[0], mean.dtype), mean))
        return xp.where(flat, state[0], xp.astype(mean, state[0].dtype)), xp.ones_like(flat)

    return ops.repeat(refine, (target, flat), 1)[0]


def part_of(ops: Ops, given: Weighted, at: Tilted, waiting: Array, so_far: Array) -> Part:
    """The waiting counts within reach, or all if the rest cannot matter; ``so_far`` is the log-total of other parts."""
    xp, nowhere = ops.xp, fill(ops, (), -float("inf"), at.p)
    slanted, reach = given.log_weights + at.slope(ops), at.within_reach(ops)
    peak = xp.max(xp.where(waiting & reach, slanted + xp.log(at.probabilities), nowhere), axis=0)
    volume, base = at.volume(ops), _base(ops, at)
    heaviest = HEAVIEST[xp.finfo(at.p.dtype).bits]
    rest = xp.max(xp.where(waiting & ~reach, slanted, nowhere), axis=0)
    enough = rest - xp.maximum(peak, so_far - volume - base) <= heaviest
    done = waiting & (reach | enough) & (peak > -xp.inf)
    peak = xp.where(xp.any(done, axis=0), peak, xp.zeros_like(peak))
    weights = xp.exp(xp.clip(xp.where(done, slanted, nowhere) - peak, None, -log(at.reach(ops))))
    counts = weights * at.probabilities
    total = xp.sum(counts, axis=0)
    log_volume = xp.where(xp.any(done, axis=0), volume + peak + xp.log(total), nowhere)
    return Part(done, base + log_volume, log_volume, weights / total, counts / total)


def _base(ops: Ops, at: Tilted) -> Array:
    """Σ θ over the items above the tilt less Σ θ over those above 0: (rows,).

    Where a sum of θ itself would overflow, items masked by the largest floats are on the same side of both.
    """
    xp, theta = ops.xp, at.rows.logits
    return -column_sums(ops, xp.where(at.above() == (theta > 0), xp.zeros_like(theta), xp.abs(theta)))


def part_product(
    ops: Ops, given: Weighted, at: Tilted, part: Part, v: Array, u: Array
) -> tuple[Array, Array, Array, Array]:
    """Outside polynomials of the leaves, and within the part the covariances of v · z + u(Σz) with z and the counts.

    Those with z are read from either side of the items.
    """
    xp, rows, levels = ops.xp, at.rows, at.levels
    middle = weighted_mean(ops, at.p * at.q, v)
    push = at.p * at.q * (v - middle)
    full = _tree.FullCounts(ops, rows.width, _tilts.floor(ops, at.p))
    tangents = _tree.inside_tangents(ops, full, levels, _tree.leaves(ops, push, -push, empty=0.0))
    if ops.scan:
        (_, change), prefixes = _sequential.forth_tangents(ops, ops.scan, levels[-1], tangents[-1], rows.width)
    else:
        change = tangents[-1][:, 0, :]
        change = resize(ops, change, rows.width + 1)
    u = u + middle * xp.astype(_tilts.counts(ops, rows, u), u.dtype)
    u = u - column_sums(ops, part.counts * u)
    moved = part.weights * change + part.counts * u
    total = column_sums(ops, moved)
    end = part.weights, part.weights * (u - total)
    if ops.scan:
        outer, douter = _sequential.back_tangents(ops, ops.scan, levels[-1], tangents[-1], prefixes, end)
    else:
        outer, douter = (x[:, None, :] for x in end)
    outer, douter = _tree.outside_tangents(ops, full, levels, tangents, outer, douter)
    outer, douter = outer[:, : rows.size, ...], douter[:, : rows.size, ...]
    rise = push * outer[1, ...] + at.p * douter[1, ...]
    fall = push * outer[0, ...] - at.q * douter[0, ...]
    return outer, rise, fall, moved - part.counts * total
