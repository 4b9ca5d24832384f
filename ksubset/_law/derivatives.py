"""First derivatives, written once for every framework that differentiates.

All of them come down to the marginals, to J · v and to the x of J · x = v. A function with one value per row has a
gradient with respect to each of its arrays; a function with a value per item, `marginals` and `rsample`, has the
Jacobian J, which is symmetric, so that it serves forward and reverse mode alike. The inverse of the marginals has the
derivative J⁺ at its result, by the implicit function theorem. Adapters attach these rules; the marginals and products
in them carry rules of their own, which makes second and third derivatives follow.
"""

from collections.abc import Callable
from typing import Any, Protocol

from ksubset._engine.ops import Array
from ksubset._law import functions, weighted


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
        """Compute the x of J(logits) · x = v; see `ksubset._law.inverse_map.solve_jacobian`."""


Gradient = Callable[..., tuple[Array, ...]]


def log_normalizer(d: Differentiable, logits: Array) -> tuple[Array, ...]:
    """Compute ∂A/∂θ = μ."""
    return (d.marginals(logits),)


def log_prob_count(d: Differentiable, logits: Array) -> tuple[Array, ...]:
    """Compute μ − σ(θ)."""
    return (d.marginals(logits) - _sigmoid(d.xp, logits),)


def _sigmoid(xp: Any, x: Array) -> Array:
    fall = xp.exp(xp.where(x < 0, x, -x))
    return xp.where(x < 0, fall, xp.ones_like(fall)) / (1 + fall)


def log_prob_count_weighted(d: Differentiable, logits: Array) -> tuple[Array, ...]:
    """Compute (μ − σ(θ), π)."""
    theta, omega = weighted.parts(logits)
    p = _sigmoid(d.xp, theta)
    return (d.marginals(logits) - d.xp.concat([p, d.xp.zeros_like(omega)], axis=-1),)


def count_log_pmf(d: Differentiable, logits: Array, value: Array, v: Array) -> Array:
    """Compute v · (μ⁽ᶜ⁾ − σ(θ)) for every count c, μ⁽ᶜ⁾ the marginals of subsets of that size.

    With the log-weights −``value``, a constant, all counts are equally likely, so that no count's term is lost.
    """
    together, possible = _equalised(d.xp, logits, value)
    means = d.marginals(together)
    mu, chances = weighted.parts(means)
    direction = d.xp.concat([v, d.xp.zeros_like(chances)], axis=-1)
    moved = weighted.parts(d.product(together, direction))[1] / d.xp.where(possible, chances, d.xp.ones_like(chances))
    rest = d.xp.sum(v * (mu - _sigmoid(d.xp, logits)), axis=-1)[..., None]
    return d.xp.where(possible, moved + rest, d.xp.zeros_like(moved))


def count_log_pmf_transposed(d: Differentiable, logits: Array, value: Array, g: Array) -> Array:
    """Compute Σ_c g_c (μ⁽ᶜ⁾ − σ(θ))."""
    together, possible = _equalised(d.xp, logits, value)
    mu, chances = weighted.parts(d.marginals(together))
    g = d.xp.where(possible, g, d.xp.zeros_like(g))
    u = g / d.xp.where(possible, chances, d.xp.ones_like(chances))
    image = weighted.parts(d.product(together, d.xp.concat([d.xp.zeros_like(mu), u], axis=-1)))[0]
    return image + d.xp.sum(g, axis=-1)[..., None] * (mu - _sigmoid(d.xp, logits))


def _equalised(xp: Any, logits: Array, value: Array) -> tuple[Array, Array]:
    possible = value > -xp.inf
    omega = xp.where(possible, -value, value)
    return xp.concat([logits, omega], axis=-1), possible


def entropy(d: Differentiable, logits: Array) -> tuple[Array, ...]:
    """Compute ∂H/∂θ = −J · θ."""
    return (-d.product(logits, bounded(d.xp, logits)),)


def kl_to_uniform(d: Differentiable, logits: Array) -> tuple[Array, ...]:
    """Compute the negative of the gradient of the entropy."""
    return (d.product(logits, bounded(d.xp, logits)),)


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


def bounded(xp: Any, x: Array) -> Array:
    """``x`` with 0 in the place of infinities and of floats so large that different ones are a thousand apart.

    Of items with such logits those that leave a choice are equal, which J maps to 0. Rounding keeps the derivative.
    """
    x = finite(xp, x)
    return xp.where(xp.abs(x) > 1000 / float(xp.finfo(x.dtype).eps), x - xp.round(x), x)


GRADIENTS: dict[Callable[..., Array], Gradient] = {
    functions.log_normalizer: log_normalizer,
    functions.log_prob_count: log_prob_count,
    functions.entropy: entropy,
    functions.kl_to_uniform: kl_to_uniform,
    functions.log_prob: log_prob,
    functions.kl_divergence: kl_divergence,
    weighted.weighted_log_normalizer: log_normalizer,
    weighted.weighted_log_prob_count: log_prob_count_weighted,
    weighted.weighted_entropy: entropy,
    weighted.weighted_log_prob: log_prob,
    weighted.weighted_kl_divergence: kl_divergence,
}
"""Functions with one value per row."""

JACOBIANS: dict[Callable[..., Array], int] = {
    functions.marginals: 1,
    functions.unchosen: -1,
    functions.rsample: 1,
    weighted.weighted_marginals: 1,
    weighted.weighted_unchosen: -1,
}
"""Functions with a value per item, whose derivative with respect to the logits is J times this sign."""

INVERSES = {functions.logits_from_marginals}
"""Functions from marginals to logits; their derivative is `change_of_logits`."""

PRODUCTS = (functions.marginals_jvp, weighted.weighted_marginals_jvp)
"""The Jacobian's own functions, linear and symmetric in v."""

Map = Callable[..., Array]

MAPS: dict[Callable[..., Array], tuple[Map, Map]] = {
    weighted.count_log_pmf: (count_log_pmf, count_log_pmf_transposed),
}
"""Functions with a value per count: their derivative along v, and its transpose, which take the value as a constant."""

WEIGHTED = {*weighted.FUNCTIONS.values(), weighted.weighted_sample, weighted.count_log_pmf}
"""Functions of logits and log-weights in one array."""


def find(name: str) -> Callable[..., Array]:
    """One of ``ksubset._law.functions`` or ``ksubset._law.weighted`` by name."""
    found: Callable[..., Array] = getattr(functions, name, None) or getattr(weighted, name)
    return found


def moments(function: Callable[..., Array]) -> tuple[Callable[..., Array], Callable[..., Array]]:
    """The marginals and J · v that belong to a function."""
    if function in WEIGHTED:
        return weighted.weighted_marginals, weighted.weighted_marginals_jvp
    return functions.marginals, functions.marginals_jvp
