"""How Python calls a kernel: addresses of arrays, a plan, and ranges of rows on threads."""

from collections.abc import Callable
from ctypes import addressof, c_char
from typing import Any

import numpy as np

from ksubset.backends._cpu import threads
from ksubset.backends._cpu.planning import KINDS, Plan

NOTHING = {dtype: np.empty((0, 0), dtype) for dtype in KINDS}
"""Results that are not wanted."""


def address(x: np.ndarray) -> int:
    """Where an array that is not empty starts; ``x.ctypes`` takes 2 µs, a fifth of the smallest call."""
    return addressof(c_char.from_buffer(x.data)) if x.flags.writeable else x.ctypes.data


def run(
    kernel: Callable[..., None],
    plan: Plan,
    logits: np.ndarray,
    k: int | np.ndarray,
    arguments: tuple[Any, ...],
    passes: int,
    limit: int | None,
    *inputs: np.ndarray,
    before: tuple[int, ...] = (),
) -> None:
    """Call a kernel on ranges of rows.

    ``inputs`` are the arrays whose addresses are among the arguments; ``before`` comes after n.
    """
    rows, n = logits.shape
    if not logits.size:
        return
    logits = np.ascontiguousarray(logits)
    each = np.ascontiguousarray(k, np.int64) if isinstance(k, np.ndarray) and k.ndim else None
    same = _one_count(int(k), n) if each is None else -1
    head = address(logits), 0 if each is None else address(each), same, n, *before, rows

    def part(start: int, stop: int, _alive: object = (logits, each, inputs)) -> None:  # outlives an interrupted call
        kernel(*head, start, stop, *arguments, *threads.scratch(plan.scratch), plan.layout)

    limit = threads.default_threads() if limit is None else limit
    threads.run(part, rows, plan.lanes, int(passes * rows * plan.updates), limit)


def _one_count(k: int, n: int) -> int:
    """A k for all rows; n + 1 stands for one out of range."""
    return k if 0 <= k <= n else n + 1
