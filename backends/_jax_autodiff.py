"""Derivatives for JAX: `ksubset._derivatives` attached by custom rules, J · v as a primitive.

J · v is a primitive because it is linear and symmetric in v: it is its own transpose. With that one fact JAX runs the
rules of `jax.custom_jvp` in forward and in reverse mode, and a backward pass keeps the logits and nothing else; the
linearised tree is never stored.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from ksubset import _functions
from ksubset._derivatives import GRADIENTS, JACOBIANS
from ksubset._inference import Solution
from ksubset._typing import Array

jax.tree_util.register_dataclass(Solution)


def product(logits: Array, k: int | Array, width: int, v: Array) -> Array:
    """J · v, the logits broadcast against v."""
    logits, v = jnp.broadcast_arrays(logits, v)
    if isinstance(k, int):
        return PRODUCT.bind(logits, v, k=k, width=width)
    return PRODUCT.bind(logits, v, jnp.broadcast_to(k, logits.shape[:-1]), k=None, width=width)


PRODUCT: Any = Primitive("ksubset_product")
"""Operands: logits and v of one shape, and the counts (...) unless the parameter ``k`` is an int."""


def _array_code(logits: Array, v: Array, *counts: Array, k: int | None, width: int) -> Array:
    from ksubset.backends.jax import ops

    return _functions.marginals_jvp(ops(logits), logits, counts[0] if k is None else k, width, v)


def _compiled(*operands: Array, k: int | None, width: int) -> Array:
    return _jitted(k, width)(*operands)


@lru_cache(maxsize=1024)
def _jitted(k: int | None, width: int) -> Callable[..., Array]:
    return cast("Callable[..., Array]", jax.jit(partial(_array_code, k=k, width=width)))


def _shape(logits: Any, v: Any, *counts: Any, k: int | None, width: int) -> Any:
    return v


def _jvp(primals: Any, tangents: Any, *, k: int | None, width: int) -> tuple[Array, Array]:
    """The derivative in the logits is that of the core's array code, contracted by its symmetry in reverse mode."""
    (logits, v, *counts), (dlogits, dv, *_) = primals, tangents
    bind = partial(PRODUCT.bind, k=k, width=width)
    change = jnp.zeros_like(v)
    if type(dv) is not ad.Zero:
        change = change + bind(logits, dv, *counts)
    if type(dlogits) is not ad.Zero:
        code = partial(_array_code, k=k, width=width)
        change = change + jax.jvp(lambda x: code(x, v, *counts), (logits,), (dlogits,))[1]
    return bind(logits, v, *counts), change


def _transpose(cotangent: Any, logits: Any, v: Any, *counts: Any, k: int | None, width: int) -> list[Any]:
    if type(cotangent) is ad.Zero:
        return [None] * (2 + len(counts))
    return [None, PRODUCT.bind(logits, cotangent, *counts, k=k, width=width), *(None for _ in counts)]


def _batch(operands: Any, dims: Any, *, k: int | None, width: int) -> tuple[Array, int]:
    size = next(x.shape[d] for x, d in zip(operands, dims, strict=True) if d is not None)
    moved = (
        jnp.broadcast_to(x, (size, *x.shape)) if d is None else jnp.moveaxis(x, d, 0)
        for x, d in zip(operands, dims, strict=True)
    )
    return PRODUCT.bind(*moved, k=k, width=width), 0


PRODUCT.def_impl(_compiled)
PRODUCT.def_abstract_eval(_shape)
ad.primitive_jvps[PRODUCT] = _jvp
ad.primitive_transposes[PRODUCT] = _transpose
batching.primitive_batchers[PRODUCT] = _batch
mlir.register_lowering(PRODUCT, mlir.lower_fun(_array_code, multiple_results=False))


@dataclass(frozen=True)
class Differentiable:
    """Marginals and J · v as JAX differentiates them; see `ksubset._derivatives.Differentiable`."""

    k: int | Array
    width: int
    xp: Any = jnp

    def marginals(self, logits: Array) -> Array:
        static, count = (self.k, None) if isinstance(self.k, int) else (None, self.k)
        return differentiable(_functions.marginals, static, self.width)(logits, count, (), None)

    def product(self, logits: Array, v: Array) -> Array:
        return product(logits, self.k, self.width, v)


@lru_cache(maxsize=1024)
def differentiable(function: Callable[..., Array], k: int | None, width: int) -> Callable[..., Array]:
    """A function compiled for a static k and width, with its derivative rule; JAX keeps one program per shape."""

    def value(logits: Array, count: Array | None, arrays: tuple[Array, ...], solution: Solution | None) -> Array:
        from ksubset.backends.jax import ops

        return function(ops(logits), logits, count if k is None else k, width, *arrays, solution=solution)

    def rule(primals: Any, tangents: Any) -> tuple[Array, Array]:
        (logits, count, arrays, _), (dlogits, _, darrays, _) = primals, tangents
        rules, result = Differentiable(count if k is None else k, width), call(*primals)
        if function in JACOBIANS:
            change = JACOBIANS[function] * rules.product(logits, dlogits)
        elif function in GRADIENTS:
            gradients = GRADIENTS[function](rules, logits, *arrays)
            change = sum(jnp.sum(g * d, axis=-1) for g, d in zip(gradients, (dlogits, *darrays), strict=True))
        else:
            change = jnp.zeros_like(result)
        return result, jnp.broadcast_to(change, result.shape)

    call = jax.custom_jvp(value)
    call.defjvp(rule)
    return cast("Callable[..., Array]", jax.jit(call))
