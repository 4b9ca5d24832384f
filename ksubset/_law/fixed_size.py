"""Subsets of exactly k items, p(z) ∝ exp(θ · z): the parameters are the logits θ, (..., n)."""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from math import fsum, log
from typing import Any, cast

from ksubset._engine.arrays import constant
from ksubset._engine.inference import Solution, draw, jacobian_product, moments
from ksubset._engine.ops import Array, Ops
from ksubset._engine.selection import largest
from ksubset._law.law import Law, Outcome
from ksubset._law.surprisals import unlikely_cost


@dataclass(frozen=True)
class FixedSize(Law):
    """The law of subsets of one size.

    Attributes
    ----------
    k
        The size, an int or integers (...); None in the static form of a law whose sizes are an array.
    width
        A static bound on min(k, n − k).
    """

    k: int | Array | None
    width: int

    @property
    def counts(self) -> Array | None:
        return None if isinstance(self.k, int) else self.k

    @property
    def static(self) -> "FixedSize":
        return self if isinstance(self.k, int) else FixedSize(None, self.width)

    @property
    def is_sized(self) -> bool:
        return isinstance(self.k, int)

    def sized(self, counts: Array | None) -> "FixedSize":
        return self if counts is None else replace(self, k=counts)

    def bound(self, n: int) -> int:
        return self.width

    def items_among(self, size: int) -> int:
        return size

    def items(self, x: Array) -> Array:
        return x

    def padded(self, xp: Any, x: Array) -> Array:
        return x

    def moments(
        self, ops: Ops, parameters: Array, *, partition: bool = True, chosen: bool = True, unchosen: bool = True
    ) -> Solution:
        return moments(ops, parameters, self.k, partition=partition, chosen=chosen, unchosen=unchosen)

    def mean(self, ops: Ops, found: Solution) -> Array:
        return found.chosen

    def complement(self, ops: Ops, found: Solution) -> Array:
        return found.unchosen

    def product(self, ops: Ops, parameters: Array, v: Array) -> Array:
        return jacobian_product(ops, parameters, self.k, v)

    def draw(self, ops: Ops, parameters: Array, u: Array) -> Array:
        return draw(ops, parameters, self.k, self.width, u)

    def uniforms(self, n: int) -> int:
        return max(n - 1, 0)

    def reference(self, ops: Ops, parameters: Array, found: Solution) -> tuple[Array, Array]:
        """The k largest logits: no large terms cancel."""
        return largest(ops, parameters, self.k).chosen, found.log_partition

    def surprisal(self, ops: Ops, parameters: Array, found: Solution, mean: Solution | Outcome) -> Array:
        """Σ |t| · m + log partition, m the mean of each item's less likely side."""
        return unlikely_cost(ops, found.tilted, mean) + found.log_partition

    def outcome(self, z: Array) -> Outcome:
        return Outcome(z, 1 - z)

    def has_wrong_size(self, ops: Ops, z: Array) -> Array:
        xp = ops.xp
        return xp.sum(z, axis=-1) != (self.k if isinstance(self.k, int) else xp.astype(self.k, z.dtype))

    def likely_size(self, ops: Ops, parameters: Array) -> int | Array:
        return self.k

    def log_subsets(self, ops: Ops, n: int, like: Array) -> float | Array:
        """log C(n, k), a number or one for each row, in the dtype of ``like``."""
        xp, k = ops.xp, cast("Any", self.k)
        if isinstance(k, int):
            return log_binomial(n, k)
        table = constant(ops, _log_binomials(n, self.width), like)
        smaller = xp.clip(xp.minimum(k, n - k), 0, self.width)
        return xp.reshape(xp.take(table, xp.reshape(smaller, (-1,)), axis=0), tuple(smaller.shape))


@lru_cache
def log_binomial(n: int, k: int) -> float:
    """log C(n, k); the number itself takes seconds where n is 400,000."""
    return fsum(log((n - j) / (j + 1)) for j in range(min(k, n - k)))


@lru_cache
def _log_binomials(n: int, most: int) -> list[float]:
    """log C(n, j) for j = 0 … most."""
    return list(accumulate((log((n - j) / (j + 1)) for j in range(most)), initial=0.0))
