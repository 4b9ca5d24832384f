"""Cardinality potentials: the sizes that a subset may have, and the sizes that one tilt serves."""

from dataclasses import dataclass
from math import ldexp

from ksubset._engine.arrays import fill, iota, items_first
from ksubset._engine.items import Items, Totals, items, totals
from ksubset._engine.ops import Array, Ops
from ksubset._engine.summation import item_sums
from ksubset._engine.tilt import Tilt, tilt

BELOW_ALL = {32: 110.0, 64: 760.0}
"""By the bits of a float: e^−x is below the smallest float for this x."""

REACH = 2.0
"""Standard deviations from the target within which sizes may be served."""


@dataclass(frozen=True)
class Sizes:
    """Rows and the log-weights of the sizes from ``low`` on.

    Attributes
    ----------
    logits
        (n, ...).
    low
        The first size.
    log_weights, wanted
        ω, and which sizes are possible and have a finite ω: (sizes, ...).
    """

    ops: Ops
    logits: Array
    low: int
    log_weights: Array
    wanted: Array

    @property
    def unit(self) -> float:
        """The unit of logarithms of whole rows, a factor so small that sums of the largest floats do not overflow."""
        return ldexp(1.0, -(self.logits.shape[0].bit_length() + 2))

    def count(self) -> Array:
        """The sizes as numbers, (sizes, 1, …)."""
        places = iota(self.ops, self.log_weights.shape[0], self.logits) + self.low
        return self.ops.xp.reshape(self.ops.xp.astype(places, self.logits.dtype), (-1, *(1,) * (self.logits.ndim - 1)))

    def first(self, waiting: Array, beyond: Array) -> Array:
        """A size about ``beyond`` the first that waits but not above the last, whole numbers (...)."""
        xp = self.ops.xp
        marks = xp.astype(waiting, iota(self.ops, 1, waiting).dtype)
        first, last = xp.argmax(marks, axis=0), marks.shape[0] - 1 - xp.argmax(xp.flip(marks, axis=0), axis=0)
        return self.low + xp.minimum(first + xp.astype(xp.floor(beyond), first.dtype), last)


def sizes(ops: Ops, logits: Array, log_weights: Array, low: int, high: int) -> Sizes:
    """Lay out rows, (..., n), whose log-weights (..., n + 1) are −∞ outside of the sizes ``low`` … ``high``."""
    xp, theta = ops.xp, items_first(ops, logits)
    omega = items_first(ops, log_weights)[low : high + 1, ...]
    plain = Sizes(ops, theta, low, omega, omega > -xp.inf)
    always, never = (xp.sum(xp.astype(theta == end, theta.dtype), axis=0) for end in (xp.inf, -xp.inf))
    sound = ~xp.any(xp.isnan(theta), axis=0) & xp.all(omega < xp.inf, axis=0)
    possible = (plain.count() >= always) & (plain.count() <= theta.shape[0] - never)
    return Sizes(ops, theta, low, omega, plain.wanted & possible & sound)


def likely_size(given: Sizes) -> Array:
    """A size to tilt to first, whole numbers (...): the likeliest if the count of independent items were normal."""
    ops, xp = given.ops, given.ops.xp
    x = items(ops, ops.stop_gradient(given.logits))
    mean, variance = item_sums(ops, x.p), item_sums(ops, x.spread)
    mean = xp.where(xp.isnan(mean), xp.zeros_like(mean), mean)
    gap = given.count() - mean
    score = given.log_weights - gap * gap / (2 * xp.where(variance > 0.25, variance, xp.full_like(variance, 0.25)))
    return given.low + xp.argmax(xp.where(given.wanted, score, fill(ops, (), -float("inf"), score)), axis=0)


@dataclass(frozen=True)
class Tilted:
    """Rows under the tilt to the sizes ``target``, (...); it may serve the sizes that are ``near``, (sizes, ...)."""

    given: Sizes
    target: Array
    tilt: Tilt
    x: Items
    totals: Totals
    near: Array

    @property
    def ahead(self) -> Array:
        """Each size less the target, (sizes, ...)."""
        return self.given.count() - self.given.ops.xp.astype(self.target, self.x.t.dtype)

    def reach(self) -> Array:
        """How far from the target sizes are near, (...); 0 where that cannot be told."""
        xp, width = self.given.ops.xp, REACH * self.given.ops.xp.sqrt(self.totals.variance)
        return xp.where(xp.isnan(width), xp.zeros_like(width), width)

    def slanted(self) -> Array:
        """ω(c) − λ(c − m), m the number of likely items, in the unit of the sizes: (sizes, ...)."""
        return self._slanted(self.ahead - self.totals.ahead)

    def slanted_at_target(self) -> Array:
        """ω(c) − λ(c − target): beside the weight of the target a large λ(m − target) would take all digits."""
        return self._slanted(self.ahead)

    def _slanted(self, ahead: Array) -> Array:
        unit = self.given.unit
        return unit * self.given.log_weights - self.tilt.times(unit * ahead)

    def base(self) -> Array:
        """Σ θ over the likely items less Σ θ over those above 0, in the unit of the sizes: (...)."""
        ops, xp, theta = self.given.ops, self.given.ops.xp, self.given.logits
        apart = xp.where(self.x.chosen == (theta > 0), xp.zeros_like(theta), xp.abs(theta))
        return -item_sums(ops, self.given.unit * apart)

    def negligible(self, log_total: Array) -> Array:
        """The sizes whose probabilities are below all floats beside e^log_total, in the unit of the sizes.

        By Bernstein's inequality the probability of a size that is d away from the mean is below e^(−d²/(2V + 2d/3)).
        """
        ops, xp, unit = self.given.ops, self.given.ops.xp, self.given.unit
        gap, limit = xp.abs(self.ahead - self.totals.gap), BELOW_ALL[xp.finfo(log_total.dtype).bits]
        most = self.x.likeliest(ops) - gap * gap / (2 * self.totals.variance + gap * (2 / 3) + 1e-30)
        return (self.slanted() + self.base() - log_total) / unit + most < -limit


def climb(given: Sizes, target: Array) -> Tilted:
    """Tilt to ``target``, (...)."""
    ops, xp = given.ops, given.ops.xp
    found = tilt(ops, given.logits, target)
    x = items(ops, found.apply(given.logits))
    sums = totals(ops, x, target, REACH)
    gap = xp.abs(given.count() - xp.astype(target, x.t.dtype))
    return Tilted(given, target, found, x, sums, gap <= REACH * xp.sqrt(sums.variance))
