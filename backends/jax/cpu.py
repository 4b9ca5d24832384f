"""The kernels of ``_cpu`` in XLA's programs, as foreign calls."""

from collections.abc import Callable
from functools import cache
from math import prod
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from ksubset._engine.ops import Array
from ksubset._law import functions
from ksubset._law.fixed_size import FixedSize
from ksubset._law.law import Law
from ksubset._law.size_weighted import SizeWeighted
from ksubset.backends._cpu import dispatch
from ksubset.backends._cpu.dispatch_weighted import Orientation
from ksubset.backends.jax import cpu_weighted
from ksubset.backends.jax.settings import by_own_settings
from ksubset.backends.jax.sharding import is_long, several_devices

if TYPE_CHECKING:
    from ksubset.backends._cpu.calls import Path


def choose(law: Law, name: str, shape: tuple[int, ...], dtype: Any) -> "Path | str":
    """The kernel for parameters of a shape, or why the core is taken; see `dispatch.choose`."""
    if jax.default_backend() != "cpu":
        return f"these kernels run on the CPU; the default backend of JAX is {jax.default_backend()}"
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


_shaped: Any = jax.ShapeDtypeStruct  # JAX leaves these two untyped
_capsule: Any = jax.ffi.pycapsule


def computes(**_: Any) -> bool:
    """Whether `kernel` or `draw` does so: whatever `choose` has admitted."""
    return True


@by_own_settings
def kernel(parameters: Array, *operands: Array, function: Callable[..., Array], law: Law) -> Array:
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


def drawn_shape(law: Law, parameters: Array, seed: Array, draws: int) -> tuple[int, ...]:
    keys = seed.ndim - 1
    return (*parameters.shape[:keys], draws, *parameters.shape[keys:-1], law.items_among(parameters.shape[-1]))


@by_own_settings
def draw(parameters: Array, seed: Array, *counts: Array, draws: int, law: Law) -> Array:
    shape, seeds = drawn_shape(law, parameters, seed, draws), seed.reshape(-1, 2)
    if not isinstance(law, SizeWeighted):
        return _call("sample", law, parameters, [seeds], counts, shape, draws)
    rows = parameters.reshape(len(seeds), -1, parameters.shape[-1])
    return cpu_weighted.kernel_draw(_call_weighted, law, rows, seeds, draws=draws).reshape(shape)


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
    counts = tuple(checked(x, n, width).reshape(-1) for x in counts)
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


def checked(k: Array, n: int, width: int) -> Array:
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
