"""The kernels of ``_cpu`` in XLA's programs: a primitive that becomes a foreign call where a program is for the CPU.

Only the lowering knows the shape that `jax.vmap` leaves, so only there rows are counted and a kernel is compiled.
Exported programs, which may run where there are no kernels, keep to the core's array code.
"""

from functools import cache, partial
from math import prod
from threading import Lock
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from ksubset import _functions
from ksubset._typing import Array
from ksubset.backends import _fast

if TYPE_CHECKING:
    from ksubset.backends._cpu import Path


def choose(name: str, shape: tuple[int, ...], width: int, dtype: Any) -> "Path | str":
    """The kernel for logits of a shape, or why the core is taken; see ``_fast.choose``."""
    if jax.default_backend() != "cpu":
        return f"kernels run on the CPU; the default backend of JAX is {jax.default_backend()}"
    if jax.device_count() > 1:
        return f"XLA can split its own code over {jax.device_count()} devices, but no kernel"
    if name == "draw":
        return "samples of JAX come from its own uniforms"
    return _fast.choose(name, shape, width, dtype)


def takes(name: str, logits: Array, width: int) -> bool:
    """Whether there is a kernel."""
    return not isinstance(choose(name, logits.shape, width, logits.dtype), str)


_shaped: Any = jax.ShapeDtypeStruct  # JAX leaves these two untyped
_capsule: Any = jax.ffi.pycapsule

KERNEL: Any = Primitive("ksubset_kernel")
"""Operands: logits; v of the same shape for ``marginals_jvp``; the counts (...) unless the parameter ``k`` is an int.

The other parameters are ``name``, one of ``_fast.FUNCTIONS``, and ``width``.
"""


def array_code(logits: Array, *operands: Array, name: str, k: int | None, width: int) -> Array:
    """The core's value of what `KERNEL` computes."""
    from ksubset.backends.jax import ops

    *arrays, count = (*operands, k) if k is not None else operands
    return getattr(_functions, name)(ops(logits), logits, count, width, *arrays)


def _call(logits: Array, *operands: Array, name: str, k: int | None, width: int) -> Array:
    """The foreign call, on rows: its second result is the kernel's scratch memory."""
    from ksubset.backends import _cpu

    *batch, n = logits.shape
    shape, same = (prod(batch), n), -1 if k is None else k
    arrays = [x.reshape(shape) for x in (logits, *operands) if x.ndim == logits.ndim]
    counts = [_checked(x, n, width).reshape(-1) for x in operands if x.ndim < logits.ndim]
    layout, rule, scratch = _cpu.plan(*shape, same, logits.dtype)
    results = _shaped(shape, logits.dtype), _shaped((scratch,), np.uint8)
    call = jax.ffi.ffi_call(_target("jacobian_product" if name == "marginals_jvp" else "solve", layout), results)
    numbers = np.array([same, name == "unchosen"], np.int64)
    return call(*arrays, *counts, numbers=numbers, rule=np.array(rule, np.float64))[0].reshape(logits.shape)


def _checked(k: Array, n: int, width: int) -> Array:
    """As int32, with n + 1, which makes a row NaN, for a k that is out of range."""
    k = k.astype(jnp.int32) if k.dtype.itemsize < 4 else k
    valid = (k >= 0) & (k <= n) & (jnp.minimum(k, n - k) <= width)
    return jnp.where(valid, k, n + 1).astype(jnp.int32)


_registering = Lock()


def _target(kernel: str, layout: Any) -> str:
    """The name by which XLA knows a kernel, compiled on the first call."""
    with _registering:
        return _registered(kernel, layout)


@cache
def _registered(kernel: str, layout: Any) -> str:
    from ksubset.backends._cpu import handlers
    from ksubset.backends._cpu.compiling import handler

    name = f"ksubset_{kernel}_{layout.dtype}_{layout.across}"
    address = handler(getattr(handlers, kernel), layout)
    jax.ffi.register_ffi_target(name, _capsule(address), platform="cpu")
    return name


def batched(primitive: Any, operands: Any, dims: Any, **parameters: Any) -> tuple[Array, int]:
    """The rule of `jax.vmap` for a primitive that takes any batch in front of its operands."""
    size = next(x.shape[d] for x, d in zip(operands, dims, strict=True) if d is not None)
    moved = (
        jnp.broadcast_to(x, (size, *x.shape)) if d is None else jnp.moveaxis(x, d, 0)
        for x, d in zip(operands, dims, strict=True)
    )
    return primitive.bind(*moved, **parameters), 0


def _lower(ctx: Any, *operands: Any, **parameters: Any) -> Any:
    code = array_code if ctx.module_context.lowering_parameters.for_export else _call
    return mlir.lower_fun(code, multiple_results=False)(ctx, *operands, **parameters)


KERNEL.def_impl(_call)
KERNEL.def_abstract_eval(lambda logits, *operands, **parameters: logits)
batching.primitive_batchers[KERNEL] = partial(batched, KERNEL)
mlir.register_lowering(KERNEL, mlir.lower_fun(array_code, multiple_results=False))
mlir.register_lowering(KERNEL, _lower, platform="cpu")
