"""Subsets under a cardinality potential, p(z) ∝ exp(θ · z + ω(Σz)).

Parameters are θ and ω in one array, (..., 2n + 1), because both are logits, of the statistics
T = (z, 1{Σz = 0}, …, 1{Σz = n}).
"""

from dataclasses import dataclass
from typing import Any

from ksubset._engine.arrays import broadcast_shapes, device, fill, iota, items_first
from ksubset._engine.inference import draw
from ksubset._engine.ops import Array, Ops
from ksubset._engine.potential import each_size, mixture
from ksubset._engine.potential.mixture import Mixture
from ksubset._engine.sampling import invert
from ksubset._engine.summation import compensated_sum
from ksubset._law.law import Law, Outcome
from ksubset._law.surprisals import unlikely_cost


def split(x: Array) -> tuple[Array, Array]:
    """The entries for the items, (..., n), and the entries for the counts, (..., n + 1)."""
    n = (x.shape[-1] - 1) // 2
    return x[..., :n], x[..., n:]


def join(xp: Any, items: Array, counts: Array) -> Array:
    """The reverse of `split`, the batches broadcast against each other."""
    batch: Any = broadcast_shapes(tuple(items.shape[:-1]), tuple(counts.shape[:-1]))
    return xp.concat([xp.broadcast_to(x, (*batch, x.shape[-1])) for x in (items, counts)], axis=-1)


@dataclass(frozen=True)
class SizeWeighted(Law):
    """The law of subsets of weighted sizes.

    Attributes
    ----------
    low, high
        The least and the largest size; ω is −∞ outside of them.
    """

    low: int
    high: int

    @property
    def sizes(self) -> int:
        """How many there are."""
        return self.high - self.low + 1

    @property
    def counts(self) -> None:
        return None

    @property
    def static(self) -> "SizeWeighted":
        return self

    @property
    def is_sized(self) -> bool:
        return True

    def sized(self, counts: Array | None) -> "SizeWeighted":
        return self

    def bound(self, n: int) -> int:
        return min(self.high, n - self.low)

    def items_among(self, size: int) -> int:
        return (size - 1) // 2

    def items(self, x: Array) -> Array:
        return split(x)[0]

    def padded(self, xp: Any, x: Array) -> Array:
        return join(xp, x, xp.zeros((x.shape[-1] + 1,), dtype=x.dtype, device=device(x)))

    def moments(
        self, ops: Ops, parameters: Array, *, partition: bool = True, chosen: bool = True, unchosen: bool = True
    ) -> Mixture:
        """All of the moments; with a tilt for each count where values cannot decide how many there are."""
        moments = mixture.moments if ops.sweeps else each_size.moments
        return moments(ops, *split(parameters), self.low, self.high)

    def mean(self, ops: Ops, found: Mixture) -> Array:
        """(μ, π)."""
        return ops.xp.concat([found.chosen, found.counts], axis=-1)

    def complement(self, ops: Ops, found: Mixture) -> Array:
        return ops.xp.concat([found.unchosen, 1 - found.counts], axis=-1)

    def product(self, ops: Ops, parameters: Array, v: Array) -> Array:
        product = mixture.product if ops.sweeps else each_size.product
        return ops.xp.concat(product(ops, *split(parameters), self.low, self.high, *split(v)), axis=-1)

    def draw(self, ops: Ops, parameters: Array, u: Array) -> Array:
        """The size by the first uniform of a row, then a subset of that size."""
        theta, k = self.sized_rows(ops, parameters, u[..., 0])
        n = theta.shape[-1]
        return draw(ops, theta, k, min(self.bound(n), n // 2), u[..., 1:])

    def sized_rows(self, ops: Ops, parameters: Array, u: Array) -> tuple[Array, Array]:
        """The logits once for each draw, and sizes drawn by uniforms, draws + (...); −1 where none is possible."""
        xp, theta, chances = ops.xp, self.items(parameters), self.probabilities(ops, parameters)
        each_draw = xp.broadcast_to(chances, (*u.shape, chances.shape[-1]))
        k = self.low + invert(ops, items_first(ops, each_draw), u)
        k = xp.where(xp.isnan(xp.sum(each_draw, axis=-1)), xp.full_like(k, -1), k)
        return xp.broadcast_to(theta, (*u.shape, theta.shape[-1])), k

    def probabilities(self, ops: Ops, parameters: Array) -> Array:
        """The probability of each size from `low` to `high`, (..., sizes)."""
        return self.moments(ops, parameters).counts[..., self.low : self.high + 1]

    def uniforms(self, n: int) -> int:
        return max(n, 1)

    def reference(self, ops: Ops, parameters: Array, found: Mixture) -> tuple[Array, Array]:
        """The items with t > 0."""
        return found.tilted > 0, found.lead + found.log_partition

    def surprisal(self, ops: Ops, parameters: Array, found: Mixture, mean: Mixture | Outcome) -> Array:
        """Σ |t| · m − Σ π ω' + log partition, m the mean of each item's less likely side, ω' = ω + slope."""
        xp, slanted = ops.xp, split(parameters)[1] + found.slope
        terms = xp.where(mean.counts == 0, xp.zeros_like(slanted), slanted) * mean.counts
        return unlikely_cost(ops, found.tilted, mean) + found.log_partition - compensated_sum(ops, terms)

    def outcome(self, z: Array) -> Outcome:
        z, counts = split(z)
        return Outcome(z, 1 - z, counts)

    def has_wrong_size(self, ops: Ops, z: Array) -> Array:
        """Never: ω says so."""
        return ops.xp.zeros(tuple(z.shape[:-1]), dtype=ops.xp.bool, device=device(z))

    def likely_size(self, ops: Ops, parameters: Array) -> Array:
        """The least c that maximises the sum of the c largest logits plus ω(c)."""
        xp, (theta, omega) = ops.xp, split(parameters)
        descending = xp.flip(xp.sort(theta, axis=-1), axis=-1)
        always = xp.sum(xp.astype(theta == xp.inf, xp.int32), axis=-1, keepdims=True)
        sums = xp.cumulative_sum(xp.where(descending == xp.inf, xp.zeros_like(theta), descending), axis=-1)
        sums = xp.concat([xp.zeros_like(omega[..., :1]), sums], axis=-1) + omega
        nowhere = fill(ops, (), -float("inf"), sums)
        sums = xp.where(iota(ops, omega.shape[-1], sums) >= always, sums, nowhere)
        possible = (xp.max(sums, axis=-1) > nowhere) & ~xp.any(omega == xp.inf, axis=-1)
        size = xp.argmax(sums, axis=-1)
        return xp.where(possible, size, xp.full_like(size, -1))
