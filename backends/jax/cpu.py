"""The kernels of ``_cpu`` in XLA's programs: a primitive that becomes a foreign call where a program is for the CPU.

Only the lowering knows the shape that `jax.vmap` leaves, so only there rows are counted and a kernel is compiled.
Exported programs, which may run where there are no kernels, keep to the core's array code.
"""

from collections.abc import Callable
from functools import cache, partial
from math import prod
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from ksubset._engine.ops import Array
from ksubset._law import functions
from ksubset._law.fixed_size import FixedSize
from ksubset._law.law import Law
from ksubset._law.size_weighted import SizeWeighted
from ksubset.backends._cpu import dispatch
from ksubset.backends._cpu.dispatch_weighted import Orientation
from ksubset.backends.jax import cpu_weighted
from ksubset.backends.jax.ops import ops_for
from ksubset.backends.jax.random import signed_uniforms
from ksubset.backends.jax.settings import by_own_settings
from ksubset.backends.jax.sharding import is_long, lowered_with_devices, partitioned, several_devices, shaped_as

if TYPE_CHECKING:
    from ksubset.backends._cpu.calls import Path


def choose(law: Law, name: str, shape: tuple[int, ...], dtype: Any) -> "Path | str":
    """The kernel for parameters of a shape, or why the core is taken; see `dispatch.choose`."""
    if jax.default_backend() != "cpu":
        return f"kernels run on the CPU; the default backend of JAX is {jax.default_backend()}"
    if not all(isinstance(size, int) for size in shape):
        return f"the shape {shape} is symbolic, and there is a kernel for each size"
    if name == "draw" and several_devices():
        return (
            f"samples of {jax.device_count()} devices come from JAX's own generator, which does not depend on sharding"
        )
    if is_long(shape[-1]):
        return f"rows of {shape[-1]} items may be spread over {jax.device_count()} devices, a tree for each"
    own = isinstance(law, FixedSize) and name in dispatch.OWN
    if name == functions.log_prob.__name__ and several_devices():
        return f"log-probabilities on {jax.device_count()} devices take the core, whose programs XLA partitions"
    if (name in dispatch.SOLVING and not own) or name in ("moments", dispatch.COUNTS):
        return "XLA's programs call kernels for marginals, their Jacobian, modes, scalars and samples alone"
    if isinstance(law, SizeWeighted) and several_devices():
        return f"potentials on {jax.device_count()} devices take the core, whose programs XLA partitions"
    return dispatch.choose(law, name, shape, dtype)


def takes(law: Law, name: str, parameters: Array) -> bool:
    """Whether there is a kernel."""
    return not isinstance(choose(law, name, parameters.shape, parameters.dtype), str)


_shaped: Any = jax.ShapeDtypeStruct  # JAX leaves these two untyped
_capsule: Any = jax.ffi.pycapsule

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


@by_own_settings
def _kernel(parameters: Array, *operands: Array, function: Callable[..., Array], law: Law) -> Array:
    if isinstance(law, SizeWeighted):
        return cpu_weighted.kernel(_call_weighted, law, parameters, *operands, function=function)
    if function in functions.SCALARS:
        normaliser = function is functions.log_normalizer
        return _call("scalars", law, parameters, [], operands, parameters.shape[:-1], normaliser)
    if function is functions.mode:
        any_size = FixedSize(cast("FixedSize", law).k, parameters.shape[-1])
        return _call("mode", any_size, parameters, [], operands, parameters.shape, 0)
    if function is functions.log_prob:
        return _scores(law, parameters, *operands)
    if function is functions.kl_divergence:
        other = operands[0].reshape(-1, operands[0].shape[-1])
        return _call("divergences", law, parameters, [other], operands[1:], parameters.shape[:-1], 0)
    v = [x.reshape(-1, x.shape[-1]) for x in operands if x.ndim == parameters.ndim]
    handler = "jacobian_product" if v else "moments"
    counts, shape = operands[len(v) :], parameters.shape
    return _call(handler, law, parameters, v, counts, shape, function is functions.unchosen)


def _scores(law: Law, logits: Array, z: Array, *counts: Array) -> Array:
    """Log-probabilities; the kernel has the draws in front."""
    batch, draws = logits.shape[:-1], z.shape[-2]
    z = jnp.moveaxis(z, -2, 0)
    return jnp.moveaxis(_call("scores", law, logits, [z.reshape(-1, z.shape[-1])], counts, (draws, *batch), 0), 0, -1)


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


@by_own_settings
def _kernel_draw(parameters: Array, seed: Array, *counts: Array, draws: int, law: Law) -> Array:
    shape, seeds = _drawn(law, parameters, seed, draws), seed.reshape(-1, 2)
    if not isinstance(law, SizeWeighted):
        return _call("sample", law, parameters, [seeds], counts, shape, draws)
    rows = parameters.reshape(len(seeds), -1, parameters.shape[-1])
    return cpu_weighted.kernel_draw(_call_weighted, law, rows, seeds, draws=draws).reshape(shape)


def _drawn(law: Law, parameters: Array, seed: Array, draws: int) -> tuple[int, ...]:
    keys = seed.ndim - 1
    return (*parameters.shape[:keys], draws, *parameters.shape[keys:-1], law.items_among(parameters.shape[-1]))


def _call(
    handler: str,
    law: Any,
    logits: Array,
    arrays: list[Array],
    counts: tuple[Array, ...],
    shape: tuple[int, ...],
    number: int,
) -> Array:
    """The foreign call of one of `kernels.xla_handlers`: its second result is scratch memory."""
    from ksubset.backends._cpu import planning
    from ksubset.backends._cpu.kernels import xla_handlers

    rows, n, same = prod(logits.shape[:-1]), logits.shape[-1], -1 if law.k is None else law.k
    width = law.width
    share = rows // max(len(arrays[0]), 1) if handler == "sample" else rows
    kind = planning.planned_as(handler)
    method, across = planning.choose(kind, share, n, width)
    plan = planning.arrange(kind, logits.dtype, method, across, n, width)
    counted = plan.scratch + (8 + 2 * logits.dtype.itemsize) * rows + 128
    results = _shaped(shape, logits.dtype), _shaped((counted,), np.uint8)
    call = jax.ffi.ffi_call(_target(getattr(xla_handlers, f"{handler}_{method}"), plan.layout.kind), results)
    counts = tuple(_checked(x, n, width).reshape(-1) for x in counts)
    numbers = np.array([same, number, width], np.int64)
    return call(logits.reshape(rows, n), *arrays, *counts, numbers=numbers)[0]


def _call_weighted(
    handler: str, results: list[tuple[int, ...]], operands: list[Array], numbers: list[int], way: Orientation
) -> Any:
    """The foreign call of one of `kernels.xla_handlers_weighted`: its results, and which rows are served."""
    from ksubset.backends._cpu.calls_weighted import plan_for
    from ksubset.backends._cpu.kernels import xla_handlers_weighted

    theta, dtype = operands[0], operands[0].dtype
    plan = plan_for(dtype, way.n, way.high)
    counted = plan.scratch + 3 * dtype.itemsize * theta.shape[0] + 1024
    shapes = [_shaped(shape, dtype) for shape in (*results, theta.shape[:1])]
    call = jax.ffi.ffi_call(
        _target(getattr(xla_handlers_weighted, handler), plan.layout.kind), [*shapes, _shaped((counted,), np.uint8)]
    )
    return call(*operands, numbers=np.array(numbers, np.int64))[:-1]


def _checked(k: Array, n: int, width: int) -> Array:
    """As int32, with n + 1, which makes a row NaN, for a k that is out of range."""
    k = k.astype(jnp.int32) if k.dtype.itemsize < 4 else k
    valid = (k >= 0) & (k <= n) & (jnp.minimum(k, n - k) <= width)
    return jnp.where(valid, k, n + 1).astype(jnp.int32)


_registering = Lock()


def _target(handler: Callable[[Any], int], layout: Any) -> str:
    """The name by which XLA knows a handler, compiled on the first call."""
    with _registering:
        return _registered(handler, layout)


@cache
def _registered(handler: Callable[[Any], int], layout: Any) -> str:
    from ksubset.backends._cpu import compiling

    name = f"ksubset_{handler.__name__}_{layout.dtype}_{layout.across}"
    jax.ffi.register_ffi_target(name, _capsule(compiling.handler(handler, layout)), platform="cpu")
    return name


def batched(primitive: Any, operands: Any, dims: Any, **parameters: Any) -> tuple[Array, int]:
    """The rule of `jax.vmap` for a primitive that takes any batch in front of its operands."""
    size = next(x.shape[d] for x, d in zip(operands, dims, strict=True) if d is not None)
    moved = (
        jnp.broadcast_to(x, (size, *x.shape)) if d is None else jnp.moveaxis(x, d, 0)
        for x, d in zip(operands, dims, strict=True)
    )
    return primitive.bind(*moved, **parameters), 0


def _shape(parameters: Any, seed: Any, *counts: Any, draws: int, law: Law) -> Any:
    return shaped_as(parameters, _drawn(law, parameters, seed, draws))


def _define(primitive: Any, shape: Any, kernel: Any, code: Any) -> None:
    def lower(ctx: Any, *operands: Any, **parameters: Any) -> Any:
        chosen = partial(code if ctx.module_context.lowering_parameters.for_export else kernel, **parameters)
        if several_devices() and chosen.func is kernel:
            chosen = partial(partitioned, chosen, parameters.get("function") in functions.SCALARS)
        return mlir.lower_fun(chosen, multiple_results=False)(ctx, *operands)

    primitive.def_impl(kernel)
    primitive.def_abstract_eval(shape)
    batching.primitive_batchers[primitive] = partial(batched, primitive)
    mlir.register_lowering(primitive, mlir.lower_fun(code, multiple_results=False))
    mlir.register_lowering(primitive, lower, platform="cpu")


def _value_shape(parameters: Any, *operands: Any, function: Callable[..., Array], law: Law) -> Any:
    if function in functions.SCALARS or function is functions.kl_divergence:
        return shaped_as(parameters, parameters.shape[:-1])
    return shaped_as(parameters, operands[0].shape[:-1]) if function is functions.log_prob else parameters


_define(KERNEL, _value_shape, _kernel, array_code)
_define(DRAW, _shape, _kernel_draw, _array_draw)
lowered_with_devices(KERNEL)
