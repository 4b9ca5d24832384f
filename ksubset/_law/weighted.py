"""The functions of ``ksubset._law.functions`` under a cardinality potential, p(z) ∝ exp(θ · z + ω(Σz)).

They take θ and ω in one array ``logits``, (..., 2n + 1), because both are logits, of the statistics
T = (z, 1{Σz = 0}, …, 1{Σz = n}). Means, subsets and directions come in the same arrangement, and the rules of
``ksubset._law.derivatives`` apply unchanged. In the places of k and width stand ``low`` and ``high``; ω is −∞
outside of them.
"""

from collections.abc import Callable
from typing import TypeAlias

from ksubset._engine.arrays import broadcast_shapes, fill, iota, items_first
from ksubset._engine.elementary import softplus
from ksubset._engine.inference import draw
from ksubset._engine.ops import Array, Ops
from ksubset._engine.potential import each_size, mixture
from ksubset._engine.potential.mixture import Mixture
from ksubset._engine.sampling import invert
from ksubset._engine.summation import compensated_sum
from ksubset._law.functions import cost, log_prob_count

Known: TypeAlias = Mixture | None


def parts(x: Array) -> tuple[Array, Array]:
    """The part for the items, (..., n), and the part for the counts, (..., n + 1)."""
    n = (x.shape[-1] - 1) // 2
    return x[..., :n], x[..., n:]


def solve(ops: Ops, logits: Array, low: int, high: int) -> Mixture:
    """The moments; with a tilt for each count where values cannot decide how many there are."""
    return (mixture.solve if ops.sweeps else each_size.solve)(ops, *parts(logits), low, high)


def weighted_marginals(ops: Ops, logits: Array, low: int, high: int, *, solution: Known = None) -> Array:
    """E[T] = (μ, π)."""
    found = solution or solve(ops, logits, low, high)
    return ops.xp.concat([found.chosen, found.counts], axis=-1)


def weighted_unchosen(ops: Ops, logits: Array, low: int, high: int, *, solution: Known = None) -> Array:
    """1 − E[T], the first n with their own relative accuracy."""
    found = solution or solve(ops, logits, low, high)
    return ops.xp.concat([found.unchosen, 1 - found.counts], axis=-1)


def weighted_marginals_jvp(ops: Ops, logits: Array, low: int, high: int, v: Array, *, solution: Known = None) -> Array:
    """J · v, the logits broadcast against v."""
    shape = broadcast_shapes(tuple(logits.shape), tuple(v.shape))
    logits, v = ops.xp.broadcast_to(logits, shape), ops.xp.broadcast_to(v, shape)
    image = (mixture.product if ops.sweeps else each_size.product)(ops, *parts(logits), low, high, *parts(v))
    return ops.xp.concat(image, axis=-1)


def weighted_log_normalizer(ops: Ops, logits: Array, low: int, high: int, *, solution: Known = None) -> Array:
    """Σ_{t > 0} θ + lead + log volume."""
    found, (theta, _) = solution or solve(ops, logits, low, high), parts(logits)
    return compensated_sum(ops, _above(ops, found, theta)) + found.lead + found.log_volume


def weighted_log_prob_count(ops: Ops, logits: Array, low: int, high: int, *, solution: Known = None) -> Array:
    """log E[w(Σz)] over independent items: each θ of the log-normaliser less softplus(θ)."""
    found, (theta, _) = solution or solve(ops, logits, low, high), parts(logits)
    terms = softplus(ops, ops.xp.where(found.tilted > 0, -theta, theta))
    return found.lead - compensated_sum(ops, terms) + found.log_volume


def weighted_entropy(ops: Ops, logits: Array, low: int, high: int, *, solution: Known = None) -> Array:
    """H = Σ |t| · m − Σ π ω' + log volume, m as in `functions.entropy` and ω' the log-weights plus slope."""
    return _entropy(ops, solution or solve(ops, logits, low, high), parts(logits)[1])


def _entropy(ops: Ops, found: Mixture, omega: Array) -> Array:
    t = found.tilted
    return _cross(ops, found, omega, found.counts, ops.xp.where(t > 0, found.unchosen, found.chosen))


def _cross(ops: Ops, found: Mixture, omega: Array, chances: Array, unlikely: Array) -> Array:
    """−E[log p(z)] over subsets with given probabilities of the counts and of each item's less likely side."""
    xp, slanted = ops.xp, omega + found.slope
    terms = xp.where(chances == 0, xp.zeros_like(slanted), slanted) * chances
    return cost(ops, found.tilted, unlikely) + found.log_volume - compensated_sum(ops, terms)


def weighted_log_prob(ops: Ops, logits: Array, low: int, high: int, z: Array, *, solution: Known = None) -> Array:
    """ω'(Σz) − Σ |t| · 1{z ≠ (t > 0)} − log volume; NaN where z is not 0 or 1."""
    xp, found, (z, counts) = ops.xp, solution or solve(ops, logits, low, high), parts(z)
    t = found.tilted
    value = -_cross(ops, found, parts(logits)[1], counts, xp.where(t > 0, 1 - z, z))
    binary = xp.all((z == 0) | (z == 1), axis=-1)
    return xp.where(binary, value, fill(ops, (), float("nan"), logits))


def weighted_kl_divergence(
    ops: Ops, logits: Array, low: int, high: int, other: Array, *, solution: Known = None, reference: Known = None
) -> Array:
    """−H(θ) − E_θ[log p_η(z)], the expectation taken term by term; +∞ where η forbids what θ allows."""
    xp, here = ops.xp, solution or solve(ops, logits, low, high)
    there = reference or solve(ops, other, low, high)
    unlikely = xp.where(there.tilted > 0, here.unchosen, here.chosen)
    expected = _cross(ops, there, parts(other)[1], here.counts, unlikely)
    return expected - _entropy(ops, here, parts(logits)[1])


def weighted_mode(ops: Ops, logits: Array, low: int, high: int, *, solution: Known = None) -> Array:
    """The c largest logits, for the least c that maximises their sum plus ω(c)."""
    xp, (theta, omega), n = ops.xp, parts(logits), parts(logits)[0].shape[-1]
    order = xp.argsort(-theta, axis=-1, stable=True)
    rank = xp.argsort(order, axis=-1, stable=True)
    descending = xp.flip(xp.sort(theta, axis=-1), axis=-1)
    always = xp.sum(xp.astype(theta == xp.inf, rank.dtype), axis=-1, keepdims=True)
    sums = xp.cumulative_sum(xp.where(descending == xp.inf, xp.zeros_like(theta), descending), axis=-1)
    sums = xp.concat([xp.zeros_like(omega[..., :1]), sums], axis=-1) + omega
    nowhere = fill(ops, (), -float("inf"), sums)
    sums = xp.where(iota(ops, n + 1, sums) >= always, sums, nowhere)
    best = xp.argmax(sums, axis=-1, keepdims=True)
    valid = (xp.max(sums, axis=-1, keepdims=True) > nowhere) & ~xp.any(omega == xp.inf, axis=-1, keepdims=True)
    return xp.where(valid, xp.astype(rank < best, theta.dtype), fill(ops, (), float("nan"), theta))


def weighted_sample(ops: Ops, logits: Array, low: int, high: int, u: Array, *, solution: Known = None) -> Array:
    """Subsets from uniforms, draws + (..., n): the count by the first of a row, then a subset of that size."""
    xp, (theta, _), chances = ops.xp, parts(logits), solve(ops, logits, low, high).counts
    n, batch = theta.shape[-1], tuple(u.shape[:-1])
    spread = xp.broadcast_to(chances, (*batch, chances.shape[-1]))
    k = invert(ops, items_first(ops, spread), u[..., 0])
    k = xp.where(xp.isnan(xp.sum(spread, axis=-1)), xp.full_like(k, -1), k)
    return draw(ops, xp.broadcast_to(theta, (*batch, n)), k, min(high, n - low, n // 2), u[..., 1:])


def count_log_pmf(ops: Ops, logits: Array, low: int, high: int, *, solution: Known = None) -> Array:
    """The log-probability of every count of independent items with logits (..., n): (..., n + 1)."""
    if ops.sweeps:
        return mixture.count_log_probabilities(ops, logits)
    xp, n = ops.xp, logits.shape[-1]
    given = each_size.every(ops, logits, fill(ops, (n + 1,), 0.0, logits), 0, n)
    value = log_prob_count(ops, given.logits, given.k, n // 2)
    return xp.where(given.possible | xp.isnan(value), value, -xp.inf + xp.zeros_like(value))


def _above(ops: Ops, found: Mixture, theta: Array) -> Array:
    return ops.xp.where(found.tilted > 0, theta, ops.xp.zeros_like(theta))


SOLVING = (
    weighted_log_normalizer,
    weighted_log_prob_count,
    weighted_entropy,
    weighted_log_prob,
    weighted_kl_divergence,
)
"""Array code on top of the moments."""


def solutions(
    function: Callable[..., Array], solve: Callable[[Array], Mixture], logits: Array, *arrays: Array, solution: Known
) -> dict[str, Mixture]:
    """The moments that a function of `SOLVING` needs, by argument name; ``solve(logits)`` computes them."""
    known = {"solution": solution or solve(logits)}
    return known | {"reference": solve(arrays[0])} if function is weighted_kl_divergence else known


FUNCTIONS = {
    function.__name__.removeprefix("weighted_"): function
    for function in (
        weighted_marginals,
        weighted_unchosen,
        weighted_marginals_jvp,
        *SOLVING,
        weighted_mode,
    )
}
"""By the name that each has in ``ksubset._law.functions``."""
