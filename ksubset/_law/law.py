"""What the functions of the distribution need of a law: the distribution of a subset apart from its parameters.

There are two laws, of subsets of one size and of subsets of weighted sizes, and both are exponential families,
p(z) ∝ exp(η · T(z)). Parameters η, directions, means E[T] and single values T(z) are arrays in one arrangement.
"""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple, Protocol

from ksubset._engine.ops import Array, Ops


class Moments(Protocol):
    """The quantities that the functions of one row share; each law has its own, with more fields."""

    @property
    def tilted(self) -> Array:
        """Compute t = θ + λ, (..., n)."""

    @property
    def chosen(self) -> Array:
        """Compute μ, (..., n)."""

    @property
    def unchosen(self) -> Array:
        """Compute 1 − μ, (..., n)."""


class Outcome(NamedTuple):
    """A subset z in the place of means, and in ``counts`` the indicators of its size where the law has weights."""

    chosen: Array
    unchosen: Array
    counts: Array = None


class Law(ABC):
    """A distribution of subsets apart from its parameters (..., m), m the number of statistics T."""

    @property
    @abstractmethod
    def counts(self) -> Array | None:
        """The sizes, if they are an array: adapters pass them apart from what a program is compiled for."""

    @property
    @abstractmethod
    def static(self) -> "Law":
        """The law without `counts`, which is hashable."""

    @property
    @abstractmethod
    def is_sized(self) -> bool:
        """Whether the law is complete without `counts`."""

    @abstractmethod
    def sized(self, counts: Array | None) -> "Law":
        """The reverse of `static`."""

    @abstractmethod
    def bound(self, n: int) -> int:
        """The most items, or items left out, whichever are fewer, of any subset."""

    @abstractmethod
    def items_among(self, size: int) -> int:
        """The number of items n of parameters (..., size)."""

    @abstractmethod
    def items(self, x: Array) -> Array:
        """The entries for the items, (..., n)."""

    @abstractmethod
    def padded(self, xp: Any, x: Array) -> Array:
        """Entries for the items in the arrangement of the parameters, the others 0."""

    @abstractmethod
    def moments(
        self, ops: Ops, parameters: Array, *, partition: bool = True, chosen: bool = True, unchosen: bool = True
    ) -> Any:
        """The `Moments`, at least as far as they are asked for."""

    @abstractmethod
    def mean(self, ops: Ops, found: Any) -> Array:
        """E[T]."""

    @abstractmethod
    def complement(self, ops: Ops, found: Any) -> Array:
        """1 − E[T], the entries for the items with their own relative accuracy."""

    @abstractmethod
    def product(self, ops: Ops, parameters: Array, v: Array) -> Array:
        """Cov(T) · v; the shape of ``parameters`` and ``v`` alike."""

    @abstractmethod
    def draw(self, ops: Ops, parameters: Array, u: Array) -> Array:
        """Subsets from uniforms with the dimensions of the draws in front: draws + (..., n)."""

    @abstractmethod
    def uniforms(self, n: int) -> int:
        """How many uniforms `draw` takes for a row of n items."""

    @abstractmethod
    def reference(self, ops: Ops, parameters: Array, found: Any) -> tuple[Array, Array]:
        """A likely subset M, as truth values, and c in log Z = Σ_M θ + Σ_i |t_i| 1{M_i ≠ (t_i > 0)} + c."""

    @abstractmethod
    def surprisal(self, ops: Ops, parameters: Array, found: Any, mean: Any) -> Array:
        """−E[log p(z)] over subsets with a mean that `Moments` or an `Outcome` hold, where their sizes have a weight.

        The expectation is taken term by term with ∞ · 0 = 0, so that infinite logits contribute exactly 0 or ∞.
        """

    def entropy(self, ops: Ops, parameters: Array, known: Any) -> Array:
        """The surprisal that the law expects of itself; ``known`` has its `Moments`, or is None."""
        found = known or self.moments(ops, parameters)
        return self.surprisal(ops, parameters, found, found)

    def divergence(self, ops: Ops, parameters: Array, other: Array, known: Any, reference: Any) -> Array:
        """The surprisal that it expects of the law of ``other``, with the moments ``reference``, less its entropy."""
        here = known or self.moments(ops, parameters)
        there = reference or self.moments(ops, other, chosen=False, unchosen=False)
        return self.surprisal(ops, other, there, here) - self.surprisal(ops, parameters, here, here)

    @abstractmethod
    def outcome(self, z: Array) -> Outcome:
        """A subset in the arrangement of the parameters."""

    @abstractmethod
    def has_wrong_size(self, ops: Ops, z: Array) -> Array:
        """Whether a subset's own size, whatever the parameters, makes it impossible: truth values (...)."""

    @abstractmethod
    def likely_size(self, ops: Ops, parameters: Array) -> int | Array:
        """The size of the most likely subset, the least of several; −1 where no subset is possible."""
