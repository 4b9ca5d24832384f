"""What a call will do, known before it runs: the layout of its vectors, the window of its counts, its memory."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import float32, float64

from ksubset.backends._cpu.block import WHOLE
from ksubset.backends._cpu.vectors import COUNTS, ROWS, WIDTH, Layout, LayoutType
from ksubset.backends._cpu.window import PAD, Rule

SINGLE, DOUBLE, DRAWING = Rule(5.5, 5.5**2 / 6, 2.0), Rule(8.5, 8.5**2 / 6, 2.0), Rule(9.0, 9.0**2 / 6, 3.0)
KINDS = {np.dtype(np.float32): float32, np.dtype(np.float64): float64}
LAYOUTS = {(d, across): Layout(kind, across) for d, kind in KINDS.items() for across in (ROWS, COUNTS)}
FEW_ROWS, LONG_FEW_ROWS, LONG = 3, 8, 16_384
"""Up to so many rows go one by one, a vector along the counts: more of them where rows are long."""

TYPICAL = 64
"""The width of many a window: an item costs about so many updates where k is larger."""


class Path(NamedTuple):
    """Which kernel a call takes.

    Attributes
    ----------
    across
        ``"rows"``: a row in each lane of a vector; ``"counts"``: row by row, a vector along the counts.
    windowed
        Whether the recursions stay in the bridge window, as opposed to all counts up to k.
    reason
        The same in words.
    """

    across: str
    windowed: bool
    reason: str

    @property
    def family(self) -> str:
        """What `ksubset.show_config` calls these kernels."""
        return "the fast path"

    @property
    def solves(self) -> bool:
        """Whether the kernel finds a whole `ksubset._inference.Solution`, at no extra cost."""
        return False


def find_path(rows: int, n: int, width: int, dtype: Any, *, drawing: bool = False) -> Path | None:
    """Say how a call with so many rows and min(k, n − k) at most ``width`` would be computed.

    Parameters
    ----------
    rows, n, width
        The shape, and a bound of min(k, n − k).
    dtype
        Of the logits: anything ``numpy.dtype`` accepts.
    drawing
        Whether samples are wanted; their window is wider.

    Returns
    -------
    Path or None
        None if the fast path does not take the call.
    """
    kind = _kind(rows, n, dtype)
    if kind is None:
        return None
    rule = rule_of(kind, drawing)
    across, windowed = across_of(rows, n), width > 2 * (rule.skew + rule.margin)
    reach = "in the bridge window" if windowed else f"all counts up to {width}"
    return Path(across, windowed, f"{_lanes(across, kind)}, {reach}")


def find_weighted_path(rows: int, n: int, width: int, dtype: Any) -> Path | None:
    """Say the same of a call with a cardinality potential, whose counts or their complements go up to ``width``."""
    kind = _kind(rows, n, dtype)
    if kind is None:
        return None
    across = across_of(rows, n)
    reach = f"all counts up to {width} under one tilt; the core takes the rows where that does not serve"
    return Path(across, False, f"{_lanes(across, kind)}, {reach}")


def _kind(rows: int, n: int, dtype: Any) -> np.dtype[Any] | None:
    """The dtype, None if there are no kernels for it or nothing to compute."""
    try:
        kind = np.dtype(dtype)
    except TypeError:
        return None
    return None if kind not in KINDS or rows < 1 or n < 1 else kind


def _lanes(across: str, kind: np.dtype[Any]) -> str:
    return "row by row, counts in SIMD lanes" if across == COUNTS else f"{WIDTH[KINDS[kind]]} rows in SIMD lanes"


def plan(rows: int, n: int, same: int, dtype: Any, *, drawing: bool = False) -> tuple[LayoutType, Rule, int]:
    """Say how one of `handlers` computes its answers.

    Parameters
    ----------
    rows, n, dtype
        The shape and the dtype of the logits.
    same
        A k for all rows, or −1.
    drawing
        As in `find_path`.

    Returns
    -------
    layout : LayoutType
        For `compiling.handler`.
    rule : Rule
        The window.
    scratch : int
        Bytes of memory to provide, beside 8 for every k if they differ.
    """
    dtype = np.dtype(dtype)
    layout, _, size, _ = arrange(dtype, across_of(rows, n), n, width_of(n, same))
    return layout.kind, rule_of(dtype, drawing), size + rows * 2 * dtype.itemsize + 256


def across_of(rows: int, n: int) -> str:
    """What the lanes of a vector hold."""
    return COUNTS if rows <= (LONG_FEW_ROWS if n >= LONG else FEW_ROWS) else ROWS


def rule_of(dtype: np.dtype[Any], drawing: bool = False) -> Rule:
    """The window; that for drawing is wider, and the same for all dtypes."""
    return DRAWING if drawing else SINGLE if dtype.itemsize == 4 else DOUBLE


def width_of(n: int, same: int) -> int:
    """A bound of min(k, n − k) where ``same`` is k, or −1."""
    return n // 2 if same < 0 else min(same, abs(n - same))


@lru_cache(maxsize=1024)
def arrange(dtype: np.dtype[Any], across: str, n: int, width: int) -> tuple[Layout, int, int, int]:
    """Say how a call is laid out whose counts go up to ``width``.

    The result is the layout, the rows in a vector, the bytes for their items and for a table of Dual numbers, and about
    how many states a pass over a row updates.
    """
    lanes = WIDTH[KINDS[dtype]] if across == ROWS else 1
    item = lanes * dtype.itemsize
    table = 2 * item * (n // 4 + 2) * (width + 2 * PAD + 64)
    updates = n * (10 + min(width, TYPICAL))
    return LAYOUTS[dtype, across], lanes, (20 * item + 8) * (n + 64) + min(table, WHOLE), updates
