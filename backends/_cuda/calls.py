"""The CUDA kernels for CuPy and torch: how to launch each kernel, and the calls built on them.

There is a kernel to each primitive of `ksubset._engine.inference`; it handles all rows of a call in one launch, on the
caller's stream, and waits for nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import array_api_compat

from ksubset._engine.inference import Solution
from ksubset._engine.ops import Array, Ops
from ksubset._law import functions
from ksubset._law.by_kernels import ByKernels
from ksubset._law.fixed_size import FixedSize
from ksubset._law.law import Law
from ksubset.backends._cuda import teams, tree
from ksubset.backends._cuda.geometry import suits, suits_given
from ksubset.backends._cuda.launch import Device, Launch


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


def moments(runtime: Runtime, law: FixedSize, logits: Array, *, sides: bool = True) -> Solution:
    """`ksubset._engine.inference.moments` in one launch."""
    launch = teams.plan("ksubset_solve", logits, runtime.device(logits))
    tilted = _empty(runtime, tuple(logits.shape), logits)
    log_partition = _empty(runtime, tuple(logits.shape[:-1]), logits)
    chosen = _empty(runtime, tuple(logits.shape), logits) if sides else None
    unchosen = _empty(runtime, tuple(logits.shape), logits) if sides else None
    answers = [tilted, log_partition, chosen, unchosen]
    runtime.run(launch, [*_batch(runtime, law, logits), launch.size, *answers], logits)
    return Solution(tilted, log_partition, chosen, unchosen)


def jacobian_product(runtime: Runtime, law: FixedSize, logits: Array, v: Array, tilts: Array | None = None) -> Array:
    """`ksubset._engine.inference.jacobian_product` in one launch; ``logits`` and ``v`` have the same shape.

    ``tilts`` is λ, (2, rows), where `draw` has found it.
    """
    launch = teams.plan("ksubset_jacobian", logits, runtime.device(logits))
    out = _empty(runtime, tuple(logits.shape), logits)
    v, stride = _rows(runtime, v)
    runtime.run(launch, [*_batch(runtime, law, logits), launch.size, tilts, v, stride, out], logits)
    return out


def by_kernels(runtime: Runtime, law: FixedSize) -> ByKernels:
    """The law for functions of ``functions.SEARCHING``."""

    def solve(law: FixedSize, logits: Array, **wanted: bool) -> Solution:
        return moments(runtime, law, logits)

    def multiply(law: FixedSize, logits: Array, v: Array) -> Array:
        return jacobian_product(runtime, law, logits, v)

    return ByKernels(law.k, law.width, solve, multiply)


def draw(
    runtime: Runtime, law: FixedSize, logits: Array, sample_shape: tuple[int, ...], seed: Array
) -> tuple[Array, Array]:
    """Exact subsets in one launch, sample_shape + (..., n), and λ, (2, rows), NaN where a row is infeasible.

    ``seed`` is an integer of 64 bits on the device, the key of a Philox generator with a stream for each row and draw.
    """
    draws, rows = prod(sample_shape), prod(logits.shape[:-1])
    out, tilts = (_empty(runtime, shape, logits) for shape in ((*sample_shape, *logits.shape), (2, rows)))
    launch = teams.plan("ksubset_sample", logits, runtime.device(logits), draws=max(draws, 1))
    arguments = [*_batch(runtime, law, logits), launch.size, seed, rows, draws, launch.shares, tilts, out]
    runtime.run(launch, arguments, logits)
    return out, tilts


def draw_given(runtime: Runtime, law: FixedSize, logits: Array, u: Array) -> Array:
    """`ksubset._engine.inference.draw` in one launch, from uniforms ``u``, sample_shape + (..., n − 1)."""
    sample_shape = tuple(u.shape[: u.ndim - logits.ndim])
    draws, out = prod(sample_shape), _empty(runtime, (*sample_shape, *logits.shape), logits)
    if draws == 0:
        return out
    launch = tree.plan(logits, law.width, runtime.device(logits), draws)
    slab = _empty(runtime, (launch.blocks * launch.slab_stride,), logits) if launch.slab else None
    given = None if logits.shape[-1] < 2 else runtime.contiguous(u)
    geometry = [draws, launch.shares, launch.at_once]
    own = [slab, launch.slab_stride, launch.capacity, given, *geometry, out]
    runtime.run(launch, [*_batch(runtime, law, logits), *own], logits)
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
    if suits(law, parameters):
        if function is functions.marginals_jvp:
            return jacobian_product(runtime, law, parameters, *arrays)
        if function in functions.DRAWING and suits_given(law, parameters):
            return draw_given(runtime, law, parameters, arrays[0])
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


def _batch(runtime: Runtime, law: FixedSize, logits: Array) -> list[Any]:
    """The arguments that all kernels begin with."""
    n, batch = int(logits.shape[-1]), tuple(logits.shape[:-1])
    logits, stride = _rows(runtime, logits)
    common, words = (law.k, 0) if law.counts is None else (0, 2)
    counts = None if law.counts is None else _counts(runtime, law.counts, batch)
    return [logits, counts, stride, words, common, law.width, prod(batch), n]


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
