"""The functions of the distribution for CuPy and torch, their primitives computed by the CUDA kernels.

Subsets of weighted sizes are a mixture of subsets of one size: the rows are solved once for each size, in one launch,
and array code weighs the answers. It reads no value, so the host never waits.
"""

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import array_api_compat

from ksubset._engine.inference import Solution
from ksubset._engine.ops import Array, Ops
from ksubset._engine.potential.each_size import OneSize
from ksubset._engine.tilt import Tilt
from ksubset._law import functions
from ksubset._law.by_kernels import ByKernels, WeightedByKernels
from ksubset._law.fixed_size import FixedSize
from ksubset._law.law import Law
from ksubset._law.size_weighted import SizeWeighted
from ksubset.backends._cuda import calls
from ksubset.backends._cuda.calls import Runtime
from ksubset.backends._cuda.geometry import suits, suits_given, weighs

SIDES = {functions.marginals: "chosen", functions.unchosen: "unchosen"}
"""Functions whose value a solution holds."""


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
    if weighs(law, parameters):
        law = weighted(runtime, law)
        if function in functions.DRAWING:
            return _drawn_from(runtime, law, parameters, arrays[0])
    elif suits(law, parameters):
        return _of_one_size(runtime, function, law, parameters, *arrays, solution=solution)
    return function(runtime.ops, law, parameters, *arrays, solution=solution)


def moments(runtime: Runtime, law: Law, parameters: Array) -> Any:
    """The moments that several functions share."""
    if suits(law, parameters):
        return calls.moments(runtime, law, parameters)
    if weighs(law, parameters):
        law = weighted(runtime, law)
    return law.moments(runtime.ops, parameters)


def draw(
    runtime: Runtime, law: FixedSize | SizeWeighted, parameters: Array, sample_shape: tuple[int, ...], seed: Array
) -> tuple[Array, Array | None]:
    """Exact subsets, sample_shape + (..., n), of a call that `geometry.draws`, and λ if they have one size."""
    if isinstance(law, FixedSize):
        return calls.draw(runtime, law, parameters, sample_shape, seed)
    chances = weighted(runtime, law).probabilities(runtime.ops, parameters)
    return calls.draw_sizes(runtime, law, law.items(parameters), chances, sample_shape, seed), None


def weighted(runtime: Runtime, law: SizeWeighted) -> WeightedByKernels:
    """The law as a mixture over its sizes."""

    def solve(ops: Ops, logits: Array, k: Array, *, sides: bool) -> tuple[Solution, Tilt]:
        batch, where = tuple(logits.shape[:-1]), {"dtype": logits.dtype, "device": array_api_compat.device(logits)}
        tilts = ops.xp.empty((2, prod(batch)), **where)
        found = calls.moments(runtime, FixedSize(k, int(logits.shape[-1])), logits, sides=sides, tilts=tilts)
        return found, Tilt(*(ops.xp.reshape(tilts[i, ...], batch) for i in range(2)))

    def multiply(ops: Ops, logits: Array, k: Array, v: Array) -> Array:
        return calls.jacobian_product(runtime, FixedSize(k, int(logits.shape[-1])), logits, v)

    return WeightedByKernels(law.low, law.high, OneSize(solve, multiply))


def _drawn_from(runtime: Runtime, law: SizeWeighted, parameters: Array, u: Array) -> Array:
    """`SizeWeighted.draw`, the tree by a kernel."""
    logits, k = law.sized_rows(runtime.ops, parameters, u[..., 0])
    n = int(logits.shape[-1])
    one_size = FixedSize(k, min(law.bound(n), n // 2))
    if suits_given(one_size, logits):
        return calls.draw_given(runtime, one_size, logits, u[..., 1:])
    return law.draw(runtime.ops, parameters, u)


def _of_one_size(
    runtime: Runtime,
    function: Callable[..., Array],
    law: FixedSize,
    logits: Array,
    *arrays: Array,
    solution: Any,
) -> Array:
    if function is functions.marginals_jvp:
        return calls.jacobian_product(runtime, law, logits, *arrays)
    if function in functions.DRAWING and suits_given(law, logits):
        return calls.draw_given(runtime, law, logits, arrays[0])
    if solution is None and function in SIDES:
        return getattr(calls.moments(runtime, law, logits), SIDES[function])
    if function in functions.SOLVING and all(suits(law, x) for x in arrays):
        by_kernel = partial(calls.moments, runtime, law)
        known = functions.solutions(function, by_kernel, logits, *arrays, solution=solution)
        return function(runtime.ops, law, logits, *arrays, **known)
    if function in functions.SEARCHING:
        law = _by_kernels(runtime, law)
    return function(runtime.ops, law, logits, *arrays, solution=solution)


def _by_kernels(runtime: Runtime, law: FixedSize) -> ByKernels:
    """The law for functions of ``functions.SEARCHING``."""

    def solve(law: FixedSize, logits: Array, **wanted: bool) -> Solution:
        return calls.moments(runtime, law, logits)

    def multiply(law: FixedSize, logits: Array, v: Array) -> Array:
        return calls.jacobian_product(runtime, law, logits, v)

    return ByKernels(law.k, law.width, solve, multiply)
