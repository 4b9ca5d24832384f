"""First derivatives, written once for every framework that differentiates.

All of them come down to the marginals, to J · v and to the x of J · x = v. A `Rule` says how a function derives from
them, in forward and in reverse mode. J is symmetric, so that it serves both. Adapters attach these rules; the marginals
and products in them carry rules of their own, which makes second and third derivatives follow.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from ksubset._engine.ops import Array
from ksubset._law import functions
from ksubset._law.counts import count_log_pmf
from ksubset._law.law import Law
from ksubset._law.size_weighted import join, split

Given: TypeAlias = tuple[Array, ...]
"""The parameters of a law and the other arrays of a function."""


class Differentiable(Protocol):
    """The marginals and J · v of one law, as functions that the framework can differentiate further."""

    @property
    def xp(self) -> Any:
        """The namespace."""

    @property
    def law(self) -> Law:
        """The law."""

    def marginals(self, parameters: Array) -> Array:
        """Compute E[T]."""

    def product(self, parameters: Array, v: Array) -> Array:
        """Compute J · v."""

    def inverse_product(self, logits: Array, v: Array) -> Array:
        """Compute the x of J · x = v; see `ksubset._law.inverse_map.solve_jacobian`."""

    def constant(self, x: Array) -> Array:
        """Compute ``x``, from which no derivative is taken."""


class Transposable(Differentiable, Protocol):
    """The same where the framework asks for reverse mode by a rule of its own."""

    def summed(self, x: Array, like: Array) -> Array:
        """Compute the sums of ``x`` over the axes along which ``like`` was broadcast."""


class Rule(ABC):
    """How the value of a function changes with its arrays, and the transpose of this map."""

    def kept(self, given: Given, value: Array) -> tuple[Array, ...]:
        """The arrays that the rule needs."""
        return given

    @abstractmethod
    def jvp(self, d: Differentiable, kept: Given, tangents: tuple[Array | None, ...]) -> Array:
        """The change of the value, up to the dimensions of draws in front; one of the tangents is not None."""

    @abstractmethod
    def vjp(self, d: Transposable, kept: Given, g: Array) -> tuple[Array, ...]:
        """The gradients with respect to the first arrays."""


@dataclass(frozen=True)
class PerRow(Rule):
    """A function with one value for each row; ``gradients(d, *given)`` has a gradient for each of its arrays."""

    gradients: Callable[..., tuple[Array, ...]]

    def jvp(self, d: Differentiable, kept: Given, tangents: tuple[Array | None, ...]) -> Array:
        pairs = zip(self.gradients(d, *kept), tangents, strict=True)
        terms = [d.xp.sum(gradient * tangent, axis=-1) for gradient, tangent in pairs if tangent is not None]
        return sum(terms[1:], terms[0])

    def vjp(self, d: Transposable, kept: Given, g: Array) -> tuple[Array, ...]:
        pairs = zip(self.gradients(d, *kept), kept, strict=True)
        return tuple(d.summed(g[..., None] * gradient, x) for gradient, x in pairs)


@dataclass(frozen=True)
class PerItem(Rule):
    """A function with the mean of T up to a sign, or a sample in its place: its Jacobian is J times the sign."""

    sign: int = 1

    def kept(self, given: Given, value: Array) -> tuple[Array, ...]:
        return given[:1]

    def jvp(self, d: Differentiable, kept: Given, tangents: tuple[Array | None, ...]) -> Array:
        return self.sign * d.product(kept[0], tangents[0])

    def vjp(self, d: Transposable, kept: Given, g: Array) -> tuple[Array, ...]:
        return (d.product(kept[0], self.sign * d.summed(g, kept[0])),)


class Inverse(Rule):
    """A function from marginals to logits, whose derivative at its value is J⁺, by the implicit function theorem."""

    def kept(self, given: Given, value: Array) -> tuple[Array, ...]:
        return (value,)

    def jvp(self, d: Differentiable, kept: Given, tangents: tuple[Array | None, ...]) -> Array:
        """The change of the logits, whose finite entries sum to 0."""
        return centred(d.xp, d.inverse_product(kept[0], tangents[0]), kept[0])

    def vjp(self, d: Transposable, kept: Given, g: Array) -> tuple[Array, ...]:
        return (d.inverse_product(kept[0], centred(d.xp, g, kept[0])),)


class PerCount(Rule):
    """The log-probabilities of all counts c, which change by v · (μ⁽ᶜ⁾ − σ(θ)), μ⁽ᶜ⁾ the marginals given c.

    With the log-weights −``value``, a constant, all counts are equally likely, so that no count's term is lost.
    """

    def kept(self, given: Given, value: Array) -> tuple[Array, ...]:
        return given[0], value

    def jvp(self, d: Differentiable, kept: Given, tangents: tuple[Array | None, ...]) -> Array:
        (logits, _), (v, *_) = kept, tangents
        xp, (together, possible) = d.xp, _equalised(d, *kept)
        mu, chances = split(d.marginals(together))
        moved = split(d.product(together, d.law.padded(xp, v)))[1] / xp.where(possible, chances, xp.ones_like(chances))
        rest = xp.sum(v * (mu - _sigmoid(xp, logits)), axis=-1)[..., None]
        return xp.where(possible, moved + rest, xp.zeros_like(moved))

    def vjp(self, d: Transposable, kept: Given, g: Array) -> tuple[Array, ...]:
        xp, (together, possible) = d.xp, _equalised(d, *kept)
        mu, chances = split(d.marginals(together))
        g = xp.where(possible, g, xp.zeros_like(g))
        u = g / xp.where(possible, chances, xp.ones_like(chances))
        image = split(d.product(together, join(xp, xp.zeros_like(mu), u)))[0]
        return (image + xp.sum(g, axis=-1)[..., None] * (mu - _sigmoid(xp, kept[0])),)


def _equalised(d: Differentiable, logits: Array, value: Array) -> tuple[Array, Array]:
    value = d.constant(value)
    possible = value > -d.xp.inf
    return join(d.xp, logits, d.xp.where(possible, -value, value)), possible


def _log_normalizer(d: Differentiable, parameters: Array) -> tuple[Array, ...]:
    """Compute ∂A/∂θ = μ."""
    return (d.marginals(parameters),)


def _log_prob_count(d: Differentiable, parameters: Array) -> tuple[Array, ...]:
    """Compute μ − σ(θ)."""
    return (d.marginals(parameters) - d.law.padded(d.xp, _sigmoid(d.xp, d.law.items(parameters))),)


def _sigmoid(xp: Any, x: Array) -> Array:
    fall = xp.exp(xp.where(x < 0, x, -x))
    return xp.where(x < 0, fall, xp.ones_like(fall)) / (1 + fall)


def _entropy(d: Differentiable, parameters: Array) -> tuple[Array, ...]:
    """Compute ∂H/∂θ = −J · θ."""
    return (-d.product(parameters, bounded(d.xp, parameters)),)


def _kl_to_uniform(d: Differentiable, logits: Array) -> tuple[Array, ...]:
    """Compute the negative of the gradient of the entropy."""
    return (d.product(logits, bounded(d.xp, logits)),)


def _log_prob(d: Differentiable, parameters: Array, z: Array) -> tuple[Array, ...]:
    """Compute z − μ, and for pathwise gradients with respect to z, θ."""
    return z - d.marginals(parameters), finite(d.xp, parameters) + 0 * z


def _kl_divergence(d: Differentiable, parameters: Array, other: Array) -> tuple[Array, ...]:
    """Compute J_θ · (θ − η), and μ_η − μ_θ."""
    gap = finite(d.xp, parameters) - finite(d.xp, other)
    return d.product(parameters, gap), d.marginals(other) - d.marginals(parameters)


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


RULES: dict[Callable[..., Array], Rule] = {
    functions.log_normalizer: PerRow(_log_normalizer),
    functions.log_prob_count: PerRow(_log_prob_count),
    functions.entropy: PerRow(_entropy),
    functions.kl_to_uniform: PerRow(_kl_to_uniform),
    functions.log_prob: PerRow(_log_prob),
    functions.kl_divergence: PerRow(_kl_divergence),
    functions.marginals: PerItem(),
    functions.unchosen: PerItem(-1),
    functions.rsample: PerItem(),
    functions.logits_from_marginals: Inverse(),
    count_log_pmf: PerCount(),
}
"""Functions with a derivative, other than J · v itself and its inverse, which are linear and symmetric in v."""


def find(name: str) -> Callable[..., Array]:
    """One of ``ksubset._law.functions``, or `count_log_pmf`, by name."""
    if name == count_log_pmf.__name__:
        return count_log_pmf
    found: Callable[..., Array] = getattr(functions, name)
    return found
