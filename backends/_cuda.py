"""What CuPy and torch need to run the kernels of ``_cuda.cu``: how to launch each, and the calls built on them.

The source is compiled once for each device, dtype and place of the tree. There are three kernels, one to a primitive of
``ksubset._inference``; each handles all rows of a call in one launch, on the caller's stream, without synchronisation.

One block handles a row, with a thread to about four items: enough to hide the latency of shared memory, few enough for
several blocks to share a processor. The tree goes to shared memory if a block may have that much of it (1000 items
choose 100 in 44 KB, float32; ×2 for J · v), else to a slab of global memory, one piece to each block that runs at a
time, where the caches serve it.

A block is no longer enough where one row is work for the whole device: past `MOST_ITEMS`, the size up to which the core
itself uses direct sums, and past `MOST_WORK` products to a level, about three milliseconds of one block (an estimate
from instruction counts), which is what the core's few hundred launches cost. There the core runs on the device.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, prod
from pathlib import Path
from typing import Any

import array_api_compat

from ksubset import _functions
from ksubset._inference import Solution
from ksubset._typing import Array, Ops

MOST_ITEMS = 16_384
MOST_WORK = 1 << 26
MOST_THREADS = 512
WARP = 32
SCRATCH = 2 * MOST_THREADS // WARP
"""Numbers at the start of the shared memory that serve reductions; the same in the source."""

SLAB_BYTES = 1 << 28
"""No more global memory than this is used, unless a single block needs it."""

REALS = {"float32": "float", "float64": "double"}


@dataclass(frozen=True)
class Device:
    """Shared memory that a block may have, in bytes, and the number of processors."""

    shared_bytes: int
    processors: int


@dataclass(frozen=True)
class Launch:
    """How to run a kernel.

    Attributes
    ----------
    kernel, real, slab
        Its name, the C type of its numbers, and whether the tree is in global memory.
    blocks, threads, shared_bytes
        The geometry of the launch.
    capacity
        Elements of the tree and of what overwrites it, for one block.
    slab_stride
        Numbers in a block's piece of the slab; 0 without one.
    shares, at_once
        Blocks to a row, and draws that a block makes at a time, where the kernel draws.
    """

    kernel: str
    real: str
    slab: bool
    blocks: int
    threads: int
    shared_bytes: int
    capacity: int
    slab_stride: int
    shares: int = 1
    at_once: int = 0

    @property
    def family(self) -> str:
        """What `ksubset.show_config` calls these kernels."""
        return "the CUDA kernels"

    @property
    def solves(self) -> bool:
        """Whether the kernel finds a whole `ksubset._inference.Solution`, at no extra cost."""
        return self.kernel == "ksubset_solve"

    @property
    def reason(self) -> str:
        """The launch in words."""
        place = "a slab of global memory" if self.slab else f"{self.shared_bytes / 1024:.1f} KiB of shared memory"
        return f"blocks of {self.threads} threads, the tree in {place}"

    @property
    def options(self) -> tuple[str, ...]:
        """What the source is compiled with."""
        return ("-std=c++17", f"-DKSUBSET_REAL={self.real}", f"-DKSUBSET_SLAB={int(self.slab)}")


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
    return Path(__file__).with_name("_cuda.cu").read_text(encoding="utf-8")


def suits(logits: Array, width: int) -> bool:
    """Whether a block is enough for a row."""
    n, rows = logits.shape[-1], prod(logits.shape[:-1])
    return bool(0 < n <= MOST_ITEMS and n * width <= MOST_WORK and 0 < rows < 1 << 31)


def path(device: Device, name: str, logits: Array, width: int) -> Launch | str:
    """Say how one of ``ksubset._functions``, or ``draw``, would be launched, or why the core computes it."""
    if name == "mode":
        return "a sort is all it takes"
    if not suits(logits, width):
        shape = tuple(logits.shape)
        return f"blocks take 1 to {MOST_ITEMS} items, times k or n − k at most {MOST_WORK}; got {shape}, {width}"
    kernel = {"marginals_jvp": "ksubset_jacobian", "draw": "ksubset_sample"}.get(name, "ksubset_solve")
    drawing = kernel == "ksubset_sample"
    return plan(kernel, logits, width, device, draws=int(drawing), outside=not drawing)


def plan(kernel: str, x: Array, width: int, device: Device, *, draws: int = 0, outside: bool = True) -> Launch:
    """Choose the geometry of a launch over the rows of ``x``."""
    n, rows, dtype = int(x.shape[-1]), prod(x.shape[:-1]), str(x.dtype).rpartition(".")[2]
    size = 4 if dtype == "float32" else 8
    threads = min(max(WARP, 1 << (ceil(n / 4) - 1).bit_length()), MOST_THREADS)
    capacity = _capacity(n, width, outside=outside)
    numbers = 2 * capacity if kernel == "ksubset_jacobian" else capacity
    at_once = _draws_at_once(n, threads, draws, numbers * size)
    numbers += ceil(4 * at_once * max(n, 2) / size)
    scratch = SCRATCH * size
    slab = scratch + numbers * size > device.shared_bytes
    wanted = 4 * device.processors
    shares = min(ceil(wanted / rows), ceil(draws / at_once)) if draws else 1
    blocks = rows * shares
    if slab:
        blocks = min(blocks, wanted, max(1, SLAB_BYTES // (numbers * size)))
        return Launch(kernel, REALS[dtype], True, blocks, threads, scratch, capacity, numbers, shares, at_once)
    shared = scratch + numbers * size
    return Launch(kernel, REALS[dtype], False, min(blocks, 2**31 - 1), threads, shared, capacity, 0, shares, at_once)


def _draws_at_once(n: int, threads: int, draws: int, tree_bytes: int) -> int:
    """Enough for every warp at the root and every thread at the leaves, without outgrowing the tree."""
    useful = max(threads // WARP, 2 * threads // n)
    return min(draws, useful, max(1, tree_bytes // (4 * max(n, 2))))


@lru_cache
def _capacity(n: int, width: int, *, outside: bool) -> int:
    """Elements that a row needs: all levels and, while going down, two levels of outside polynomials."""
    lengths = _lengths(n, width)
    offsets = [sum(lengths[:level]) for level in range(len(lengths) + 1)]
    if not outside:
        return offsets[-1]
    needed = offsets[-1] + lengths[-1]
    for steps, level in enumerate(reversed(range(len(lengths) - 1))):
        lowest_free = offsets[level + 1 + steps % 2]
        needed = max(needed, lowest_free + lengths[level] + lengths[level + 1])
    return needed


def _lengths(n: int, width: int) -> list[int]:
    """Elements of each level, from the leaves to the pair of nodes below the root."""
    nodes, depth, limit = max(n, 2), 0, max(width, 1) + 1
    lengths = [2 * nodes]
    while nodes > 2:
        nodes, depth = (nodes + 1) // 2, depth + 1
        lengths.append(nodes * min((1 << depth) + 1, limit))
    return lengths


def solve(runtime: Runtime, logits: Array, k: int | Array, width: int, *, sides: bool = True) -> Solution:
    """`ksubset._inference.solve` in one launch."""
    launch = plan("ksubset_solve", logits, width, runtime.device(logits), outside=sides)
    tilted = _empty(runtime, tuple(logits.shape), logits)
    log_volume = _empty(runtime, tuple(logits.shape[:-1]), logits)
    chosen = _empty(runtime, tuple(logits.shape), logits) if sides else None
    unchosen = _empty(runtime, tuple(logits.shape), logits) if sides else None
    arguments = [*_batch(runtime, launch, logits, k, width), tilted, log_volume, chosen, unchosen]
    runtime.run(launch, arguments, logits)
    return Solution(tilted, log_volume, chosen, unchosen)


def jacobian_product(runtime: Runtime, logits: Array, k: int | Array, width: int, v: Array) -> Array:
    """`ksubset._inference.jacobian_product` in one launch; ``logits`` and ``v`` have the same shape."""
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
    """`ksubset._inference.draw` in one launch, sample_shape + (..., n).

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
    """The value of one of ``ksubset._functions``, its primitives computed by the kernels where a block suits."""
    if function is _functions.marginals_jvp:
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
        if solution is None and function is not _functions.mode:
            solution = solve(runtime, logits, k, width, sides=function not in VOLUME_ONLY)
    if function is _functions.kl_divergence and suits(arrays[0], width):
        reference = solve(runtime, arrays[0], k, width, sides=False)
        return function(runtime.ops, logits, k, width, *arrays, solution=solution, reference=reference)
    return function(runtime.ops, logits, k, width, *arrays, solution=solution)


DRAWING = {_functions.sample, _functions.rsample}
"""Functions that turn uniforms into subsets."""

SIDES = {_functions.marginals: "chosen", _functions.unchosen: "unchosen"}
"""Functions whose value a solution holds."""

VOLUME_ONLY = {_functions.log_normalizer, _functions.log_prob_count, _functions.log_prob}
"""Functions that need no marginals."""


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
