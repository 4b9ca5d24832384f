"""Laws of subsets of one size whose quantities come from kernels, for functions that ask a law for several of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ksubset._engine.ops import Array, Ops
from ksubset._law.fixed_size import FixedSize
from ksubset._law.law import Outcome


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
class Scored(FixedSize):
    """The law with entropies and expected log-probabilities from kernels, for divergences.

    Attributes
    ----------
    double
        ``double(x)``: x in float64 where there is one, since a divergence is a small difference of large numbers.
    sides
        ``sides(law, logits)``: the `Moments`, of which the marginals are needed.
    entropies
        ``entropies(law, logits)``: a number for each row.
    expected
        ``expected(law, logits, means)``: what a law with these `signed_means` expects of the log-probability.
    """

    double: Callable[[Array], Array]
    sides: Callable[..., Any]
    entropies: Callable[..., Array]
    expected: Callable[..., Array]

    def entropy(self, ops: Ops, parameters: Array, known: Any) -> Array:
        return self.entropies(self, self.double(parameters))

    def divergence(self, ops: Ops, parameters: Array, other: Array, known: Any, reference: Any) -> Array:
        here, there = ops.xp.broadcast_arrays(self.double(parameters), self.double(other))
        law = self.sized(None if self.counts is None else ops.xp.broadcast_to(self.counts, here.shape[:-1]))
        means = signed_means(ops.xp, self.sides(law, here))
        return self.expected(law, here, means) - self.expected(law, there, means)


def signed_means(xp: Any, found: Any) -> Array:
    """μ, or −(1 − μ) where that has more digits and is not 0."""
    return xp.where((found.chosen <= found.unchosen) | (found.unchosen == 0), found.chosen, -found.unchosen)


def expected_log_prob(ops: Ops, law: FixedSize, logits: Array, means: Array, *, solution: Any = None) -> Array:
    """What a law with these `signed_means` expects of the log-probability, in array code."""
    xp, found = ops.xp, solution or law.moments(ops, logits, chosen=False, unchosen=False)
    complement = means < 0
    mean = Outcome(xp.where(complement, 1 + means, means), xp.where(complement, -means, 1 - means))
    return -law.surprisal(ops, logits, found, mean)
