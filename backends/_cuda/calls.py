"""The kernels of ``kernels.cu`` for CuPy and torch: how to launch each kernel, and the calls built on them.

The source is compiled once for each device, dtype and place of the tree. There are three kernels, one to a primitive of
`ksubset._engine.inference`; each handles all rows of a call in one launch, on the caller's stream, and waits for
nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from math import prod
from pathlib import Path
from typing import Any

import array_api_compat

from ksubset._engine.inference import Solution
from ksubset._engine.ops import Array, Ops
from ksubset._law import functions
from ksubset._law.by_kernels import ByKernels
from ksubset._law.fixed_size import FixedSize
from ksubset._law.law import Law
from ksubset.backends._cuda.geometry import Device, Launch, plan, suits


@dataclass(frozen=True)
class Runtime:
    """A framework as a launcher of kernels.

    Attributes
    ----------
    ops
        The framework as the core sees it.
    device
        The `Device` of an array.
    strides
        The strides of an array, counted in elements.
    contiguous
        An array laid out in the order of its axes, itself where it is.
    run
        ``run(launch, arguments, like)`` runs a kernel on the current stream of the device of ``like``. An argument is
        an array, a C int, or None for a null pointer.
    """

    ops: Ops
    device: Callable[[Array], Device]
    strides: Callable[[Array], tuple[int, ...]]
    contiguous: Callable[[Array], Array]
    run: Callable[[Launch, list[Any], Array], None]


@lru_cache
def source() -> str:
    """The kernels."""
    return Path(__file__).with_name("kernels.cu").read_text(encoding="utf-8")


def moments(runtime: Runtime, law: FixedSize, logits: Array, *, sides: bool = True) -> Solution:
    """`ksubset._engine.inference.moments` in one launch."""
    launch = plan("ksubset_solve", logits, law.width, runtime.device(logits), outside=sides)
    tilted = _empty(runtime, tuple(logits.shape), logits)
    log_partition = _empty(runtime, tuple(logits.shape[:-1]), logits)
    chosen = _empty(runtime, tuple(logits.shape), logits) if sides else None
    unchosen = _empty(runtime, tuple(logits.shape), logits) if sides else None
    arguments = [*_batch(runtime, launch, law, logits), tilted, log_partition, chosen, unchosen]
    runtime.run(launch, arguments, logits)
    return Solution(tilted, log_partition, chosen, unchosen)


def jacobian_product(runtime: Runtime, law: FixedSize, logits: Array, v: Array) -> Array:
    """`ksubset._engine.inference.jacobian_product` in one launch; ``logits`` and ``v`` have the same shape."""
    launch = plan("ksubset_jacobian", logits, law.width, runtime.device(logits))
    out = _empty(runtime, tuple(logits.shape), logits)
    v, stride = _rows(runtime, v)
    runtime.run(launch, [*_batch(runtime, launch, law, logits), v, stride, out], logits)
    return out


def by_kernels(runtime: Runtime, law: FixedSize) -> ByKernels:
    """The law for functions of ``functions.SEARCHING``."""

    def solve(law: FixedSize, logits: Array, **wanted: bool) -> Solution:
        return moments(runtime, law, logits)

    def multiply(law: FixedSize, logits: Array, v: Array) -> Array:
        return jacobian_product(runtime, law, logits, v)

    return ByKernels(law.k, law.width, solve, multiply)


def draw(
    runtime: Runtime,
    law: FixedSize,
    logits: Array,
    sample_shape: tuple[int, ...],
    *,
    u: Array | None = None,
    seed: Array | None = None,
) -> Array:
    """`ksubset._engine.inference.draw` in one launch, sample_shape + (..., n).

    From uniforms ``u``, or from ``seed``: two float64 uniforms in [0, 1) on the device, whose leading 32 bits are the
    key of a Philox generator with a stream for each row and draw.
    """
    draws, out = prod(sample_shape), _empty(runtime, (*sample_shape, *logits.shape), logits)
    if draws == 0:
        return out
    launch = plan("ksubset_sample", logits, law.width, runtime.device(logits), draws=draws, outside=False)
    u = None if u is None or logits.shape[-1] < 2 else runtime.contiguous(u)
    arguments = [*_batch(runtime, launch, law, logits), u, seed, draws, launch.shares, launch.at_once, out]
    runtime.run(launch, arguments, logits)
    return out


def evaluate(
    runtime: Runtime,
    function: Callable[..., Array],
    law: Law,
    parameters: Array,
    *arrays: Array,
    solution: Any,
) -> Array:
    """The value of one of ``ksubset._law.functions``, its primitives computed by the kernels where a block suits."""
    if function is functions.marginals_jvp:
        xp = runtime.ops.xp
        parameters, v = xp.broadcast_arrays(parameters, arrays[0])
        law = law if law.counts is None else law.sized(xp.broadcast_to(law.counts, parameters.shape[:-1]))
        arrays = (v,)
    if isinstance(law, FixedSize) and suits(law, parameters):
        if function is functions.marginals_jvp:
            return jacobian_product(runtime, law, parameters, *arrays)
        if function in functions.DRAWING:
            u = arrays[0]
            return draw(runtime, law, parameters, tuple(u.shape[: u.ndim - parameters.ndim]), u=u)
        if solution is None and function in SIDES:
            return getattr(moments(runtime, law, parameters), SIDES[function])
        if function in functions.SOLVING and all(suits(law, x) for x in arrays):
            by_kernel = partial(moments, runtime, law)
            known = functions.solutions(function, by_kernel, parameters, *arrays, solution=solution)
            return function(runtime.ops, law, parameters, *arrays, **known)
        if function in functions.SEARCHING:
            law = by_kernels(runtime, law)
    return function(runtime.ops, law, parameters, *arrays, solution=solution)


SIDES = {functions.marginals: "chosen", functions.unchosen: "unchosen"}
"""Functions whose value a solution holds."""


def _empty(runtime: Runtime, shape: tuple[int, ...], like: Array) -> Array:
    return runtime.ops.xp.empty(shape, dtype=like.dtype, device=array_api_compat.device(like))


def _batch(runtime: Runtime, launch: Launch, law: FixedSize, logits: Array) -> list[Any]:
    """The arguments that all kernels begin with."""
    n, batch = int(logits.shape[-1]), tuple(logits.shape[:-1])
    logits, stride = _rows(runtime, logits)
    common, k_stride = (law.k, 0) if law.counts is None else (0, 1)
    counts = None if law.counts is None else _counts(runtime, law.counts, batch)
    slab = _empty(runtime, (launch.blocks * launch.slab_stride,), logits) if launch.slab else None
    sizes = [stride, k_stride, common, law.width, prod(batch), n]
    return [logits, counts, *sizes, slab, launch.slab_stride, launch.capacity]


def _counts(runtime: Runtime, k: Array, batch: tuple[int, ...]) -> Array:
    """64-bit integers, (rows,)."""
    xp = runtime.ops.xp
    return runtime.contiguous(xp.astype(xp.reshape(xp.broadcast_to(k, batch), (-1,)), xp.int64, copy=False))


def _rows(runtime: Runtime, x: Array) -> tuple[Array, int]:
    """(rows, n) with adjacent items, and the distance between rows; copied only if the memory has no such form."""
    x = runtime.ops.xp.reshape(x, (-1, x.shape[-1]))
    row, item = runtime.strides(x)
    if (item == 1 or x.shape[-1] == 1) and abs(row) < 1 << 31:
        return x, row
    return runtime.contiguous(x), int(x.shape[-1])
