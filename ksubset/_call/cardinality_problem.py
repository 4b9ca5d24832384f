"""A validated call with a cardinality potential in the place of k."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ksubset._call.backend import Known
from ksubset._call.problem import Problem
from ksubset._call.value_checks import check_feasible_counts
from ksubset._engine.arrays import device
from ksubset._engine.ops import Array
from ksubset._law import functions
from ksubset._law.size_weighted import join


@dataclass
class CardinalityProblem(Problem):
    """A validated call with a cardinality potential: its law is a `ksubset._law.size_weighted.SizeWeighted`.

    Attributes
    ----------
    log_weights
        (..., n + 1), of the batch shape and the dtype of the logits; −∞ outside of the law's sizes.
    """

    log_weights: Array

    @property
    def parameters(self) -> Array:
        """Logits and log-weights."""
        return self.xp.concat([self.logits, self.log_weights], axis=-1)

    def value(self, function: Callable[..., Any], *arrays: Array, solution: Known = None) -> Array:
        """As for `Problem`; the divergence to the uniform law is to the law with the same weights and all logits 0."""
        if function is functions.kl_to_uniform:
            return self.value(functions.kl_divergence, self.xp.zeros_like(self.logits), solution=solution)
        if function in functions.DRAWING:
            return self.cast(self._with_gradient(function, self._drawn_from(arrays[0])))
        arranged = [self._arranged(function, x) for x in arrays]
        value = self.backend.evaluate(function, self.law, self.parameters, *arranged, solution=solution)
        return self.cast(self.law.items(value) if function in functions.STATISTICS else value)

    def _arranged(self, function: Callable[..., Any], x: Array) -> Array:
        """A companion of the logits in the arrangement of the parameters."""
        if function is functions.kl_divergence:
            return join(self.xp, x, self.log_weights)
        if function is functions.log_prob:
            return self._outcome(x)
        return self.law.padded(self.xp, x)

    def _outcome(self, z: Array) -> Array:
        xp, counts = self.xp, self.log_weights.shape[-1]
        sizes = xp.reshape(xp.arange(counts, dtype=z.dtype, device=device(z)), (*(1,) * (z.ndim - 1), counts))
        return join(xp, z, xp.astype(sizes == xp.sum(z, axis=-1, keepdims=True), z.dtype))

    def _drawn_from(self, u: Array) -> Array:
        fixed = self.backend.ops(self.logits).stop_gradient(self.parameters)
        return self.backend.evaluate(functions.sample, self.law, fixed, u)

    def _with_gradient(self, function: Callable[..., Any], z: Array) -> Array:
        """Subsets; from `rsample` they have the derivative of their mean."""
        return z if function is functions.sample else self.attached(z, self.value(functions.marginals))

    def sampled(self, function: Callable[..., Array], rng: object, sample_shape: tuple[int, ...]) -> Array:
        """Samples of these rows: by a kernel where there is one, else by uniforms."""
        z = self.backend.draw(functions.sample, self.law, self.parameters, rng, sample_shape)
        if z is not None:
            return self.cast(self._with_gradient(function, z))
        return self.value(function, self.uniforms(rng, sample_shape))

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
        if self.validates_anywhere or self.backend.is_readable(self.log_weights):
            check_feasible_counts(logits, self.log_weights, self.backend, name)
