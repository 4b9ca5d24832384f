"""Laws of subsets of one size whose quantities come from kernels, for functions that ask a law for several of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ksubset._engine.ops import Array, Ops
from ksubset._law.fixed_size import FixedSize


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
