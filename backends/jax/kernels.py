"""The primitives that become foreign calls of kernels where a program is for the CPU or for CUDA; elsewhere array code.

Only the lowering knows the shape that `jax.vmap` leaves, so only there rows are counted and a kernel is compiled.
Exported programs, which may run where there are no kernels, keep to the core's array code.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from ksubset._engine.ops import Array
from ksubset._law import functions
from ksubset._law.law import Law
from ksubset.backends.jax import cpu, cuda
from ksubset.backends.jax.cpu import drawn_shape
from ksubset.backends.jax.ops import ops_for
from ksubset.backends.jax.random import signed_uniforms
from ksubset.backends.jax.settings import by_own_settings
from ksubset.backends.jax.sharding import lowered_with_devices, partitioned, several_devices, shaped_as

if TYPE_CHECKING:
    from ksubset.backends._cpu.calls import Path
    from ksubset.backends._cuda.launch import Launch


def choose(law: Law, name: str, shape: tuple[int, ...], dtype: Any) -> "Path | Launch | str":
    """The kernel for parameters of a shape on JAX's default backend, or why the core is taken."""
    if jax.default_backend() == cuda.BACKEND:
        return cuda.choose(law, name, shape, dtype)
    return cpu.choose(law, name, shape, dtype)


def takes(law: Law, name: str, parameters: Array) -> bool:
    """Whether there is a kernel."""
    return not isinstance(choose(law, name, parameters.shape, parameters.dtype), str)


KERNEL: Any = Primitive("ksubset_kernel")
"""Operands: the law's parameters; for `marginals_jvp` v of the same shape, for `kl_divergence` the other logits, for
`log_prob` subsets (..., draws, n); the sizes (...) that the law's static form lacks.

``function`` is that of one of `dispatch.FUNCTIONS`, or `kl_divergence`.
"""
DRAW: Any = Primitive("ksubset_draw")
"""Operands: parameters (keys + batch + (m,)), a seed of two words for each key (keys + (2,)), the sizes as in `KERNEL`.

The result is keys + (draws,) + batch + (n,); only `jax.vmap` makes more than one key.
"""


@by_own_settings
def array_code(parameters: Array, *operands: Array, function: Callable[..., Array], law: Law) -> Array:
    """The core's value of the same function as `KERNEL`."""
    arrays, counts = (operands, None) if law.is_sized else (operands[:-1], operands[-1])
    if function is functions.log_prob:
        parameters, counts = parameters[..., None, :], None if counts is None else counts[..., None]
    return function(ops_for(parameters), law.sized(counts), parameters, *arrays)


@by_own_settings
def _array_draw(parameters: Array, seed: Array, *counts: Array, draws: int, law: Law) -> Array:
    """Samples of the same distribution, but not the same samples as the kernel draws."""

    def draw(parameters: Array, seed: Array, *counts: Array) -> Array:
        key = jax.random.wrap_key_data(seed, impl="threefry2x32")
        size = law.uniforms(law.items_among(parameters.shape[-1]))
        u = signed_uniforms(key, (draws, *parameters.shape[:-1], size), parameters.dtype.name)
        return array_code(parameters, u, *counts, function=functions.sample, law=law)

    for _ in seed.shape[:-1]:
        draw = jax.vmap(draw)
    return draw(parameters, seed, *counts)


def log_prob(law: Law, logits: Array, counts: Array | None, z: Array) -> Array:
    """`ksubset._law.functions.log_prob` by `KERNEL`, which has one place for draws and broadcasts nothing."""
    shape = jnp.broadcast_shapes(logits.shape, z.shape)
    if shape[-logits.ndim :] != logits.shape:
        logits = jnp.broadcast_to(logits, shape)
        counts = None if counts is None else jnp.broadcast_to(counts, shape[:-1])
    z = jnp.broadcast_to(z, shape).astype(logits.dtype).reshape(-1, *logits.shape)
    operands = [logits, jnp.moveaxis(z, 0, -2)] + ([] if counts is None else [counts])
    value: Array = KERNEL.bind(*operands, function=functions.log_prob, law=law)
    return jnp.moveaxis(value, -1, 0).reshape(shape[:-1])


def batched(primitive: Any, operands: Any, dims: Any, **parameters: Any) -> tuple[Array, int]:
    """The rule of `jax.vmap` for a primitive that takes any batch in front of its operands."""
    size = next(x.shape[d] for x, d in zip(operands, dims, strict=True) if d is not None)
    moved = (
        jnp.broadcast_to(x, (size, *x.shape)) if d is None else jnp.moveaxis(x, d, 0)
        for x, d in zip(operands, dims, strict=True)
    )
    return primitive.bind(*moved, **parameters), 0


def _shape(parameters: Any, seed: Any, *counts: Any, draws: int, law: Law) -> Any:
    return shaped_as(parameters, drawn_shape(law, parameters, seed, draws))


def _define(primitive: Any, shape: Any) -> None:
    kernel_of, code = PRIMITIVES[primitive]

    def run(first: Any, *operands: Array, **parameters: Any) -> Any:
        there = any(device.platform == cuda.BACKEND for device in first.devices())
        return kernel_of(cuda if there else cpu)(first, *operands, **parameters)

    primitive.def_impl(run)
    primitive.def_abstract_eval(shape)
    batching.primitive_batchers[primitive] = partial(batched, primitive)
    mlir.register_lowering(primitive, mlir.lower_fun(code, multiple_results=False))


def lower_on(platform: str, where: Any) -> None:
    """Let programs for a platform call the kernels of `cpu` or of `cuda`."""
    for primitive, (kernel_of, code) in PRIMITIVES.items():
        lower = partial(_lower, kernel_of(where), code, where.computes)
        mlir.register_lowering(primitive, lower, platform=platform)


def _lower(kernel: Any, code: Any, computes: Any, ctx: Any, *operands: Any, **parameters: Any) -> Any:
    exported = ctx.module_context.lowering_parameters.for_export
    chosen = partial(kernel if computes(**parameters) and not exported else code, **parameters)
    if several_devices() and chosen.func is kernel:
        chosen = partial(partitioned, chosen, parameters.get("function") in functions.SCALARS)
    return mlir.lower_fun(chosen, multiple_results=False)(ctx, *operands)


def _value_shape(parameters: Any, *operands: Any, function: Callable[..., Array], law: Law) -> Any:
    if function in functions.SCALARS or function is functions.kl_divergence:
        return shaped_as(parameters, parameters.shape[:-1])
    return shaped_as(parameters, operands[0].shape[:-1]) if function is functions.log_prob else parameters


PRIMITIVES: dict[Any, tuple[Callable[[Any], Any], Callable[..., Array]]] = {
    KERNEL: (lambda where: where.kernel, array_code),
    DRAW: (lambda where: where.draw, _array_draw),
}
"""Their kernels in `cpu` or `cuda`, and their array code."""

_define(KERNEL, _value_shape)
_define(DRAW, _shape)
lower_on("cpu", cpu)
lower_on(cuda.PLATFORM, cuda)
lowered_with_devices(KERNEL)
