"""Launches of the kernel that turns given uniforms into subsets, by a tree.

One block handles a row, with a thread to about four items: enough to hide the latency of shared memory, few enough for
several blocks to share a processor. The tree goes to shared memory if a block may have that much of it, else to a slab
of global memory, one piece to each block that runs at a time, where the caches serve it.

A block is no longer enough where one row is work for the whole device: past `MOST_ITEMS`, the size up to which the core
itself uses direct sums, and past `MOST_WORK` products to a level, about three milliseconds of one block (an estimate
from instruction counts), which is what the core's few hundred launches cost. There the core runs on the device.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, prod

from ksubset._engine.ops import Array
from ksubset._law.fixed_size import FixedSize
from ksubset.backends._cuda.launch import MOST_THREADS, REALS, SCRATCH_BYTES, WARP, Device, Launch, type_name

MOST_ITEMS = 16_384
MOST_WORK = 1 << 26
SLAB_BYTES = 1 << 28
"""No more global memory than this is used, unless a single block needs it."""


@dataclass(frozen=True)
class TreeLaunch(Launch):
    """A launch with a tree to a block.

    Attributes
    ----------
    capacity
        Numbers of the tree of one block.
    slab_stride
        Numbers in a block's piece of the slab; 0 without one.
    shares, at_once
        Blocks to a row, and draws that a block makes at a time.
    """

    capacity: int = 0
    slab_stride: int = 0
    shares: int = 1
    at_once: int = 0

    @property
    def work(self) -> str:
        place = "a slab of global memory" if self.slab else f"{self.shared_bytes / 1024:.1f} KiB of shared memory"
        return f"the tree in {place}"


def suits(law: FixedSize, logits: Array) -> bool:
    """Whether a block is enough for a row."""
    n = logits.shape[-1]
    return bool(n <= MOST_ITEMS and n * law.width <= MOST_WORK)


def plan(x: Array, width: int, device: Device, draws: int) -> TreeLaunch:
    """Choose the geometry of a launch over the rows of ``x``."""
    n, rows, dtype = int(x.shape[-1]), prod(x.shape[:-1]), type_name(x.dtype)
    size = 4 if dtype == "float32" else 8
    threads = min(max(WARP, 1 << (ceil(n / 4) - 1).bit_length()), MOST_THREADS)
    capacity = _capacity(n, width)
    at_once = _draws_at_once(n, threads, draws, capacity * size)
    numbers = capacity + ceil(4 * at_once * max(n, 2) / size)
    slab = SCRATCH_BYTES + numbers * size > device.shared_bytes
    wanted = 4 * device.processors
    shares = min(ceil(wanted / rows), ceil(draws / at_once))
    blocks, shared, stride = min(rows * shares, 2**31 - 1), SCRATCH_BYTES + numbers * size, 0
    if slab:
        blocks = min(blocks, wanted, max(1, SLAB_BYTES // (numbers * size)))
        shared, stride = SCRATCH_BYTES, numbers
    own = {"capacity": capacity, "slab_stride": stride, "shares": shares, "at_once": at_once}
    return TreeLaunch("ksubset_descend", REALS[dtype], blocks, threads, shared, slab, **own)


def _draws_at_once(n: int, threads: int, draws: int, tree_bytes: int) -> int:
    """Enough for every warp at the root and every thread at the leaves, without outgrowing the tree."""
    useful = max(threads // WARP, 2 * threads // n)
    return min(draws, useful, max(1, tree_bytes // (4 * max(n, 2))))


@lru_cache
def _capacity(n: int, width: int) -> int:
    """Numbers of all levels, from the leaves to the pair of nodes below the root."""
    nodes, depth, limit = max(n, 2), 0, max(width, 1) + 1
    numbers = 2 * nodes
    while nodes > 2:
        nodes, depth = (nodes + 1) // 2, depth + 1
        numbers += nodes * min((1 << depth) + 1, limit)
    return numbers
