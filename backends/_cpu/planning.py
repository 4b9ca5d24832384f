"""Which kernel a call takes, known before it runs, and how much memory and work that is: the one place that decides.

Rows that choose few items go through the recursion, whose cost grows with k; all others through the contour, whose
cost does not. Short rows are taken sixteen or so at a time, one to a lane; few and long ones item by item.
The limits were measured: ``tests/benchmarks/scaling.py`` shows the cost of an item on either side of them.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import float32, float64

from ksubset.backends._cpu.simd.lanes import ITEMS, ROWS, WIDTH, Layout

KINDS = {np.dtype(np.float32): float32, np.dtype(np.float64): float64}
LAYOUTS = {(d, across): Layout(kind, across) for d, kind in KINDS.items() for across in (ROWS, ITEMS)}

RECURSION, CONTOUR, SELECTION = "recursion", "contour", "selection"

WIDEST = {"partition": -1, "moments": 12, "scalars": 12, "jacobian_product": 12, "sample": 12}
"""The recursion serves rows that choose, or leave out, at most this many items."""

LONGEST = 4096
"""The recursion also needs rows of at most this many items: float32 loses digits in longer products."""

LONGEST_SCALARS = 512
"""The same for scalars: a rounding for every four items adds up to 8e-6 in the logarithm of the last state."""

FEWEST = 6
"""Fewer rows are taken one by one, items in lanes."""

SHORT = 256
"""Longer rows are taken one by one as well."""

SHARED = 1 << 17
"""Threads work together on rows with at least this many items, if there are fewer rows than threads."""

LONGEST_SELECTION = 1 << 24
"""Up to here float32 counts the items of a row."""

TYPICAL = {RECURSION: 30.0, CONTOUR: 60.0, SELECTION: 12.0}
"""About the cost of an item, in additions of a state."""


class Path(NamedTuple):
    """Which kernel a call takes.

    Attributes
    ----------
    method
        ``"recursion"``, ``"contour"`` or ``"selection"``.
    across
        ``"rows"``: a row in each lane of a vector; ``"items"``: row by row, items in lanes.
    reason
        The same in words.
    """

    method: str
    across: str
    reason: str

    @property
    def family(self) -> str:
        """The name of these kernels in `ksubset.show_config`."""
        return "the fast path"

    @property
    def solves(self) -> bool:
        """Whether the kernel finds a whole `ksubset._engine.inference.Solution`, at no extra cost."""
        return False


def find_path(name: str, rows: int, n: int, width: int, dtype: Any) -> Path | None:
    """Say how a call would be computed.

    Parameters
    ----------
    name
        ``"moments"``, ``"partition"`` for moments with the log-partition, ``"scalars"``, ``"jacobian_product"``,
        ``"sample"`` or ``"mode"``.
    rows, n, width
        The shape, and a bound on min(k, n − k).
    dtype
        Of the logits: anything ``numpy.dtype`` accepts.

    Returns
    -------
    Path or None
        None if there is no kernel for it.
    """
    kind = kind_of(rows, n, dtype)
    if kind is None:
        return None
    method, across = choose(name, rows, n, width)
    if method == SELECTION:
        return Path(method, across, f"{_lanes(across, kind)}, by bisection") if n <= LONGEST_SELECTION else None
    if method == RECURSION:
        return Path(method, across, f"{_lanes(across, kind)}, counts up to {width} by recursion")
    return Path(method, across, f"{_lanes(across, kind)}, by the contour: at most {width} of {n}, in O(n)")


def find_weighted_path(rows: int, n: int, high: int, dtype: Any) -> Path | None:
    """Say the same of a call with a cardinality potential, whose sizes or their complements go up to ``high``."""
    kind = kind_of(rows, n, dtype)
    if kind is None or n > LONGEST or n * high > LARGEST_TABLE:
        return None
    reach = f"all sizes up to {high} under one tilt; the core takes the rows where that does not serve"
    return Path(RECURSION, ROWS, f"{_lanes(ROWS, kind)}, {reach}")


def find_count_path(rows: int, n: int, dtype: Any) -> Path | None:
    """Say the same of the probabilities of all counts."""
    from ksubset.backends._cpu.kernels.counts import LONGEST

    if kind_of(rows, n, dtype) is None or n > LONGEST:
        return None
    reach = "all counts, item by item in float64; the core takes rows with logits 11 to 75 apart throughout"
    return Path(RECURSION, ITEMS, f"{_lanes(ITEMS, np.dtype(dtype))}, {reach}")


LARGEST_TABLE = 1 << 20
"""Items times sizes; the core computes larger potentials, since its memory does not grow with the sizes."""


def planned_as(name: str) -> str:
    """Scores and divergences are planned like other numbers of a row."""
    return "scalars" if name in ("scores", "divergences") else name


def choose(name: str, rows: int, n: int, width: int) -> tuple[str, str]:
    """The method, and the content of lanes; the method that draws samples does not depend on the number of rows."""
    alone = ITEMS if rows < FEWEST or n > SHORT else ROWS
    if name == "mode":
        return SELECTION, alone
    longest = LONGEST_SCALARS if name == "scalars" else LONGEST
    recurs = width <= WIDEST[name] and n <= longest and (rows > 1 or name == "sample")
    if recurs:
        return RECURSION, ROWS
    return CONTOUR, ITEMS if name == "sample" else alone


def kind_of(rows: int, n: int, dtype: Any) -> np.dtype[Any] | None:
    """The dtype, None if there are no kernels for it or nothing to compute."""
    try:
        kind = np.dtype(dtype)
    except TypeError:
        return None
    return None if kind not in KINDS or rows < 1 or n < 1 else kind


def _lanes(across: str, kind: np.dtype[Any]) -> str:
    return "row by row, items in SIMD lanes" if across == ITEMS else f"{WIDTH[KINDS[kind]]} rows in SIMD lanes"


def width_of(n: int, same: int) -> int:
    """A bound on min(k, n − k); ``same`` is k, or −1."""
    return n // 2 if same < 0 else min(same, abs(n - same))


class Plan(NamedTuple):
    """How a kernel is called.

    Attributes
    ----------
    layout
        Selects its version.
    lanes
        How many rows go together.
    scratch
        Bytes of memory that it needs.
    updates
        Work for a row.
    shared
        Bytes shared by threads that work on one row; 0 for kernels in which each thread has rows of its own.
    alone
        The last arguments of a kernel whose threads may share a row, for a thread without others.
    """

    layout: Layout
    lanes: int
    scratch: int
    updates: float
    shared: int = 0
    alone: tuple[int, ...] = ()


@lru_cache(maxsize=1024)
def arrange(name: str, dtype: np.dtype[Any], method: str, across: str, n: int, width: int) -> Plan:
    """Plan the kernel of a function and a method."""
    from ksubset.backends._cpu.kernels import moments, recursion_passes, sampling, team

    lanes = WIDTH[KINDS[dtype]] if across == ROWS else 1
    vector, items = WIDTH[KINDS[dtype]] * dtype.itemsize, lanes * dtype.itemsize * (n + 64)
    if method == SELECTION:
        return Plan(LAYOUTS[dtype, across], lanes, 2 * items + 4096, n * TYPICAL[method])
    if method == RECURSION:
        tables = 2 * vector * (((n + 3) // 4 + 3) * (width + 1 + recursion_passes.PAD) + 2 * (width + 64))
        scratch = 9 * items + tables + team.board_bytes(n) + 4096 + 8 * lanes
        return Plan(LAYOUTS[dtype, across], lanes, scratch, n * (TYPICAL[method] + width))
    scratch = (sampling.BYTES if name == "sample" else moments.NUMBERS * vector + 4096) + team.board_bytes(n)
    shared = team.board_bytes(n, 2) if n >= SHARED else 0
    scratch += 3 * items if across == ROWS else 0
    return Plan(LAYOUTS[dtype, across], lanes, scratch, n * TYPICAL[method], shared, team.ALONE)


def with_room_for_row(plan: Plan, dtype: np.dtype[Any], n: int) -> Plan:
    """Plan for a row in the memory of each thread, which is then on its own."""
    return plan._replace(scratch=plan.scratch + dtype.itemsize * (n + 64), shared=0)


@lru_cache(maxsize=1024)
def arrange_counts(n: int) -> Plan:
    """Plan the kernel for the probabilities of all counts."""
    from ksubset.backends._cpu.kernels.count_units import TABLES, VECTORS

    dtype, block = np.dtype(np.float64), VECTORS * WIDTH[float64]
    return Plan(LAYOUTS[dtype, ITEMS], 1, 8 * TABLES * (n // block + 3) * block, n * (TYPICAL[CONTOUR] + n / 4))
