"""The CUDA kernels for CuPy and torch: a call for each, with its arguments.

There is a kernel to each primitive of `ksubset._engine.inference`; it handles all rows of a call in one launch, on the
caller's stream, and waits for nothing. `evaluation` says which functions start from which of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import array_api_compat

from ksubset._engine.inference import Solution
from ksubset._engine.ops import Array, Ops
from ksubset._law.fixed_size import FixedSize
from ksubset._law.size_weighted import SizeWeighted
from ksubset.backends._cuda import teams, tree
from ksubset.backends._cuda.launch import Device, Launch
from ksubset.backends._cuda.teams import TeamLaunch

MEETING_WORDS, PAIR_WORDS = 4, 8
"""Of the memory in which blocks meet: its head, and two pairs of doubles to a block; the same in the source."""


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


def moments(
    runtime: Runtime, law: FixedSize, logits: Array, *, sides: bool = True, tilts: Array | None = None
) -> Solution:
    """`ksubset._engine.inference.moments` in one launch, which puts λ into ``tilts``, (2, rows), if that is given."""
    launch = _plan(runtime, "ksubset_solve", logits)
    tilted = _empty(runtime, tuple(logits.shape), logits)
    log_partition = _empty(runtime, tuple(logits.shape[:-1]), logits)
    chosen = _empty(runtime, tuple(logits.shape), logits) if sides else None
    unchosen = _empty(runtime, tuple(logits.shape), logits) if sides else None
    answers = [tilts, tilted, log_partition, chosen, unchosen]
    runtime.run(launch, [*_batch(runtime, law, logits), *_team(runtime, launch, logits), *answers], logits)
    return Solution(tilted, log_partition, chosen, unchosen)


def jacobian_product(runtime: Runtime, law: FixedSize, logits: Array, v: Array, tilts: Array | None = None) -> Array:
    """`ksubset._engine.inference.jacobian_product` in one launch; ``logits`` and ``v`` have the same shape.

    ``tilts`` is λ, (2, rows), where `draw` has found it.
    """
    launch = _plan(runtime, "ksubset_jacobian", logits)
    out = _empty(runtime, tuple(logits.shape), logits)
    v, stride = _rows(runtime, v)
    team = _team(runtime, launch, logits)
    runtime.run(launch, [*_batch(runtime, law, logits), *team, tilts, v, stride, out], logits)
    return out


def draw(
    runtime: Runtime, law: FixedSize, logits: Array, sample_shape: tuple[int, ...], seed: Array
) -> tuple[Array, Array]:
    """Exact subsets in one launch, sample_shape + (..., n), and λ, (2, rows), NaN where a row is infeasible.

    ``seed`` is an integer of 64 bits on the device, the key of a Philox generator with a stream for each row and draw.
    """
    tilts = _empty(runtime, (2, prod(logits.shape[:-1])), logits)
    return _draw(runtime, law, logits, sample_shape, seed, [None, 0, 0, tilts]), tilts


def draw_sizes(
    runtime: Runtime, law: SizeWeighted, logits: Array, chances: Array, sample_shape: tuple[int, ...], seed: Array
) -> Array:
    """The same where each draw has a size of its own, by the probabilities of the law's sizes, (..., sizes)."""
    sizes = [runtime.contiguous(chances), law.low, law.sizes, None]
    return _draw(runtime, FixedSize(0, law.bound(logits.shape[-1])), logits, sample_shape, seed, sizes)


def draw_with_marginals(
    runtime: Runtime, law: FixedSize, logits: Array, sample_shape: tuple[int, ...], seed: Array
) -> tuple[Array, Array, Array]:
    """As `draw`, and the marginals, (..., n), in the same launch."""
    tilts = _empty(runtime, (2, prod(logits.shape[:-1])), logits)
    mean = _empty(runtime, tuple(logits.shape), logits)
    return _draw(runtime, law, logits, sample_shape, seed, [None, 0, 0, tilts], mean), tilts, mean


def _draw(
    runtime: Runtime,
    law: FixedSize,
    logits: Array,
    sample_shape: tuple[int, ...],
    seed: Array,
    sizes: list[Any],
    mean: Array | None = None,
) -> Array:
    draws, rows = prod(sample_shape), prod(logits.shape[:-1])
    out = _empty(runtime, (*sample_shape, *logits.shape), logits)
    kernel = "ksubset_sample" if mean is None else teams.TOGETHER
    launch = _plan(runtime, kernel, logits, draws=max(draws, 1))
    own = [seed, rows, draws, launch.shares, *sizes, out, *([] if mean is None else [mean])]
    runtime.run(launch, [*_batch(runtime, law, logits), *_team(runtime, launch, logits), *own], logits)
    return out


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


def _plan(runtime: Runtime, kernel: str, logits: Array, *, draws: int = 0) -> TeamLaunch:
    rows, n = prod(logits.shape[:-1]), int(logits.shape[-1])
    return teams.plan(kernel, rows, n, logits.dtype, runtime.device(logits), draws=draws)


def _team(runtime: Runtime, launch: TeamLaunch, like: Array) -> list[Any]:
    """The arguments for a team: its size, and where the blocks meet that share a row, in words of 32 bits, all 0."""
    if not launch.wide:
        return [launch.size, None]
    xp, words = runtime.ops.xp, MEETING_WORDS + launch.blocks * PAIR_WORDS
    return [launch.size, xp.zeros((words,), dtype=xp.int32, device=array_api_compat.device(like))]


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
