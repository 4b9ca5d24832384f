"""The distribution's functions, each written once over the laws of ``ksubset._law.law``.

Every function takes ``(ops, law, parameters, *arrays, solution=None)``: parameters (..., m) in float32 or float64 and
the law's `Moments` if they are known. Parameters of ±∞ (never, always chosen) contribute exactly 0 wherever an
infinite t meets a mean of 0.
"""

from collections.abc import Callable
from typing import Any

from ksubset._engine.arrays import broadcast_shapes, fill, iota
from ksubset._engine.elementary import misplaced, softplus
from ksubset._engine.ops import Array, Ops
from ksubset._engine.selection import largest
from ksubset._engine.summation import compensated_sum
from ksubset._law.fixed_size import FixedSize
from ksubset._law.inverse_map import invert, solve_jacobian
from ksubset._law.law import Law

Known = Any
"""The `Moments` of a law, or None."""


def marginals_jvp(ops: Ops, law: Law, parameters: Array, v: Array, *, solution: Known = None) -> Array:
    """J · v, the parameters broadcast against v."""
    shape = broadcast_shapes(tuple(parameters.shape), tuple(v.shape))
    return law.product(ops, ops.xp.broadcast_to(parameters, shape), ops.xp.broadcast_to(v, shape))


def rsample(ops: Ops, law: Law, parameters: Array, u: Array, *, solution: Known = None) -> Array:
    """`sample`, to which adapters attach the SIMPLE estimator."""
    return law.draw(ops, parameters, u)


def sample(ops: Ops, law: Law, parameters: Array, u: Array, *, solution: Known = None) -> Array:
    """Exact subsets from uniforms, which have the dimensions of the draws in front."""
    return law.draw(ops, parameters, u)


def marginals(ops: Ops, law: Law, parameters: Array, *, solution: Known = None) -> Array:
    """E[T]; of the items, μ = E[z]."""
    if solution:
        return ops.xp.asarray(law.mean(ops, solution), copy=True)  # the caller may write into it
    return law.mean(ops, law.moments(ops, parameters, partition=False, unchosen=False))


def unchosen(ops: Ops, law: Law, parameters: Array, *, solution: Known = None) -> Array:
    """1 − E[T], with its own relative accuracy."""
    if solution:
        return ops.xp.asarray(law.complement(ops, solution), copy=True)
    return law.complement(ops, law.moments(ops, parameters, partition=False, chosen=False))


def logits_from_marginals(ops: Ops, law: FixedSize, mu: Array, *, solution: Known = None) -> Array:
    """θ whose marginals are ``mu``."""
    return invert(ops, law, mu)


def jacobian_solve(ops: Ops, law: FixedSize, logits: Array, v: Array, *, solution: Known = None) -> Array:
    """The x with J · x = v."""
    return solve_jacobian(ops, law, logits, v)


def log_normalizer(ops: Ops, law: Law, parameters: Array, *, solution: Known = None) -> Array:
    """Σ_M θ + Σ |t| 1{M ≠ (t > 0)} + c; see `Law.reference`."""
    found, theta = solution or _with_partition(ops, law, parameters), law.items(parameters)
    likely, constant = law.reference(ops, parameters, found)
    terms = ops.xp.where(likely, theta, ops.xp.zeros_like(theta)) + misplaced(ops, found.tilted, likely)
    return compensated_sum(ops, terms) + constant


def log_prob_count(ops: Ops, law: Law, parameters: Array, *, solution: Known = None) -> Array:
    """The log-normaliser less Σ softplus(θ): each θ in M becomes −softplus(−θ), each 0 outside −softplus(θ)."""
    found, theta = solution or _with_partition(ops, law, parameters), law.items(parameters)
    likely, constant = law.reference(ops, parameters, found)
    terms = misplaced(ops, found.tilted, likely) - softplus(ops, ops.xp.where(likely, -theta, theta))
    return compensated_sum(ops, terms) + constant


def entropy(ops: Ops, law: Law, parameters: Array, *, solution: Known = None) -> Array:
    """The surprisal that the law expects of itself."""
    return law.entropy(ops, parameters, solution)


def log_prob(ops: Ops, law: Law, parameters: Array, z: Array, *, solution: Known = None) -> Array:
    """The negative surprisal of z; −∞ where Σz has no weight, NaN where z is not 0 or 1."""
    xp, found, outcome = ops.xp, solution or _with_partition(ops, law, parameters), law.outcome(z)
    z = outcome.chosen
    value = -law.surprisal(ops, parameters, found, outcome)
    binary = xp.all((z == 0) | (z == 1), axis=-1)
    value = xp.where(binary, value, fill(ops, (), float("nan"), parameters))
    wrong = binary & law.has_wrong_size(ops, z) & ~xp.isnan(value)
    return xp.where(wrong, fill(ops, (), -float("inf"), parameters), value)


def kl_divergence(
    ops: Ops, law: Law, parameters: Array, other: Array, *, solution: Known = None, reference: Known = None
) -> Array:
    """The surprisal that θ expects of η less that of itself; +∞ where η forbids what θ allows.

    ``reference`` has the moments of ``other``, if they are known.
    """
    return law.divergence(ops, parameters, other, solution, reference)


def kl_to_uniform(ops: Ops, law: FixedSize, logits: Array, *, solution: Known = None) -> Array:
    """log C(n, k) − H."""
    surprise = law.entropy(ops, logits, solution)
    return law.log_subsets(ops, logits.shape[-1], surprise) - surprise


def mode(ops: Ops, law: Law, parameters: Array, *, solution: Known = None) -> Array:
    """The items with the largest logits, in the likeliest number, ties to the lower index; NaN in an infeasible row."""
    xp, inf, theta, k = ops.xp, float("inf"), law.items(parameters), law.likely_size(ops, parameters)
    chosen, least, crowded = largest(ops, theta, k)
    size = iota(ops, 1, theta) + (k if isinstance(k, int) else k[..., None])
    valid = ~(crowded & (least == inf)) & ((size == 0) | (least > -inf)) & (size >= 0) & (size <= theta.shape[-1])
    valid = valid & ~xp.any(xp.isnan(theta), axis=-1, keepdims=True)
    return xp.where(valid, xp.astype(chosen, theta.dtype), fill(ops, (), float("nan"), theta))


def _with_partition(ops: Ops, law: Law, parameters: Array) -> Any:
    return law.moments(ops, parameters, chosen=False, unchosen=False)


DRAWING = frozenset({sample, rsample})
"""Functions that turn uniforms into subsets; their uniforms have the dimensions of the draws in front."""

STATISTICS = frozenset({marginals, unchosen, marginals_jvp})
"""Functions whose value is in the arrangement of the parameters."""

PARTITION_ONLY = frozenset({log_normalizer, log_prob_count, log_prob})
"""Array code on top of moments of which it needs no marginals."""

SOLVING = PARTITION_ONLY | {entropy, kl_divergence, kl_to_uniform}
"""Array code on top of the moments."""

SCALARS = frozenset({entropy, log_normalizer})
"""Functions of parameters alone, of `SOLVING`, that have kernels of their own where subsets have one size."""

OWN = SCALARS | {log_prob}
"""All functions of `SOLVING` that have such kernels."""

DIVERGENCES = frozenset({kl_divergence, kl_to_uniform})
"""Differences of entropies: the law `DivergencesByKernels` where subsets have one size and there are kernels."""

SEARCHING = frozenset({logits_from_marginals, jacobian_solve})
"""Loops that ask the law for moments or products at every step, the law of `ByKernels` where there are kernels."""


def has_own_kernel(function: Callable[..., Array], law: Law) -> bool:
    """Whether kernels, where there are any, compute the whole of a function, and not what array code starts from."""
    if function in OWN:
        return isinstance(law, FixedSize)
    return function not in SOLVING and function not in SEARCHING


def asks_kernels(function: Callable[..., Array], law: Law) -> bool:
    """Whether a function is array code on a law whose quantities come from kernels, where there are any."""
    return function in SEARCHING or (function in DIVERGENCES and isinstance(law, FixedSize))


def solutions(
    function: Callable[..., Array], moments: Callable[..., Known], parameters: Array, *arrays: Array, solution: Known
) -> dict[str, Known]:
    """The moments that a function of `SOLVING` needs, by argument name; ``moments(parameters, sides=…)`` finds them."""
    known = {"solution": solution or moments(parameters, sides=function not in PARTITION_ONLY)}
    if function is kl_divergence:
        known["reference"] = moments(arrays[0], sides=False)
    return known
