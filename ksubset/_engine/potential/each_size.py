"""Cardinality potentials by their definition, as mixtures over k of k-subset distributions: a tilt for each k.

The work is proportional to the number of sizes, but no loop has a length that depends on values: this serves where
values cannot be read, and where a framework differentiates its way through the product.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ksubset._engine import inference
from ksubset._engine.arrays import fill, iota, items_first, items_last
from ksubset._engine.elementary import misplaced
from ksubset._engine.inference import Solution, jacobian_product
from ksubset._engine.ops import Array, Ops
from ksubset._engine.potential.mixture import Mixture, slopes
from ksubset._engine.summation import compensated_sum
from ksubset._engine.tilt import Tilt, tilt


def solve_rows(ops: Ops, logits: Array, k: Array, *, sides: bool) -> tuple[Solution, Tilt]:
    """The moments of rows (..., n) whose subsets have the sizes k, (...), with or without the marginals, and λ."""
    found = inference.moments(ops, logits, k, chosen=sides, unchosen=sides)
    return found, tilt(ops, items_first(ops, logits), k)


@dataclass(frozen=True)
class OneSize:
    """What computes subsets of one size, from the same arguments as `solve_rows` and `inference.jacobian_product`."""

    solve: Callable[..., tuple[Solution, Tilt]] = solve_rows
    product: Callable[..., Array] = jacobian_product


CORE = OneSize()


@dataclass(frozen=True)
class EverySize:
    """The rows, once for each of the counts ``low`` … ``high``.

    Attributes
    ----------
    logits
        (..., counts, n).
    k
        Integers (..., counts); where infinite logits rule a count out, an allowed count stands in.
    possible
        Which counts have a weight and are allowed, (..., counts).
    log_weights
        (..., counts).
    """

    logits: Array
    k: Array
    possible: Array
    log_weights: Array

    def partitions(self, ops: Ops, found: Solution, t: Array) -> Array:
        """log e_c less θ of the items with t > 0 and plus λ(c − m), t = θ + λ (..., n): (..., counts)."""
        xp, n = ops.xp, self.logits.shape[-1]
        t, own = ops.sort(t)[..., None, :], ops.sort(found.tilted)
        top, above = iota(ops, n, t) >= n - self.k[..., None], t > 0
        moved = xp.where(top == above, xp.zeros_like(t), xp.where(above, -t, t))
        terms = moved + misplaced(ops, own, top)
        return compensated_sum(ops, terms) + found.log_partition

    def gauge(self, ops: Ops, found: Solution, every: Tilt) -> tuple[Tilt, Array]:
        """The tilt, of that of every count, and the number of the most likely count, (...)."""
        xp = ops.xp
        terms = self.log_weights + self.partitions(ops, found, self.logits[..., 0, :])
        best = xp.argmax(xp.where(self.possible, terms, -xp.inf + xp.zeros_like(terms)), axis=-1, keepdims=True)
        chosen = iota(ops, self.k.shape[-1], terms) == best
        given = every.start, every.shift, xp.astype(self.k, terms.dtype)
        start, shift, count = (xp.sum(xp.where(chosen, x, xp.zeros_like(x)), axis=-1) for x in given)
        return Tilt(start, shift), count

    def chances(self, ops: Ops, found: Solution, t: Array, slopes: Array) -> tuple[Array, Array]:
        """The probability of each count, (..., counts), and the log-partition."""
        xp = ops.xp
        terms = xp.where(self.possible, self.log_weights + slopes, xp.zeros_like(slopes))
        terms = xp.where(self.possible, terms + self.partitions(ops, found, t), -xp.inf + xp.zeros_like(terms))
        top = xp.max(terms, axis=-1, keepdims=True)
        weights = xp.exp(xp.where(self.possible, terms, top) - top) * xp.astype(self.possible, terms.dtype)
        total = xp.sum(weights, axis=-1)
        sound = xp.any(self.possible, axis=-1) & ~xp.any(xp.isnan(self.log_weights), axis=-1)
        total = xp.where(sound, total, fill(ops, (), float("nan"), total))
        return weights / total[..., None], top[..., 0] + xp.log(total)


def every(ops: Ops, logits: Array, log_weights: Array, low: int, high: int) -> EverySize:
    """The rows for all counts."""
    xp, n, whole = ops.xp, logits.shape[-1], iota(ops, 1, logits).dtype
    always = xp.sum(xp.astype(logits == xp.inf, whole), axis=-1)[..., None]
    most = n - xp.sum(xp.astype(logits == -xp.inf, whole), axis=-1)[..., None]
    count = iota(ops, high + 1, logits)[low:]
    weights = log_weights[..., low : high + 1]
    possible = (count >= always) & (count <= most) & (weights > -xp.inf)
    k = xp.maximum(always, xp.minimum(count, most))
    wide = xp.broadcast_to(logits[..., None, :], (*possible.shape, n))
    return EverySize(wide, k, possible, weights)


def moments(ops: Ops, logits: Array, log_weights: Array, low: int, high: int, one_size: OneSize = CORE) -> Mixture:
    """As `ksubset._engine.potential.mixture.moments`."""
    xp, given = ops.xp, every(ops, logits, log_weights, low, high)
    found, tilts = one_size.solve(ops, given.logits, given.k, sides=True)
    t, slope, lead = _tilted(ops, logits, *given.gauge(ops, found, tilts))
    chances, log_partition = given.chances(ops, found, t, slope[..., low : high + 1])
    chosen, unchosen = (xp.sum(chances[..., None] * x, axis=-2) for x in (found.chosen, found.unchosen))
    return Mixture(t, slope, lead, log_partition, chosen, unchosen, _padded(ops, chances, low, slope))


def probabilities(ops: Ops, logits: Array, log_weights: Array, low: int, high: int, one_size: OneSize = CORE) -> Array:
    """The probability of each of the counts ``low`` … ``high``, (..., counts)."""
    given = every(ops, logits, log_weights, low, high)
    found, tilts = one_size.solve(ops, given.logits, given.k, sides=False)
    t, slope, _ = _tilted(ops, logits, *given.gauge(ops, found, tilts))
    return given.chances(ops, found, t, slope[..., low : high + 1])[0]


def product(
    ops: Ops,
    logits: Array,
    log_weights: Array,
    low: int,
    high: int,
    v: Array,
    u: Array,
    one_size: OneSize = CORE,
) -> tuple[Array, Array]:
    """As `ksubset._engine.potential.mixture.product`."""
    xp, given = ops.xp, every(ops, logits, log_weights, low, high)
    found, tilts = one_size.solve(ops, given.logits, given.k, sides=True)
    t, slope, _ = _tilted(ops, logits, *given.gauge(ops, found, tilts))
    chances = given.chances(ops, found, t, slope[..., low : high + 1])[0]
    v = xp.where(xp.isinf(logits), xp.zeros_like(v), v)[..., None, :]
    image = one_size.product(ops, given.logits, given.k, xp.broadcast_to(v, given.logits.shape))
    mean = xp.sum(v * found.chosen, axis=-1) + xp.where(given.possible, u[..., low : high + 1], 0 * chances)
    gap = mean - xp.sum(chances * mean, axis=-1, keepdims=True)
    chosen, unchosen = (
        x - xp.sum(chances[..., None] * x, axis=-2, keepdims=True) for x in (found.chosen, found.unchosen)
    )
    apart = xp.where(found.chosen > found.unchosen, -unchosen, chosen)
    image = xp.sum(chances[..., None] * (image + gap[..., None] * apart), axis=-2)
    return image, _padded(ops, chances * gap, low, slope)


def _tilted(ops: Ops, logits: Array, gauge: Tilt, center: Array) -> tuple[Array, Array, Array]:
    """t = θ + λ, −λ(c − center) for every count, and λ(m − center), m the number of items with t > 0."""
    t = gauge.apply(items_first(ops, logits))
    slope, lead = slopes(ops, t, gauge, center)
    return items_last(ops, t), items_last(ops, slope), lead


def _padded(ops: Ops, x: Array, low: int, like: Array) -> Array:
    """0 for the counts below ``low`` and above the last."""
    after = like.shape[-1] - low - x.shape[-1]
    spare = [fill(ops, (*x.shape[:-1], size), 0.0, x) for size in (low, after)]
    return ops.xp.concat([spare[0], x, spare[1]], axis=-1)
