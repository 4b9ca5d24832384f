"""A validated call with a cardinality potential in the place of k."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ksubset._call.backend import Known
from ksubset._call.problem import Problem
from ksubset._call.values import check_feasible_counts
from ksubset._engine.arrays import broadcast_shapes, device
from ksubset._engine.ops import Array
from ksubset._engine.potential.mixture import Mixture
from ksubset._law import functions, weighted

if TYPE_CHECKING:
    from ksubset.backends._cpu.calls import Path
    from ksubset.backends._cuda.geometry import Launch


@dataclass
class CardinalityProblem(Problem):
    """A validated call with a cardinality potential: ``k`` and ``width`` are the least and the largest count.

    Attributes
    ----------
    log_weights
        (..., n + 1), of the batch shape and the dtype of the logits; −∞ outside of ``k`` … ``width``.
    """

    log_weights: Array

    def rows(self, function: Callable[..., Any], *arrays: Array, solution: Known = None) -> Array:
        """The counterpart of one of ``ksubset._law.functions``."""
        name = function.__name__
        if function is functions.kl_to_uniform:
            return self.rows(functions.kl_divergence, self.xp.zeros_like(self.logits), solution=solution)
        if function in (functions.sample, functions.rsample):
            fixed = self.backend.ops(self.logits).stop_gradient(self._together)
            z = self._value(weighted.weighted_sample, fixed, arrays[0])
            return self.cast(self._with_gradient(function, z))
        joined = [self._joined(name, x) for x in arrays]
        value = self._value(weighted.FUNCTIONS[name], self._together, *joined, solution=solution)
        return self.cast(value[..., : self.logits.shape[-1]] if name in PER_ITEM else value)

    def _value(self, function: Callable[..., Array], together: Array, *arrays: Array, solution: Known = None) -> Array:
        return self.backend.evaluate(function, together, self.k, self.width, *arrays, solution=solution)

    @property
    def _together(self) -> Array:
        """Logits and log-weights, (..., 2n + 1)."""
        return self.xp.concat([self.logits, self.log_weights], axis=-1)

    def _joined(self, name: str, x: Array) -> Array:
        """A companion of the logits, joined with its counterpart for the counts."""
        xp, counts = self.xp, self.log_weights.shape[-1]
        if name == "kl_divergence":
            rest = self.log_weights
        elif name == "log_prob":
            places = xp.reshape(xp.arange(counts, dtype=x.dtype, device=device(x)), (*(1,) * (x.ndim - 1), counts))
            rest = xp.astype(places == xp.sum(x, axis=-1, keepdims=True), x.dtype)
        else:
            rest = xp.zeros((*x.shape[:-1], counts), dtype=x.dtype, device=device(x))
        batch = broadcast_shapes(tuple(x.shape[:-1]), tuple(rest.shape[:-1]))
        return xp.concat([xp.broadcast_to(y, (*batch, y.shape[-1])) for y in (x, rest)], axis=-1)  # type: ignore[misc]

    def _with_gradient(self, function: Callable[..., Any], z: Array) -> Array:
        """Subsets; from `rsample` they have the derivative of their mean."""
        if function is functions.sample:
            return z
        mean = self.rows(functions.marginals)
        change = mean - self.backend.ops(mean).stop_gradient(mean)
        return z + self.xp.broadcast_to(change, tuple(z.shape))

    @property
    def uniforms(self) -> int:
        """How many uniforms the sampler takes for a row: one for the count, then one for each division."""
        return max(int(self.logits.shape[-1]), 1)

    def drawn(self, function: Callable[..., Array], rng: object, sample_shape: tuple[int, ...]) -> Array:
        """Samples of these rows: by a kernel where there is one, else by uniforms."""
        z = self.backend.draw_weighted(self._together, self.k, self.width, rng, sample_shape)
        if z is not None:
            return self.cast(self._with_gradient(function, z))
        shape = (*sample_shape, *self.logits.shape[:-1], self.uniforms)
        return self.rows(function, self.backend.uniforms(rng, shape, self.logits))

    def each_item(self) -> "CardinalityProblem":
        """As for `Problem`."""
        return replace(self, logits=self.logits[..., None, :], log_weights=self.log_weights[..., None, :])

    def promoted(self, other: Array) -> tuple[Problem, Array]:
        """Bring the logits, the log-weights and another array to a common dtype."""
        problem, other = super().promoted(other)
        log_weights = self.xp.astype(self.log_weights, problem.logits.dtype, copy=False)
        return replace(problem, log_weights=log_weights), other  # type: ignore[call-arg]  # it is one of these

    def check_values(self, logits: Array, name: str = "logits") -> None:
        """Raise if a row holds NaN, or if infinite logits rule out every count that has a weight."""
        if self.reads_anywhere or self.backend.is_readable(self.log_weights):
            check_feasible_counts(logits, self.log_weights, self.backend, name)

    def solve(self) -> Mixture:
        """The moments that several functions share, without gradients."""
        return self.backend.solve_weighted(self._together, self.k, self.width)

    def path(self, name: str) -> "Path | Launch | str":
        """As for `Problem`."""
        width = min(self.width, self.logits.shape[-1] - self.k)
        return self.backend.path(f"weighted_{name}", self._together, width)


PER_ITEM = ("marginals", "unchosen", "marginals_jvp")
"""Functions whose value has a part for the items and one for the counts."""
