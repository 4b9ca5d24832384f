"""The geometry of a launch of ``kernels.cu``, and the size from which the core runs on the device instead.

One block handles a row, with a thread to about four items: enough to hide the latency of shared memory, few enough for
several blocks to share a processor. The tree goes to shared memory if a block may have that much of it (1000 items
choose 100 in 44 KB, float32; ×2 for J · v), else to a slab of global memory, one piece to each block that runs at a
time, where the caches serve it.

A block is no longer enough where one row is work for the whole device: past `MOST_ITEMS`, the size up to which the core
itself uses direct sums, and past `MOST_WORK` products to a level, about three milliseconds of one block (an estimate
from instruction counts), which is what the core's few hundred launches cost. There the core runs on the device.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, prod

from ksubset._engine.ops import Array
from ksubset._law.fixed_size import FixedSize
from ksubset._law.law import Law

MOST_ITEMS = 16_384
MOST_WORK = 1 << 26
MOST_THREADS = 512
WARP = 32
SCRATCH = 2 * MOST_THREADS // WARP
"""Numbers at the start of the shared memory that serve reductions; the same in the source."""

SLAB_BYTES = 1 << 28
"""No more global memory than this is used, unless a single block needs it."""

BY_CORE = {
    "mode": "a sort is all it takes",
    "count_log_pmf": "its recursion has no CUDA kernel",
    "everything else": "there is no kernel for it",
}
"""Functions without a kernel, and why."""

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
        Elements of the tree, and of the arrays that overwrite it, for one block.
    slab_stride
        Numbers in a block's piece of the slab; 0 without one.
    shares, at_once
        Blocks to a row, and draws that a block makes at a time, where the kernel draws.
    launcher
        The package that launches it, where the framework of the arrays does not.
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
    launcher: str = ""

    @property
    def family(self) -> str:
        """The name of these kernels in `ksubset.show_config`."""
        return "the CUDA kernels"

    @property
    def solves(self) -> bool:
        """Whether the kernel finds a whole `ksubset._engine.inference.Solution`, at no extra cost."""
        return self.kernel == "ksubset_solve"

    @property
    def reason(self) -> str:
        """The launch in words."""
        place = "a slab of global memory" if self.slab else f"{self.shared_bytes / 1024:.1f} KiB of shared memory"
        by = f", launched by {self.launcher}" if self.launcher else ""
        return f"blocks of {self.threads} threads, the tree in {place}{by}"

    @property
    def macros(self) -> tuple[tuple[str, str], ...]:
        """What the source is compiled with, by the macros' names."""
        return (("KSUBSET_REAL", self.real), ("KSUBSET_SLAB", str(int(self.slab))))

    @property
    def options(self) -> tuple[str, ...]:
        """The compiler options for the source."""
        return ("-std=c++17", *(f"-D{name}={value}" for name, value in self.macros))


TRIAL = Launch("ksubset_nothing", "float", False, 1, WARP, 0, 0, 0)
"""A launch without effect, by which a launcher is tried."""


def suits(law: Law, logits: Array) -> bool:
    """Whether subsets have one size, and a block is enough for a row."""
    if not isinstance(law, FixedSize):
        return False
    n, rows = logits.shape[-1], prod(logits.shape[:-1])
    return bool(0 < n <= MOST_ITEMS and n * law.width <= MOST_WORK and 0 < rows < 1 << 31)


def path(device: Device, law: Law, name: str, logits: Array) -> Launch | str:
    """Say how one of ``ksubset._law.functions``, or ``draw``, would be launched, or why the core computes it."""
    if not isinstance(law, FixedSize):
        return "blocks take subsets of a given size"
    if name in BY_CORE:
        return BY_CORE[name]
    shape, width = tuple(logits.shape), law.width
    if not suits(law, logits):
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
