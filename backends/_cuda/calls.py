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


def solve(runtime: Runtime, logits: Array, k: int | Array, width: int, *, sides: bool = True) -> Solution:
    """`ksubset._engine.inference.solve` in one launch."""
    launch = plan("ksubset_solve", logits, width, runtime.device(logits), outside=sides)
    tilted = _empty(runtime, tuple(logits.shape), logits)
    log_volume = _empty(runtime, tuple(logits.shape[:-1]), logits)
    chosen = _empty(runtime, tuple(logits.shape), logits) if sides else None
    unchosen = _empty(runtime, tuple(logits.shape), logits) if sides else None
    arguments = [*_batch(runtime, launch, logits, k, width), tilted, log_volume, chosen, unchosen]
    runtime.run(launch, arguments, logits)
    return Solution(tilted, log_volume, chosen, unchosen)


def jacobian_product(runtime: Runtime, logits: Array, k: int | Array, width: int, v: Array) -> Array:
    """`ksubset._engine.inference.jacobian_product` in one launch; ``logits`` and ``v`` have the same shape."""
    launch = plan("ksubset_jacobian", logits, width, runtime.device(logits))
    out = _empty(runtime, tuple(logits.shape), logits)
    v, stride = _rows(runtime, v)
    runtime.run(launch, [*_batch(runtime, launch, logits, k, width), v, stride, out], logits)
    return out


def draw(
    runtime: Runtime,
    logits: Array,
    k: int | Array,
    width: int,
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
    launch = plan("ksubset_sample", logits, width, runtime.device(logits), draws=draws, outside=False)
    u = None if u is None or logits.shape[-1] < 2 else runtime.contiguous(u)
    arguments = [*_batch(runtime, launch, logits, k, width), u, seed, draws, launch.shares, launch.at_once, out]
    runtime.run(launch, arguments, logits)
    return out


def evaluate(
    runtime: Runtime,
    function: Callable[..., Array],
    logits: Array,
    k: int | Array,
    width: int,
    *arrays: Array,
    solution: Solution | None,
) -> Array:
    """The value of one of ``ksubset._law.functions``, its primitives computed by the kernels where a block suits."""
    if function is functions.marginals_jvp:
        xp = runtime.ops.xp
        logits, v = xp.broadcast_arrays(logits, arrays[0])
        k = k if isinstance(k, int) else xp.broadcast_to(k, logits.shape[:-1])
        if suits(logits, width):
            return jacobian_product(runtime, logits, k, width, v)
        arrays = (v,)
    if suits(logits, width):
        if function in DRAWING:
            u = arrays[0]
            return draw(runtime, logits, k, width, tuple(u.shape[: u.ndim - logits.ndim]), u=u)
        if solution is None and function in SIDES:
            return getattr(solve(runtime, logits, k, width), SIDES[function])
        if function in functions.SOLVING and all(suits(x, width) for x in arrays):
            by_kernel = partial(solve, runtime, k=k, width=width)
            known = functions.solutions(function, by_kernel, logits, *arrays, solution=solution)
            return function(runtime.ops, logits, k, width, *arrays, **known)
    return function(runtime.ops, logits, k, width, *arrays, solution=solution)


DRAWING = {functions.sample, functions.rsample}
"""Functions that turn uniforms into subsets."""

SIDES = {functions.marginals: "chosen", functions.unchosen: "unchosen"}
"""Functions whose value a solution holds."""


def _empty(runtime: Runtime, shape: tuple[int, ...], like: Array) -> Array:
    return runtime.ops.xp.empty(shape, dtype=like.dtype, device=array_api_compat.device(like))


def _batch(runtime: Runtime, launch: Launch, logits: Array, k: int | Array, width: int) -> list[Any]:
    """The arguments that all kernels begin with."""
    n, batch = int(logits.shape[-1]), tuple(logits.shape[:-1])
    logits, stride = _rows(runtime, logits)
    common, k_stride = (k, 0) if isinstance(k, int) else (0, 1)
    counts = None if isinstance(k, int) else _counts(runtime, k, batch)
    slab = _empty(runtime, (launch.blocks * launch.slab_stride,), logits) if launch.slab else None
    sizes = [stride, k_stride, common, width, prod(batch), n]
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
