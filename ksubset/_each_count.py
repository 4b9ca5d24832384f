"""Cardinality potentials as what they are by definition, mixtures over k of k-subset distributions: a tilt for each k.

This takes as many times the work as there are counts, but no loop whose length depends on values: it serves where
those cannot be read, and where a framework differentiates its way through the product.
"""

from dataclasses import dataclass

from ksubset import _functions
from ksubset._inference import Solution, jacobian_product
from ksubset._inference import solve as solve_rows
from ksubset._layout import fill, iota, orient
from ksubset._mixture import Mixture, slope
from ksubset._summation import compensated_sum
from ksubset._tilt import tilt
from ksubset._typing import Array, Ops


@dataclass(frozen=True)
class Counts:
    """The rows, once for each of the counts ``low`` … ``high``.

    Attributes
    ----------
    logits
        (..., counts, n).
    k
        Integers (..., counts); where infinite logits rule a count out, one that they allow.
    width
        A static bound of min(k, n − k).
    possible
        Which counts have a weight and are allowed, (..., counts).
    log_weights
        (..., counts).
    """

    logits: Array
    k: Array
    width: int
    possible: Array
    log_weights: Array

    def solve(self, ops: Ops) -> Solution:
        """The moments given each count."""
        return solve_rows(ops, self.logits, self.k, self.width)

    def volumes(self, ops: Ops, found: Solution, shift: Array) -> Array:
        """log e_c less θ of the items with t > 0 and plus λ(c − m), t = θ + λ: (..., counts)."""
        xp, n = ops.xp, self.logits.shape[-1]
        t, own = ops.sort(self.logits + shift[..., None, None]), ops.sort(found.tilted)
        top, above = iota(ops, n, t) >= n - self.k[..., None], t > 0
        moved = xp.where(top == above, xp.zeros_like(t), xp.where(above, -t, t))
        terms = moved + _functions.positive_part(ops, xp.where(top, -own, own))
        return compensated_sum(ops, terms) + found.log_volume

    def gauge(self, ops: Ops, found: Solution) -> Array:
        """The tilt of the most likely count, (...)."""
        xp, rows = ops.xp, orient(ops, self.logits, self.k, self.width)
        shifts = xp.reshape(tilt(ops, rows) * rows.sign, tuple(self.k.shape))
        terms = self.log_weights + self.volumes(ops, found, xp.zeros_like(shifts[..., 0]))
        best = xp.argmax(xp.where(self.possible, terms, -xp.inf + xp.zeros_like(terms)), axis=-1, keepdims=True)
        chosen = iota(ops, self.k.shape[-1], shifts) == best
        return ops.stop_gradient(xp.sum(xp.where(chosen, shifts, xp.zeros_like(shifts)), axis=-1))

    def chances(self, ops: Ops, found: Solution, shift: Array, slopes: Array) -> tuple[Array, Array]:
        """The probability of each count, (..., counts), and the log-volume."""
        xp = ops.xp
        terms = xp.where(self.possible, self.log_weights + slopes, xp.zeros_like(slopes))
        terms = xp.where(self.possible, terms + self.volumes(ops, found, shift), -xp.inf + xp.zeros_like(terms))
        top = xp.max(terms, axis=-1, keepdims=True)
        weights = xp.exp(xp.where(self.possible, terms, top) - top) * xp.astype(self.possible, terms.dtype)
        total = xp.sum(weights, axis=-1)
        sound = xp.any(self.possible, axis=-1) & ~xp.any(xp.isnan(self.log_weights), axis=-1)
        total = xp.where(sound, total, fill(ops, (), float("nan"), total))
        return weights / total[..., None], top[..., 0] + xp.log(total)


def every(ops: Ops, logits: Array, log_weights: Array, low: int, high: int) -> Counts:
    """The rows for all counts."""
    xp, n, whole = ops.xp, logits.shape[-1], iota(ops, 1, logits).dtype
    always = xp.sum(xp.astype(logits == xp.inf, whole), axis=-1)[..., None]
    most = n - xp.sum(xp.astype(logits == -xp.inf, whole), axis=-1)[..., None]
    count = iota(ops, high + 1, logits)[low:]
    weights = log_weights[..., low : high + 1]
    possible = (count >= always) & (count <= most) & (weights > -xp.inf)
    k = xp.maximum(always, xp.minimum(count, most))
    wide = xp.broadcast_to(logits[..., None, :], (*possible.shape, n))
    return Counts(wide, k, n // 2, possible, weights)


def solve(ops: Ops, logits: Array, log_weights: Array, low: int, high: int) -> Mixture:
    """As `ksubset._mixture.solve`."""
    xp, given = ops.xp, every(ops, logits, log_weights, low, high)
    found = given.solve(ops)
    shift = given.gauge(ops, found)
    t = logits + shift[..., None]
    slopes = slope(ops, t, shift)
    chances, log_volume = given.chances(ops, found, shift, slopes[..., low : high + 1])
    chosen, unchosen = (xp.sum(chances[..., None] * x, axis=-2) for x in (found.chosen, found.unchosen))
    return Mixture(t, slopes, log_volume, chosen, unchosen, _padded(ops, chances, low, slopes))


def product(
    ops: Ops, logits: Array, log_weights: Array, low: int, high: int, v: Array, u: Array
) -> tuple[Array, Array]:
    """As `ksubset._mixture.product`."""
    xp, given = ops.xp, every(ops, logits, log_weights, low, high)
    found = given.solve(ops)
    shift = given.gauge(ops, found)
    slopes = slope(ops, logits + shift[..., None], shift)
    chances = given.chances(ops, found, shift, slopes[..., low : high + 1])[0]
    v = xp.where(xp.isinf(logits), xp.zeros_like(v), v)[..., None, :]
    image = jacobian_product(ops, given.logits, given.k, given.width, xp.broadcast_to(v, given.logits.shape))
    mean = xp.sum(v * found.chosen, axis=-1) + xp.where(given.possible, u[..., low : high + 1], 0 * chances)
    gap = mean - xp.sum(chances * mean, axis=-1, keepdims=True)
    chosen, unchosen = (
        x - xp.sum(chances[..., None] * x, axis=-2, keepdims=True) for x in (found.chosen, found.unchosen)
    )
    apart = xp.where(found.chosen > found.unchosen, -unchosen, chosen)
    image = xp.sum(chances[..., None] * (image + gap[..., None] * apart), axis=-2)
    return image, _padded(ops, chances * gap, low, slopes)


def count_log_probabilities(ops: Ops, logits: Array) -> Array:
    """As `ksubset._tilts.count_log_probabilities`."""
    xp, n = ops.xp, logits.shape[-1]
    given = every(ops, logits, fill(ops, (n + 1,), 0.0, logits), 0, n)
    value = _functions.log_prob_count(ops, given.logits, given.k, given.width)
    return xp.where(given.possible | xp.isnan(value), value, -xp.inf + xp.zeros_like(value))


def _padded(ops: Ops, x: Array, low: int, like: Array) -> Array:
    """0 for the counts below ``low`` and above the last."""
    after = like.shape[-1] - low - x.shape[-1]
    spare = [fill(ops, (*x.shape[:-1], size), 0.0, x) for size in (low, after)]
    return ops.xp.concat([spare[0], x, spare[1]], axis=-1)
