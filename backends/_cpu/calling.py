"""How Python calls a kernel: addresses of arrays, a plan, and ranges of rows on threads."""

from ctypes import addressof, c_char
from typing import Any

import numpy as np

from ksubset.backends._cpu import threads
from ksubset.backends._cpu.planning import KINDS, across_of, arrange, width_of
from ksubset.backends._cpu.window import Rule

NOTHING = {dtype: np.empty((0, 0), dtype) for dtype in KINDS}
"""Results that are not wanted."""


def address(x: np.ndarray) -> int:
    """Where an array that is not empty starts; ``x.ctypes`` takes 2 µs, a fifth of the smallest call."""
    return addressof(c_char.from_buffer(x.data)) if x.flags.writeable else x.ctypes.data


def run(
    kernel: Any,
    logits: np.ndarray,
    k: int | np.ndarray,
    arguments: tuple[Any, ...],
    rule: Rule,
    passes: int,
    limit: int | None,
    *inputs: np.ndarray,
    width: int | None = None,
) -> None:
    """Call a kernel on ranges of rows.

    ``inputs`` are the arrays whose addresses are among the arguments. ``width`` is the number of counts in the table if
    that does not follow from k.
    """
    rows, n = logits.shape
    if not logits.size:
        return
    logits = np.ascontiguousarray(logits)
    each = np.ascontiguousarray(k, np.int64) if isinstance(k, np.ndarray) and k.ndim else None
    same = _one_count(int(k), n) if each is None else -1
    width = width_of(n, same) if width is None else width
    layout, lanes, size, updates = arrange(logits.dtype, across_of(rows, n), n, width)
    head = address(logits), 0 if each is None else address(each), same, n, rows

    def part(start: int, stop: int, _alive: object = (logits, each, inputs)) -> None:  # outlives an interrupted call
        kernel(*head, start, stop, *arguments, *rule, *threads.scratch(size), layout)

    limit = threads.default_threads() if limit is None else limit
    threads.run(part, rows, lanes, passes * rows * updates, limit)


def _one_count(k: int, n: int) -> int:
    """A k for all rows; n + 1 stands for one out of range."""
    return k if 0 <= k <= n else n + 1
