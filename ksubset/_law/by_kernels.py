"""Laws whose quantities come from kernels of subsets of one size, for functions that ask a law for several of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ksubset._engine.ops import Array, Ops
from ksubset._engine.potential import each_size
from ksubset._engine.potential.each_size import OneSize
from ksubset._engine.potential.mixture import Mixture
from ksubset._law.fixed_size import FixedSize
from ksubset._law.size_weighted import SizeWeighted, split


@dataclass(frozen=True)
class ByKernels(FixedSize):
    """The law with moments and products from kernels, for functions that ask for them time and again.

    Attributes
    ----------
    solve
        ``solve(law, logits, partition=…, chosen=…, unchosen=…)``: the moments that are asked for.
    multiply
        ``multiply(law, logits, v)``: J · v.
    """

    solve: Callable[..., Any]
    multiply: Callable[..., Array]

    def moments(self, ops: Ops, parameters: Array, **wanted: bool) -> Any:
        return self.solve(self, parameters, **wanted)

    def product(self, ops: Ops, parameters: Array, v: Array) -> Array:
        return self.multiply(self, parameters, v)


@dataclass(frozen=True)
class DivergencesByKernels(FixedSize):
    """The law with entropies and divergences from kernels.

    Attributes
    ----------
    double
        ``double(x)``: x in float64 where there is one, since a divergence is a small difference of large numbers.
    entropies
        ``entropies(law, logits)``: a number for each row.
    divergences
        ``divergences(law, logits, other)``: a number for each row, of two arrays of one shape.
    """

    double: Callable[[Array], Array]
    entropies: Callable[..., Array]
    divergences: Callable[..., Array]

    def entropy(self, ops: Ops, parameters: Array, known: Any) -> Array:
        return self.entropies(self, self.double(parameters))

    def divergence(self, ops: Ops, parameters: Array, other: Array, known: Any, reference: Any) -> Array:
        here, there = ops.xp.broadcast_arrays(self.double(parameters), self.double(other))
        law = self.sized(None if self.counts is None else ops.xp.broadcast_to(self.counts, here.shape[:-1]))
        return self.divergences(law, here, there)


@dataclass(frozen=True)
class WeightedByKernels(SizeWeighted):
    """Subsets of weighted sizes as a mixture of subsets of one size, which kernels compute."""

    one_size: OneSize

    def moments(self, ops: Ops, parameters: Array, **wanted: bool) -> Mixture:
        return each_size.moments(ops, *split(parameters), self.low, self.high, self.one_size)

    def product(self, ops: Ops, parameters: Array, v: Array) -> Array:
        given = *split(parameters), self.low, self.high, *split(v)
        return ops.xp.concat(each_size.product(ops, *given, self.one_size), axis=-1)

    def probabilities(self, ops: Ops, parameters: Array) -> Array:
        """Without the marginals."""
        return each_size.probabilities(ops, *split(parameters), self.low, self.high, self.one_size)
