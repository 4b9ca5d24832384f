"""First derivatives, written once for every framework that differentiates.

All of them come down to the marginals, to J · v and to the x of J · x = v. A function with one value per row has a
gradient with respect to each of its arrays; a function with a value per item, `marginals` and `rsample`, has the
Jacobian J, which is symmetric, so that it serves forward and reverse mode alike. The inverse of the marginals has the
derivative J⁺ at its result, by the implicit function theorem. Adapters attach these rules; the marginals and products
in them carry rules of their own, which makes second and third derivatives follow.
"""

from collections.abc import Callable
from typing import Any, Protocol

from ksubset import _functions
from ksubset._typing import Array


class Differentiable(Protocol):
    """The marginals and J · v for one k, as functions that the framework can differentiate further."""

    @property
    def xp(self) -> Any:
        """The namespace."""

    def marginals(self, logits: Array) -> Array:
        """Compute μ(logits)."""

    def product(self, logits: Array, v: Array) -> Array:
        """Compute J(logits) · v."""

    def solve(self, logits: Array, v: Array) -> Array:
        """Compute the x of J(logits) · x = v; see `ksubset._inverse.solve_jacobian`."""


Gradient = Callable[..., tuple[Array, ...]]


def log_normalizer(d: Differentiable, logits: Array) -> tuple[Array, ...]:
    """Compute ∂A/∂θ = μ."""
    return (d.marginals(logits),)


def log_prob_count(d: Differentiable, logits: Array) -> tuple[Array, ...]:
    """Compute μ − σ(θ)."""
    fall = d.xp.exp(d.xp.where(logits < 0, logits, -logits))
    p = d.xp.where(logits < 0, fall, d.xp.ones_like(fall)) / (1 + fall)
    return (d.marginals(logits) - p,)


def entropy(d: Differentiable, logits: Array) -> tuple[Array, ...]:
    """Compute ∂H/∂θ = −J · θ."""
    return (-d.product(logits, finite(d.xp, logits)),)


def kl_to_uniform(d: Differentiable, logits: Array) -> tuple[Array, ...]:
    """Compute the negative of the gradient of the entropy."""
    return (d.product(logits, finite(d.xp, logits)),)


def log_prob(d: Differentiable, logits: Array, z: Array) -> tuple[Array, ...]:
    """Compute z − μ, and for pathwise gradients with respect to z, θ."""
    return z - d.marginals(logits), finite(d.xp, logits) + 0 * z


def kl_divergence(d: Differentiable, logits: Array, other: Array) -> tuple[Array, ...]:
    """Compute J_θ · (θ − η), and μ_η − μ_θ."""
    gap = finite(d.xp, logits) - finite(d.xp, other)
    return d.product(logits, gap), d.marginals(other) - d.marginals(logits)


def change_of_logits(d: Differentiable, logits: Array, v: Array) -> Array:
    """Compute the change of the logits, whose finite entries sum to 0, for a change v of their marginals."""
    return centred(d.xp, d.solve(logits, v), logits)


def gradient_of_marginals(d: Differentiable, logits: Array, v: Array) -> Array:
    """Compute the gradient with respect to the marginals of v · logits: the transpose of `change_of_logits`."""
    return d.solve(logits, centred(d.xp, v, logits))


def centred(xp: Any, x: Array, logits: Array) -> Array:
    """``x`` less its mean over the items with finite logits; 0 at the others."""
    free = xp.isfinite(logits)
    x = xp.where(free, x, xp.zeros_like(x))
    count = xp.sum(xp.astype(free, x.dtype), axis=-1, keepdims=True)
    return xp.where(free, x - xp.sum(x, axis=-1, keepdims=True) / xp.where(count > 0, count, xp.ones_like(count)), x)


def finite(xp: Any, x: Array) -> Array:
    """``x`` with 0 in the place of infinities, whose items nothing depends on."""
    return xp.where(xp.isinf(x), xp.zeros_like(x), x)


GRADIENTS: dict[Callable[..., Array], Gradient] = {
    _functions.log_normalizer: log_normalizer,
    _functions.log_prob_count: log_prob_count,
    _functions.entropy: entropy,
    _functions.kl_to_uniform: kl_to_uniform,
    _functions.log_prob: log_prob,
    _functions.kl_divergence: kl_divergence,
}
"""Functions with one value per row."""

JACOBIANS: dict[Callable[..., Array], int] = {
    _functions.marginals: 1,
    _functions.unchosen: -1,
    _functions.rsample: 1,
}
"""Functions with a value per item, whose derivative with respect to the logits is J times this sign."""

INVERSES = {_functions.logits_from_marginals}
"""Functions from marginals to logits; their derivative is `change_of_logits`."""
