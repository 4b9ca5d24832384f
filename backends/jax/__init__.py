"""Adapter for JAX arrays and tracers."""

from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from ksubset._call.backend import Backend, Function, Known
from ksubset._engine.ops import Array, Ops
from ksubset._law.derivatives import RULES, PerRow
from ksubset._law.functions import marginals_jvp
from ksubset._law.law import Law
from ksubset.backends.jax import estimators
from ksubset.backends.jax.autodiff import evaluate as evaluate_differentiable
from ksubset.backends.jax.autodiff import product
from ksubset.backends.jax.kernels import choose, takes
from ksubset.backends.jax.ops import ops_for
from ksubset.backends.jax.random import key_of, seed_words, signed_uniforms
from ksubset.backends.jax.settings import by_own_settings
from ksubset.backends.jax.sharding import automatic, is_explicit, on_common_axes, on_one_device

if TYPE_CHECKING:
    from ksubset.backends._cpu.calls import Path
    from ksubset.backends._cuda.launch import Launch


def _evaluate(function: Callable[..., Array], law: Law, parameters: Array, *arrays: Array, solution: Known) -> Array:
    if function is marginals_jvp:
        return product(law, parameters, arrays[0])
    return evaluate_differentiable(function, law, parameters, *arrays, solution=solution)


@lru_cache(maxsize=1024)
def _solver(law: Law) -> Callable[..., Any]:
    def call(parameters: Array, counts: Array | None) -> Any:
        return law.sized(counts).moments(ops_for(parameters), jax.lax.stop_gradient(parameters))

    return cast("Callable[..., Any]", jax.jit(call))


class JAX(Backend):
    """Arrays and tracers of JAX."""

    differentiates = True

    surrogate = staticmethod(estimators.surrogate)
    value_and_gradient = staticmethod(estimators.value_and_gradient)

    def ops(self, x: Array) -> Ops:
        return ops_for(x)

    def namespace(self, x: Array) -> Any:
        return jnp

    def is_array(self, x: object, like: object = None) -> bool:
        return isinstance(x, jax.Array)

    def is_readable(self, x: Array) -> bool:
        """Concrete and on CPU devices only."""
        return not isinstance(x, jax.core.Tracer) and all(d.platform == "cpu" for d in x.devices())

    def readable(self, x: Array) -> Array:
        """In NumPy, which need not compile a program for every new shape."""
        if isinstance(x, jax.core.Tracer):
            raise ValueError("validate=True needs values that can be read; got an array that JAX traces")
        return np.asarray(x)

    def extremes(self, x: Array) -> tuple[float, float]:
        if not x.size:
            return 0.0, 0.0
        values = self.readable(x)
        with np.errstate(invalid="ignore"):  # the NaN of bfloat16 would warn
            return float(values.min()), float(values.max())

    def same_device(self, x: Array, y: Array) -> bool:
        """JAX checks placement itself, and arrays that follow their operands have none of their own."""
        return True

    @by_own_settings
    def uniforms(self, rng: object, shape: tuple[int, ...], like: Array) -> Array:
        """From a key, or from an int that seeds one."""
        return signed_uniforms(key_of(rng), shape, like.dtype.name)

    @by_own_settings
    def gammas(self, rng: object, concentration: float, shape: tuple[int, ...], like: Array) -> Array:
        return estimators.gammas(key_of(rng), concentration, shape, like)

    @by_own_settings
    def evaluate(
        self, function: Callable[..., Array], law: Law, parameters: Array, *arrays: Array, solution: Known = None
    ) -> Array:
        if on_one_device(parameters, law.counts, *arrays):
            return _evaluate(function, law, parameters, *arrays, solution=solution)
        parameters, counts, *given = on_common_axes(parameters, law.counts, *arrays)
        known = None if is_explicit(parameters) else solution

        def value(parameters: Array, counts: Array | None, *arrays: Array) -> Array:
            return _evaluate(function, law.static.sized(counts), parameters, *arrays, solution=known)

        return automatic(value, isinstance(RULES.get(function), PerRow), parameters, counts, *given)

    @by_own_settings
    def draw(
        self,
        function: Callable[..., Array],
        law: Law,
        parameters: Array,
        rng: object,
        sample_shape: tuple[int, ...],
    ) -> Array | None:
        if not takes(law, "draw", parameters):
            return None
        z = evaluate_differentiable(function, law, parameters, seed_words(key_of(rng)), draws=prod(sample_shape))
        return z.reshape((*sample_shape, *z.shape[1:]))

    def path(self, law: Law, name: str, parameters: Array) -> "Path | Launch | str":
        return choose(law, name, parameters.shape, parameters.dtype)

    @by_own_settings
    def moments(self, law: Law, parameters: Array) -> Any:
        return _solver(law.static)(parameters, law.counts)

    def by_own_settings(self, function: Function) -> Function:
        return cast("Function", by_own_settings(function))


ADAPTER = JAX()
