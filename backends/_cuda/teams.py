"""Launches over teams: a part of a warp for a short row, a warp or a whole block for a longer one, all for the longest.

A team has a thread to about four items, so that the threads of a device have enough to do with few rows. Where there
are rows enough, a row of a thousand items has a warp, whose threads need no barrier to meet.
"""

from dataclasses import dataclass
from math import ceil

from ksubset.backends._cuda.launch import MOST_THREADS, REALS, SCRATCH_BYTES, WARP, Device, Launch, type_name

TOGETHER = "ksubset_sample_with_marginals"

BLOCK_ITEMS = 1 << 18
"""Past it a row is work for the whole device: half a millisecond of one block, estimated from instruction counts."""

ENOUGH_ROWS = 1
"""Rows to a processor from which on each has a block all the same, which need not meet others."""

LEAST_TEAM = 4
ITEMS, MANY_ITEMS = 4, 32
"""Items to a thread, with few rows and with many."""

MANY_ROWS = 64
"""Rows to a processor from which on a device has many."""

MOST_TEAM = {"float32": MOST_THREADS, "float64": MOST_THREADS // 2}
"""Threads of a block that has one row, at the most; the same in the source."""

MOST_TOGETHER = MOST_THREADS // 2
"""The same of a block that draws and computes marginals."""

THREADS = {"float32": 128, "float64": 64}
"""Threads of a block that has several rows."""

BOARD_BYTES = {"float32": 7 * 16 * 4, "float64": 7 * 32 * 8}
REST_BOARD_BYTES = 7 * 64 * 8
"""Shared memory of a team for the nodes of the contour, for moments and for draws; the same in the source."""

FEW_ITEMS = 128
"""Draws of rows that have no more need no nodes; the same in the source."""


@dataclass(frozen=True)
class TeamLaunch(Launch):
    """A launch over teams.

    Attributes
    ----------
    size
        Threads of a team.
    shares
        Teams to a row, which divide the draws from it.
    sizes
        How often a row is solved, once for each of the sizes that its subsets may have.
    """

    size: int = WARP
    shares: int = 1
    sizes: int = 1

    @property
    def work(self) -> str:
        each = f" for each of {self.sizes} sizes" if self.sizes > 1 else ""
        return f"{f'{self.blocks} blocks' if self.wide else f'{self.size} threads'} to a row{each}"


def plan(
    kernel: str,
    rows: int,
    n: int,
    dtype: object,
    device: Device,
    *,
    draws: int = 0,
    sizes: int = 1,
    may_meet: bool = True,
) -> TeamLaunch:
    """Choose the geometry of a launch over rows of n items; ``may_meet``: whether blocks may share a row."""
    rows, dtype = max(rows if draws else rows * sizes, 1), type_name(dtype)
    if may_meet and n > BLOCK_ITEMS and rows < ENOUGH_ROWS * device.processors:
        return _wide(kernel, n, dtype, device, sizes)
    size = min(_team(n, rows, device), most_threads(kernel, dtype))
    shares = min(ceil(MANY_ROWS * device.processors / rows), draws) if draws else 1
    threads = size if size > WARP else THREADS[dtype]
    teams = threads // size
    board = _board(kernel, n, dtype)
    blocks = min(ceil(rows * shares / teams), 2**31 - 1)
    shared = SCRATCH_BYTES + teams * board
    return TeamLaunch(kernel, REALS[dtype], blocks, threads, shared, size=size, shares=shares, sizes=sizes)


def _wide(kernel: str, n: int, dtype: str, device: Device, sizes: int) -> TeamLaunch:
    """A block to each processor, so that all can run at the same time."""
    threads = most_threads(kernel, dtype)
    blocks, shared = min(device.processors, ceil(n / (ITEMS * threads))), SCRATCH_BYTES + _board(kernel, n, dtype)
    return TeamLaunch(kernel, REALS[dtype], blocks, threads, shared, size=threads, sizes=sizes, wide=True)


def most_threads(kernel: str, dtype: str) -> int:
    """Threads of a block that has one row, at the most, by its kernel."""
    return MOST_TOGETHER if kernel == TOGETHER else MOST_TEAM[dtype]


def _board(kernel: str, n: int, dtype: str) -> int:
    """Bytes of shared memory to a team; draws and the marginals before them take turns."""
    rest = REST_BOARD_BYTES * (n > FEW_ITEMS)
    if kernel == "ksubset_sample":
        return rest
    return rest if rest and kernel == TOGETHER else BOARD_BYTES[dtype]


def _team(n: int, rows: int, device: Device) -> int:
    size = _power_of_two(ceil(n / ITEMS))
    if rows >= MANY_ROWS * device.processors:
        size = min(size, max(WARP, _power_of_two(ceil(n / MANY_ITEMS))))
    return max(size, LEAST_TEAM)


def _power_of_two(x: int) -> int:
    """The least that is not less."""
    return 1 << (x - 1).bit_length()
