"""The sizes that one tilt serves, and their share in the moments of a cardinality potential.

Under the tilt λ a size c has the probability P_λ(c), and the weight exp(ω(c) − λ(c − r)) beside it, r the size that is
tilted to. A sum of such products is a contour integral like that of one size, with Σ_c w(c) e^−icφ in the place of
e^−ikφ. Rows of small variance are served size by size, by exchanges.
"""

from dataclasses import dataclass
from math import prod

from ksubset._engine import exchange
from ksubset._engine.arrays import fill, items_last, scaled
from ksubset._engine.contour import Form, normalised, values, with_form
from ksubset._engine.elementary import softplus, turn
from ksubset._engine.exchange import Exchanges
from ksubset._engine.inference import probability
from ksubset._engine.items import centred
from ksubset._engine.ops import Array, choose
from ksubset._engine.potential.sizes import Tilted
from ksubset._engine.summation import compensated_sum, item_sums
from ksubset._engine.tree import FullCounts, inside, leaves, split

SMALL = 0.05
"""Relative to the largest probability: a less likely size loses more than a few bits to the absolute error."""


LONGEST_PRODUCT = 1 << 15
"""Up to this many items, a tilt is worth a product of all their factors, which serves more sizes than the contour."""

REACH = {32: 2.0**-80, 64: 2.0**-918}
"""The smallest probability for which the error by underflow is below rounding: the least normal float over ε²."""


@dataclass(frozen=True)
class Part:
    """The weight and the moments of all sizes ``done`` under one tilt; −∞ and NaN in rows without such a size.

    Attributes
    ----------
    done
        (sizes, ...).
    log_total, log_partition
        The logarithm of their weight less the θ of all items above 0, in the unit of the sizes; and the logarithm of
        their weight under the tilt, relative to the likeliest outcome and the target: (...).
    sizes
        The probability of each size within the part, (sizes, ...).
    chosen, unchosen
        The marginals within the part, (n, ...).
    """

    done: Array
    log_total: Array
    log_partition: Array
    sizes: Array
    chosen: Array
    unchosen: Array


@dataclass(frozen=True)
class Weighing:
    """Weights of sizes, (sizes, ...), 0 for those that are not ``done``, and the logarithm of their scale in a unit."""

    at: Tilted
    done: Array
    weights: Array
    log_scale: Array


def weigh(at: Tilted, done: Array) -> Weighing:
    """The weights exp(ω(c) − λ(c − target)) of the sizes that are done."""
    ops, xp = at.given.ops, at.given.ops.xp
    slanted = xp.where(done, at.slanted_at_target(), fill(ops, (), -float("inf"), at.given.log_weights))
    log_scale = xp.max(slanted, axis=0)
    log_scale = xp.where(xp.any(done, axis=0), log_scale, xp.zeros_like(log_scale))
    return Weighing(at, done, xp.exp((slanted - log_scale) / at.given.unit), log_scale)


def heaviest(at: Tilted, done: Array) -> Array:
    """The largest ω(c) − λ(c − m) of the sizes that are done, in the unit of the sizes: (...)."""
    ops, xp, slanted = at.given.ops, at.given.ops.xp, at.slanted()
    return xp.max(xp.where(done, slanted, fill(ops, (), -float("inf"), slanted)), axis=0)


def phases(at: Tilted, form: Form) -> Array:
    """e^i(c − target)φ for the sizes c that are near, 1 for the others: (nodes, sizes, ...)."""
    ahead = form.ops.xp.where(at.near, at.ahead, form.ops.xp.zeros_like(at.ahead))
    return form.ops.join(*turn(form.ops, form.nodes.turns[:, None, ...] * ahead))


def spectrum(form: Form, turns: Array, weights: Array) -> Array:
    """Σ_c weights(c) e^−i(c − target)φ, (nodes, ...)."""
    xp = form.ops.xp
    re, im = (xp.sum(weights * x, axis=1) for x in (xp.real(turns), xp.imag(turns)))
    return form.ops.join(re, -im)


def integrals(form: Form, turns: Array, x: Array) -> Array:
    """The integrals of x e^−i(c − target)φ for all sizes c, ``x`` (nodes, ...): (sizes, ...)."""
    xp = form.ops.xp
    terms = xp.real(x)[:, None, ...] * xp.real(turns) + xp.imag(x)[:, None, ...] * xp.imag(turns)
    return 2 * xp.sum(terms, axis=0) / form.nodes.period


def served(at: Tilted, waiting: Array, chances: Array) -> Array:
    """The waiting sizes whose probabilities are not small beside the largest, because their error is absolute."""
    xp = at.given.ops.xp
    chances = xp.where(at.near, chances, xp.zeros_like(chances))
    return waiting & at.near & ((chances > SMALL * xp.max(chances, axis=0)) | (at.ahead == 0))


def part_of(at: Tilted, waiting: Array) -> Part:
    """The sizes that are done and their moments."""
    ops, xp, x = at.given.ops, at.given.ops.xp, at.x

    def by_contour(form: Form) -> tuple[Array, ...]:
        integrand, turns = values(form), phases(at, form)
        chances = integrals(form, turns, integrand)
        done = served(at, waiting, chances)
        weighing = weigh(at, done)
        found = normalised(form, integrand * spectrum(form, turns, weighing.weights))
        chances, change = weighing.weights * chances, found.deviation()
        sides = x.p * (1 + x.q * change), x.q * (1 - x.p * change)
        partition = xp.log(found.total) + x.likeliest(ops)
        return done, weighing.log_scale, partition, chances / found.total, *sides

    def by_exchange() -> tuple[Array, ...]:
        done = waiting & (at.ahead == 0)
        log_total, side = Exchanges(ops, x, few_odds(at)).moments()
        sides = xp.where(x.chosen, 1 - side, side), xp.where(x.chosen, side, 1 - side)
        return done, weigh(at, done).log_scale, log_total, xp.astype(done, side.dtype), *sides

    few = exchange.serves(ops, at.totals)
    done, scale, partition, sizes, *sides = choose(
        ops, few, by_exchange, lambda: with_form(ops, x, at.totals, at.target, by_contour)
    )
    total, unit = at.base() + heaviest(at, done) + at.given.unit * partition, at.given.unit
    log_total = xp.where(xp.any(done, axis=0), total, fill(ops, (), -float("inf"), total))
    chosen, unchosen = probability(ops, sides[0], x.t), probability(ops, sides[1], -x.t)
    return Part(done, log_total, scale / unit + partition, sizes, chosen, unchosen)


def part_product(at: Tilted, part: Part, v: Array, u: Array) -> tuple[Array, Array]:
    """The covariances of v · z + u(Σz) with the items, (n, ...), and with the indicators of sizes, within a part."""
    ops, xp, x, logits = at.given.ops, at.given.ops.xp, at.x, at.given.logits
    middle = item_sums(ops, x.spread * v) / xp.clip(item_sums(ops, x.spread), 1e-37, None)
    u = u + middle * at.ahead
    u = xp.where(part.done, u - xp.sum(part.sizes * u, axis=0), xp.zeros_like(u))

    def by_contour(form: Form) -> tuple[Array, ...]:
        push, integrand, turns = centred(ops, x.spread, v, logits), values(form), phases(at, form)
        weights = weigh(at, part.done).weights
        found = normalised(form, integrand * spectrum(form, turns, weights))
        other = integrand * spectrum(form, turns, weights * u)
        image = found.product(push, scaled(ops, other, 2 / (form.nodes.period * found.total)))
        change = integrals(form, turns, integrand * form.log_derivative(push))
        moved = weights * change / found.total + part.sizes * u
        return image, moved - part.sizes * xp.sum(moved, axis=0)

    def by_exchange() -> tuple[Array, ...]:
        odds = few_odds(at)
        return Exchanges(ops, x, odds).product(centred(ops, odds, v, logits)), xp.zeros_like(u)

    few = exchange.serves(ops, at.totals)
    image, moved = choose(ops, few, by_exchange, lambda: with_form(ops, x, at.totals, at.target, by_contour))
    return image, moved


def log_probabilities(at: Tilted, waiting: Array) -> tuple[Array, Array]:
    """Which sizes are done, and their log-probabilities where the items are independent with logits θ: (sizes, ...)."""
    done, value, terms = (_by_products if at.x.t.shape[0] <= LONGEST_PRODUCT else _by_integrals)(at, waiting)
    change = compensated_sum(at.given.ops, items_last(at.given.ops, terms))
    return done, value - at.tilt.times(at.ahead - at.totals.ahead) + change


def _gain(at: Tilted) -> Array:
    """log(1 + e^−|t|) less log(1 + e^∓θ), so computed that a small λ is not lost in the difference: (n, ...)."""
    ops, xp, x = at.given.ops, at.given.ops.xp, at.x
    away, total = _away(at), at.tilt.start + at.tilt.shift
    small = xp.abs(total) <= 1
    rise = xp.expm1(xp.where(small, xp.where(x.chosen, -total, total), xp.zeros_like(x.t)))
    return xp.where(small, xp.log1p(rise / (1 + xp.exp(-away))), xp.log1p(x.odds) - softplus(ops, away))


def _away(at: Tilted) -> Array:
    """θ, or −θ for the likely items: (n, ...)."""
    return at.given.ops.xp.where(at.x.chosen, -at.given.logits, at.given.logits)


def _by_products(at: Tilted, waiting: Array) -> tuple[Array, Array, Array]:
    """The probabilities of all sizes at once, by sums that keep the relative accuracy of the rarest."""
    ops, xp, x, (n, *batch) = at.given.ops, at.given.ops.xp, at.x, at.x.t.shape
    counts = FullCounts(ops, n)
    first, second, _ = split(inside(counts, leaves(ops, *(xp.reshape(y, (n, prod(batch))) for y in (x.p, x.q))))[-1])
    chances = xp.reshape(counts.multiply(0, first, second)[: n + 1, 0, :], (n + 1, *batch))
    done = waiting & (chances >= REACH[xp.finfo(chances.dtype).bits])
    return done, xp.log(xp.where(done, chances, xp.ones_like(chances))), _gain(at)


def _by_integrals(at: Tilted, waiting: Array) -> tuple[Array, Array, Array]:
    """The probabilities near the mean, whatever the number of items."""
    ops, xp, x = at.given.ops, at.given.ops.xp, at.x

    def by_contour(form: Form) -> tuple[Array, ...]:
        chances = integrals(form, phases(at, form), values(form))
        done = served(at, waiting, chances)
        return done, xp.log(xp.where(done, chances, xp.ones_like(chances))), _gain(at)

    def by_exchange() -> tuple[Array, ...]:
        done, log_total = waiting & (at.ahead == 0), Exchanges(ops, x, few_odds(at)).moments()[0]
        return done, log_total + xp.zeros_like(at.given.log_weights), -softplus(ops, _away(at))

    few = exchange.serves(ops, at.totals)
    done, value, terms = choose(ops, few, by_exchange, lambda: with_form(ops, x, at.totals, at.target, by_contour))
    return done, value, terms


def few_odds(at: Tilted) -> Array:
    """The odds in rows of small variance."""
    xp, few = at.given.ops.xp, exchange.serves(at.given.ops, at.totals)
    return xp.where(few, at.x.odds, xp.zeros_like(at.x.odds))
