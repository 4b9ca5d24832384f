"""Derivatives for JAX: `ksubset._law.derivatives` attached by custom rules, J · v as a primitive.

J · v is a primitive because it is linear and symmetric in v: it is its own transpose. With that one fact JAX runs the
rules of `jax.custom_jvp` in forward and in reverse mode, and a backward pass keeps the logits and nothing else; the
linearised tree is never stored.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from ksubset._call.backend import Known
from ksubset._engine.inference import Solution
from ksubset._engine.ops import Array
from ksubset._engine.potential.mixture import Mixture
from ksubset._law import functions
from ksubset._law.by_kernels import ByKernels, DivergencesByKernels
from ksubset._law.derivatives import RULES
from ksubset._law.fixed_size import FixedSize
from ksubset._law.law import Law
from ksubset.backends.jax.kernels import DRAW, KERNEL, array_code, batched, log_prob, takes
from ksubset.backends.jax.ops import ops_for
from ksubset.backends.jax.settings import by_own_settings
from ksubset.backends.jax.sharding import lowered_with_devices, several_devices

jax.tree_util.register_dataclass(Solution)
jax.tree_util.register_dataclass(Mixture)


def product(law: Law, parameters: Array, v: Array) -> Array:
    """J · v, the parameters broadcast against v."""
    parameters, v = jnp.broadcast_arrays(parameters, v)
    counts = () if law.counts is None else (jnp.broadcast_to(law.counts, parameters.shape[:-1]),)
    fast = takes(law, functions.marginals_jvp.__name__, parameters)
    return PRODUCT.bind(parameters, v, *counts, law=law.static, fast=fast)


def inverse_product(law: FixedSize, logits: Array, v: Array) -> Array:
    """The x of J · x = v, which JAX differentiates and transposes as the solution of a symmetric linear system."""

    @by_own_settings
    def conjugate_gradients(_: Any, b: Array) -> Array:
        kernels = by_kernels(functions.jacobian_solve, law, logits)
        return functions.jacobian_solve(ops_for(b), kernels, jax.lax.stop_gradient(logits), b)

    def matrix(x: Array) -> Array:
        return product(law, logits, x)

    linear: Any = jax.lax.custom_linear_solve
    return linear(matrix, v, conjugate_gradients, symmetric=True)


def by_kernels(function: Callable[..., Array], law: FixedSize, logits: Array) -> FixedSize:
    """The law for functions of which ``functions.asks_kernels`` is true; their programs compile faster, too."""
    if several_devices() or not takes(law, functions.marginals.__name__, logits):
        return law
    if function in functions.DIVERGENCES:
        entropies, divergences = (partial(_kernel, x) for x in (functions.entropy, functions.kl_divergence))
        return DivergencesByKernels(law.k, law.width, _double, entropies, divergences)
    return ByKernels(law.k, law.width, _sides, _multiply)


def _kernel(function: Callable[..., Array], law: FixedSize, logits: Array, *arrays: Array) -> Array:
    operands = (logits, *arrays) if law.counts is None else (logits, *arrays, law.counts)
    return KERNEL.bind(*operands, function=function, law=FixedSize(law.k, law.width).static)


def _sides(law: FixedSize, logits: Array, **wanted: bool) -> Solution:
    return Solution(None, None, *(_kernel(x, law, logits) for x in (functions.marginals, functions.unchosen)))


def _multiply(law: FixedSize, logits: Array, v: Array) -> Array:
    return product(FixedSize(law.k, law.width), logits, v)


def _double(x: Array) -> Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.result_type(float)))


PRODUCT: Any = Primitive("ksubset_product")
"""Operands: parameters and v of one shape, and the sizes (...) that the static form ``law`` lacks.

``fast`` says whether it is computed by a kernel.
"""


def _code(*operands: Array, fast: bool, law: Law) -> Array:
    return (KERNEL.bind if fast else array_code)(*operands, function=functions.marginals_jvp, law=law)


@by_own_settings
def _differentiable_code(law: Law, parameters: Array, v: Array, *counts: Array) -> Array:
    """Array code without a loop that `jax.grad` would refuse."""
    ops = replace(ops_for(v), sweeps=False)
    return functions.marginals_jvp(ops, law.sized(*counts or (None,)), parameters, v)


def _compiled(*operands: Array, **parameters: Any) -> Array:
    return _jitted(**parameters)(*operands)


@lru_cache(maxsize=1024)
def _jitted(**parameters: Any) -> Callable[..., Array]:
    return cast("Callable[..., Array]", jax.jit(partial(_code, **parameters)))


def _shape(logits: Any, v: Any, *counts: Any, **parameters: Any) -> Any:
    return v


@by_own_settings
def _jvp(primals: Any, tangents: Any, **parameters: Any) -> tuple[Array, Array]:
    """The derivative in the logits comes from the core's array code, contracted by its symmetry in reverse mode."""
    (logits, v, *counts), (dlogits, dv, *_) = primals, tangents
    bind = partial(PRODUCT.bind, **parameters)
    change = jnp.zeros_like(v)
    if type(dv) is not ad.Zero:
        change = change + bind(logits, dv, *counts)
    if type(dlogits) is not ad.Zero:
        code: Callable[..., Array] = partial(_differentiable_code, parameters["law"])
        change = change + jax.jvp(lambda x: code(x, v, *counts), (logits,), (dlogits,))[1]
    return bind(logits, v, *counts), change


def _transpose(cotangent: Any, logits: Any, v: Any, *counts: Any, **parameters: Any) -> list[Any]:
    if type(cotangent) is ad.Zero:
        return [None] * (2 + len(counts))
    return [None, PRODUCT.bind(logits, cotangent, *counts, **parameters), *(None for _ in counts)]


PRODUCT.def_impl(_compiled)
PRODUCT.def_abstract_eval(_shape)
ad.primitive_jvps[PRODUCT] = _jvp
ad.primitive_transposes[PRODUCT] = _transpose
batching.primitive_batchers[PRODUCT] = partial(batched, PRODUCT)
mlir.register_lowering(PRODUCT, mlir.lower_fun(_code, multiple_results=False))
lowered_with_devices(PRODUCT)


@dataclass(frozen=True)
class Differentiable:
    """Marginals and J · v as JAX differentiates them; see `ksubset._law.derivatives.Differentiable`."""

    law: Law
    xp: Any = jnp

    def marginals(self, parameters: Array) -> Array:
        return evaluate(functions.marginals, self.law, parameters)

    def product(self, parameters: Array, v: Array) -> Array:
        return product(self.law, parameters, v)

    def inverse_product(self, logits: Array, v: Array) -> Array:
        return inverse_product(cast("FixedSize", self.law), logits, v)

    def constant(self, x: Array) -> Array:
        return jax.lax.stop_gradient(x)


def evaluate(
    function: Callable[..., Array],
    law: Law,
    parameters: Array,
    *arrays: Array,
    solution: Known = None,
    draws: int | None = None,
) -> Array:
    """One of ``ksubset._law.functions`` with its derivatives, by a kernel where there is one.

    With ``draws``, `sample` or `rsample` by a kernel, the seed of `DRAW` in the place of uniforms: draws + (..., n).
    """
    fast = solution is None and takes(law, function.__name__, parameters)
    return differentiable(function, law.static, fast, draws)(parameters, law.counts, arrays, solution)


@lru_cache(maxsize=1024)
def differentiable(function: Callable[..., Array], law: Law, fast: bool, draws: int | None) -> Callable[..., Array]:
    """A function compiled for the static form of a law, with its derivative rule; JAX keeps one program per shape."""

    @by_own_settings
    def value(parameters: Array, counts: Array | None, arrays: tuple[Array, ...], solution: Known) -> Array:
        operands = (parameters, *arrays) if counts is None else (parameters, *arrays, counts)
        if draws is not None:
            return DRAW.bind(*operands, draws=draws, law=law)
        if fast and function is functions.log_prob:
            return log_prob(law, parameters, counts, *arrays)
        if fast:
            return KERNEL.bind(*operands, function=function, law=law)
        sized = law.sized(counts)
        if solution is None and functions.asks_kernels(function, law):
            sized = by_kernels(function, cast("FixedSize", sized), parameters)
        result = function(ops_for(parameters), sized, parameters, *arrays, solution=solution)
        return result.astype(parameters.dtype)

    @by_own_settings
    def derive(primals: Any, tangents: Any) -> tuple[Array, Array]:
        (parameters, counts, arrays, _), (change, _, changes, _) = primals, tangents
        result, rule = call(*primals), RULES.get(function)
        if rule is None:
            return result, jnp.zeros_like(result)
        kept = rule.kept((parameters, *arrays), result)
        image: Any = rule.jvp(Differentiable(law.sized(counts)), kept, (change, *changes))
        return result, jnp.broadcast_to(image, result.shape)

    call = jax.custom_jvp(value)
    call.defjvp(derive)
    return cast("Callable[..., Array]", jax.jit(call))
