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
from ksubset._law.derivatives import GRADIENTS, INVERSES, JACOBIANS, MAPS, change_of_logits, find, moments
from ksubset.backends.jax.cpu import DRAW, KERNEL, array_code, batched, takes
from ksubset.backends.jax.settings import by_own_settings
from ksubset.backends.jax.sharding import lowered_with_devices

jax.tree_util.register_dataclass(Solution)
jax.tree_util.register_dataclass(Mixture)


def product(function: Callable[..., Array], logits: Array, k: int | Array, width: int, v: Array) -> Array:
    """J · v, the logits broadcast against v; ``function`` is one of `derivatives.PRODUCTS`."""
    logits, v = jnp.broadcast_arrays(logits, v)
    static, counts = (k, ()) if isinstance(k, int) else (None, (jnp.broadcast_to(k, logits.shape[:-1]),))
    name = function.__name__
    return PRODUCT.bind(logits, v, *counts, name=name, k=static, width=width, fast=takes(name, logits, width))


def solve(logits: Array, k: int | Array, width: int, v: Array) -> Array:
    """The x of J · x = v, which JAX differentiates and transposes as the solution of a symmetric linear system."""

    @by_own_settings
    def conjugate_gradients(_: Any, b: Array) -> Array:

        fixed = jax.lax.stop_gradient(logits)
        from ksubset.backends.jax import ADAPTER

        return functions.jacobian_solve(ADAPTER.ops(logits), fixed, k, width, b)

    def matrix(x: Array) -> Array:
        return product(functions.marginals_jvp, logits, k, width, x)

    linear: Any = jax.lax.custom_linear_solve
    return linear(matrix, v, conjugate_gradients, symmetric=True)


PRODUCT: Any = Primitive("ksubset_product")
"""Operands: logits and v of one shape, and the counts (...) unless the parameter ``k`` is an int.

``name`` is that of one of `derivatives.PRODUCTS`; ``fast`` says whether it is computed by a kernel.
"""


def _code(*operands: Array, fast: bool, **parameters: Any) -> Array:
    return (KERNEL.bind if fast else array_code)(*operands, **parameters)


@by_own_settings
def _differentiable_code(logits: Array, v: Array, *counts: Array, name: str, k: int | None, width: int) -> Array:
    """Array code without a loop that `jax.grad` would refuse."""
    from ksubset.backends.jax import ADAPTER

    count, code = k if k is not None else counts[0], replace(ADAPTER.ops(logits), sweeps=False)
    return find(name)(code, logits, count, width, v)


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
        others = {name: value for name, value in parameters.items() if name != "fast"}
        code: Callable[..., Array] = partial(_differentiable_code, **others)
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

    function: Callable[..., Array]
    k: int | Array
    width: int
    xp: Any = jnp

    def marginals(self, logits: Array) -> Array:
        return evaluate(moments(self.function)[0], logits, self.k, self.width)

    def product(self, logits: Array, v: Array) -> Array:
        return product(moments(self.function)[1], logits, self.k, self.width, v)

    def solve(self, logits: Array, v: Array) -> Array:
        return solve(logits, self.k, self.width, v)


def evaluate(
    function: Callable[..., Array],
    logits: Array,
    k: int | Array,
    width: int,
    *arrays: Array,
    solution: Known = None,
    draws: int | None = None,
) -> Array:
    """One of ``ksubset._law.functions`` with its derivatives, by a kernel where there is one.

    With ``draws``, `sample` or `rsample` by a kernel, the seed of `DRAW` in the place of uniforms: draws + (..., n).
    """
    static, count = (k, None) if isinstance(k, int) else (None, k)
    fast = solution is None and takes(function.__name__, logits, width)
    return differentiable(function, static, width, fast, draws)(logits, count, arrays, solution)


@lru_cache(maxsize=1024)
def differentiable(
    function: Callable[..., Array], k: int | None, width: int, fast: bool, draws: int | None
) -> Callable[..., Array]:
    """A function compiled for a static k and width, with its derivative rule; JAX keeps one program per shape."""

    @by_own_settings
    def value(logits: Array, count: Array | None, arrays: tuple[Array, ...], solution: Known) -> Array:
        from ksubset.backends.jax import ADAPTER

        counts = () if k is not None else (count,)
        if draws is not None:
            return DRAW.bind(logits, *arrays, *counts, name="sample", draws=draws, k=k, width=width)
        if fast:
            return KERNEL.bind(logits, *arrays, *counts, name=function.__name__, k=k, width=width)
        return function(ADAPTER.ops(logits), logits, count if k is None else k, width, *arrays, solution=solution)

    @by_own_settings
    def rule(primals: Any, tangents: Any) -> tuple[Array, Array]:
        (logits, count, arrays, _), (dlogits, _, darrays, _) = primals, tangents
        rules, result = Differentiable(function, count if k is None else k, width), call(*primals)
        if function in JACOBIANS:
            change = JACOBIANS[function] * rules.product(logits, dlogits)
        elif function in INVERSES:
            change = change_of_logits(rules, result, dlogits)
        elif function in MAPS:
            change = MAPS[function][0](rules, logits, jax.lax.stop_gradient(result), dlogits)
        elif function in GRADIENTS:
            gradients = GRADIENTS[function](rules, logits, *arrays)
            change = sum(jnp.sum(g * d, axis=-1) for g, d in zip(gradients, (dlogits, *darrays), strict=True))
        else:
            change = jnp.zeros_like(result)
        return result, jnp.broadcast_to(change, result.shape)

    call = jax.custom_jvp(value)
    call.defjvp(rule)
    return cast("Callable[..., Array]", jax.jit(call))
