"""The k-subset distribution's functions, each written once on top of the primitives.

Every function takes ``(ops, logits, k, width, *arrays, solution=None)``: logits (..., n) in float32 or float64, k an
int or integers (...), ``width`` a static bound on min(k, n − k), and the `Solution` if there is one already. Logits of
±∞ (never, always chosen) contribute exactly 0 wherever an infinite t meets a marginal of 0.
"""

from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate
from math import comb, log

from ksubset._engine.arrays import broadcast_shapes, constant, fill, iota
from ksubset._engine.elementary import magnitude, misplaced, softplus
from ksubset._engine.inference import Solution, draw, jacobian_product, solve
from ksubset._engine.ops import Array, Ops
from ksubset._engine.selection import largest
from ksubset._engine.summation import compensated_sum
from ksubset._law.inverse_map import invert, solve_jacobian

Count = int | Array
Known = Solution | None


def marginals_jvp(ops: Ops, logits: Array, k: Count, width: int, v: Array, *, solution: Known = None) -> Array:
    """J · v, the logits broadcast against v."""
    shape = broadcast_shapes(tuple(logits.shape), tuple(v.shape))
    logits, v = ops.xp.broadcast_to(logits, shape), ops.xp.broadcast_to(v, shape)
    return jacobian_product(ops, logits, k, v)


def rsample(ops: Ops, logits: Array, k: Count, width: int, u: Array, *, solution: Known = None) -> Array:
    """`sample`, to which adapters attach the SIMPLE estimator."""
    return draw(ops, logits, k, width, u)


def sample(ops: Ops, logits: Array, k: Count, width: int, u: Array, *, solution: Known = None) -> Array:
    """Exact subsets from uniforms, which have the dimensions of the draws in front."""
    return draw(ops, logits, k, width, u)


def marginals(ops: Ops, logits: Array, k: Count, width: int, *, solution: Known = None) -> Array:
    """μ = E[z]."""
    if solution:
        return ops.xp.asarray(solution.chosen, copy=True)  # the caller may write into it
    return solve(ops, logits, k, volume=False, unchosen=False).chosen


def unchosen(ops: Ops, logits: Array, k: Count, width: int, *, solution: Known = None) -> Array:
    """1 − μ, with its own relative accuracy."""
    if solution:
        return ops.xp.asarray(solution.unchosen, copy=True)
    return solve(ops, logits, k, volume=False, chosen=False).unchosen


def logits_from_marginals(ops: Ops, mu: Array, k: Count, width: int, *, solution: Known = None) -> Array:
    """θ whose marginals are ``mu``."""
    return invert(ops, mu, k)


def jacobian_solve(ops: Ops, logits: Array, k: Count, width: int, v: Array, *, solution: Known = None) -> Array:
    """The x with J · x = v."""
    return solve_jacobian(ops, logits, k, v)


def log_normalizer(ops: Ops, logits: Array, k: Count, width: int, *, solution: Known = None) -> Array:
    """Σ_M [θ + max(−t, 0)] + Σ_{not M} max(t, 0) + log volume, M the k largest logits: no large terms cancel."""
    xp, solution = ops.xp, solution or solve(ops, logits, k, chosen=False, unchosen=False)
    t, top = solution.tilted, largest(ops, logits, k).chosen
    terms = xp.where(top, logits, xp.zeros_like(logits)) + misplaced(ops, t, top)
    return compensated_sum(ops, terms) + solution.log_volume


def log_prob_count(ops: Ops, logits: Array, k: Count, width: int, *, solution: Known = None) -> Array:
    """Σ_M [max(−t, 0) − softplus(−θ)] + Σ_{not M} [max(t, 0) − softplus(θ)] + log volume."""
    xp, solution = ops.xp, solution or solve(ops, logits, k, chosen=False, unchosen=False)
    t, top = solution.tilted, largest(ops, logits, k).chosen
    terms = misplaced(ops, t, top) - softplus(ops, xp.where(top, -logits, logits))
    return compensated_sum(ops, terms) + solution.log_volume


def entropy(ops: Ops, logits: Array, k: Count, width: int, *, solution: Known = None) -> Array:
    """H = Σ |t| · m + log volume, m the marginal of each item's less likely side."""
    return _entropy(ops, solution or solve(ops, logits, k))


def _entropy(ops: Ops, solution: Solution) -> Array:
    t = solution.tilted
    return cost(ops, t, ops.xp.where(t > 0, solution.unchosen, solution.chosen)) + solution.log_volume


def log_prob(ops: Ops, logits: Array, k: Count, width: int, z: Array, *, solution: Known = None) -> Array:
    """−Σ |t| · 1{z ≠ (t > 0)} − log volume; −∞ where Σz ≠ k, NaN where z is not 0 or 1."""
    xp, solution = ops.xp, solution or solve(ops, logits, k, chosen=False, unchosen=False)
    t = solution.tilted
    value = -cost(ops, t, xp.where(t > 0, 1 - z, z)) - solution.log_volume
    binary = xp.all((z == 0) | (z == 1), axis=-1)
    value = xp.where(binary, value, fill(ops, (), float("nan"), logits))
    size = k if isinstance(k, int) else xp.astype(k, z.dtype)
    wrong = binary & (xp.sum(z, axis=-1) != size) & ~xp.isnan(value)
    return xp.where(wrong, fill(ops, (), -float("inf"), logits), value)


def kl_divergence(
    ops: Ops, logits: Array, k: Count, width: int, other: Array, *, solution: Known = None, reference: Known = None
) -> Array:
    """−H(θ) − E_θ[log p_η(z)], the expectation taken term by term; +∞ where η forbids what θ allows.

    ``reference`` is the solution of ``other``, if there is one already.
    """
    here = solution or solve(ops, logits, k)
    there = reference or solve(ops, other, k, chosen=False, unchosen=False)
    t = there.tilted
    cross = cost(ops, t, ops.xp.where(t > 0, here.unchosen, here.chosen)) + there.log_volume
    return cross - _entropy(ops, here)


def kl_to_uniform(ops: Ops, logits: Array, k: Count, width: int, *, solution: Known = None) -> Array:
    """log C(n, k) − H."""
    value, n = entropy(ops, logits, k, width, solution=solution), logits.shape[-1]
    if isinstance(k, int):
        return log(comb(n, k)) - value
    xp, table = ops.xp, constant(ops, _log_binomials(n, width), logits)
    smaller = xp.reshape(xp.clip(xp.minimum(k, n - k), 0, width), (-1,))
    return xp.reshape(xp.take(table, smaller, axis=0), value.shape) - value


def mode(ops: Ops, logits: Array, k: Count, width: int, *, solution: Known = None) -> Array:
    """The k largest logits, ties to the lower index; NaN in an infeasible row."""
    xp, inf = ops.xp, float("inf")
    chosen, least, crowded = largest(ops, logits, k)
    size = iota(ops, 1, logits) + (k if isinstance(k, int) else k[..., None])
    valid = ~(crowded & (least == inf)) & ((size == 0) | (least > -inf)) & (size >= 0) & (size <= logits.shape[-1])
    valid = valid & ~xp.any(xp.isnan(logits), axis=-1, keepdims=True)
    return xp.where(valid, xp.astype(chosen, logits.dtype), fill(ops, (), float("nan"), logits))


def cost(ops: Ops, t: Array, unlikely: Array) -> Array:
    """Σ |t| · unlikely, with ∞ · 0 = 0."""
    xp, size = ops.xp, magnitude(ops, t)
    return compensated_sum(ops, xp.where(unlikely == 0, xp.zeros_like(size), size) * unlikely)


@lru_cache
def _log_binomials(n: int, most: int) -> list[float]:
    """log C(n, j) for j = 0 … most."""
    return list(accumulate((log((n - j) / (j + 1)) for j in range(most)), initial=0.0))


VOLUME_ONLY = frozenset({log_normalizer, log_prob_count, log_prob})
"""Array code on top of a solution that needs no marginals."""

SOLVING = VOLUME_ONLY | {entropy, kl_divergence, kl_to_uniform}
"""Array code on top of a solution."""


def solutions(
    function: Callable[..., Array], solve: Callable[..., Solution], logits: Array, *arrays: Array, solution: Known
) -> dict[str, Known]:
    """The solutions that a function of `SOLVING` needs, by argument name; ``solve(logits, sides=…)`` computes them."""
    known: dict[str, Known] = {"solution": solution or solve(logits, sides=function not in VOLUME_ONLY)}
    if function is kl_divergence:
        known["reference"] = solve(arrays[0], sides=False)
    return known
