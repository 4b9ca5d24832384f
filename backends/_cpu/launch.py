"""How Python calls a kernel: addresses of arrays, a plan, and ranges of rows on threads."""

from collections.abc import Callable
from ctypes import addressof, c_char
from functools import cache
from typing import Any, NamedTuple, Protocol

import numpy as np
from numba import int64

from ksubset.backends._cpu import threads
from ksubset.backends._cpu.kernels.team import MEMBERS
from ksubset.backends._cpu.planning import Plan
from ksubset.backends._cpu.simd.lanes import Layout


class Memory(Protocol):
    """The interface of a framework for kernels: arrays in the memory of the CPU, and their addresses."""

    def dtype(self, x: Any) -> "np.dtype[Any]":
        """The dtype by its NumPy name."""

    def empty(self, shape: tuple[int, ...], like: Any) -> Any:
        """A new array of the dtype of another one."""

    def double(self, x: Any) -> Any:
        """The array in float64."""

    def integers(self, shape: tuple[int, ...]) -> Any:
        """A new array of 64-bit integers."""

    def contiguous(self, x: Any, like: Any) -> Any:
        """The array, or a copy of the dtype of another one whose numbers are in order."""

    def counts(self, k: Any) -> Any:
        """The counts as 64-bit integers."""

    def repeated(self, x: Any, times: int, tail: int) -> Any:
        """The rows of x, of ``tail`` axes each, one after the other and all of them again; a number as it is."""

    def address(self, x: Any) -> int:
        """Where a contiguous array starts, 0 if it is empty."""

    def view(self, x: Any) -> np.ndarray:
        """The array as one of NumPy."""

    def viewed(self, x: np.ndarray) -> Any:
        """The reverse."""

    def threads(self) -> int:
        """The largest number of threads that a call may take."""


class NumPy:
    """The memory of NumPy's arrays."""

    def dtype(self, x: np.ndarray) -> "np.dtype[Any]":
        return x.dtype

    def empty(self, shape: tuple[int, ...], like: np.ndarray) -> np.ndarray:
        return np.empty(shape, like.dtype)

    def double(self, x: np.ndarray) -> np.ndarray:
        return x.astype(np.float64, copy=False)

    def integers(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.empty(shape, np.int64)

    def contiguous(self, x: np.ndarray, like: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(x, like.dtype)

    def counts(self, k: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(k, np.int64)

    def repeated(self, x: Any, times: int, tail: int) -> Any:
        return np.tile(x.reshape(-1, *x.shape[x.ndim - tail :]), (times, *(1,) * tail)) if getattr(x, "ndim", 0) else x

    def address(self, x: np.ndarray) -> int:
        """``x.ctypes`` takes 2 µs, a fifth of the smallest call."""
        if not x.size:
            return 0
        return addressof(c_char.from_buffer(x.data)) if x.flags.writeable else x.ctypes.data

    def view(self, x: np.ndarray) -> np.ndarray:
        return x

    def viewed(self, x: np.ndarray) -> np.ndarray:
        return x

    def threads(self) -> int:
        return threads.default_threads()


NUMPY = NumPy()


class Ready(NamedTuple):
    """A kernel with all that its calls for rows of one shape have in common.

    Attributes
    ----------
    call
        The version of the kernel for the plan's layout.
    plan
        How it is called.
    method
        ``"recursion"`` or ``"contour"``: a kernel's arguments depend on it.
    n, rows
        The shape of the logits.
    sizes
        The kernel's arguments from n to the number of rows, both included.
    work
        State updates of one pass over all rows.
    """

    call: Callable[..., None]
    plan: Plan
    method: str
    n: int
    rows: int
    sizes: tuple[int, ...]
    work: float


def ready(kernel: Any, plan: Plan, method: str, n: int, rows: int, *between: int) -> Ready:
    """A kernel for rows of one shape; ``between`` comes after n."""
    return Ready(_version(kernel, plan.layout), plan, method, n, rows, (n, *between, rows), rows * plan.updates)


def run(
    kernel: Ready, memory: Memory, logits: Any, k: Any, arguments: tuple[Any, ...], passes: int, limit: int | None
) -> None:
    """Call a kernel on ranges of the rows of logits (..., n): it is given numbers, and addresses, 0 for None."""
    if not kernel.work:
        return
    logits, same, each, plan = memory.contiguous(logits, logits), _one_count(k, kernel.n), None, kernel.plan
    if same < 0:
        each = memory.counts(k)
    head = memory.address(logits), 0 if each is None else memory.address(each), same, *kernel.sizes
    tail = [x if isinstance(x, int) else 0 if x is None else memory.address(x) for x in arguments]
    work, call, limit = int(passes * kernel.work), kernel.call, memory.threads() if limit is None else limit
    size = members(kernel, work, limit)
    if size == 1:
        call(*head, 0, kernel.rows, *tail, *threads.scratch(plan.scratch), *plan.alone, plan.layout)
        return

    def part(start: int, stop: int, _alive: object = (logits, each, arguments)) -> None:  # outlives an interrupted call
        call(*head, start, stop, *tail, *threads.scratch(plan.scratch), *plan.alone, plan.layout)

    if _is_shared(kernel, limit):
        _run_together(call, plan, (*head, 0, kernel.rows, *tail), size, (logits, each, arguments))
    else:
        threads.run(part, kernel.rows, plan.lanes, size)


def members(kernel: Ready, work: int, limit: int) -> int:
    """How many threads a call takes that may take ``limit``, the calling one among them."""
    if work < threads.GRAIN:
        return 1
    if _is_shared(kernel, limit):
        return min(limit, MEMBERS)
    return threads.count(kernel.rows, kernel.plan.lanes, work, limit)


def _is_shared(kernel: Ready, limit: int) -> bool:
    """Whether threads share each row, of which there are too few to give every thread some."""
    return kernel.plan.shared > 0 and kernel.rows < limit


@cache
def _version(kernel: Any, layout: Layout) -> Callable[..., None]:
    """The version of a kernel for a layout, in a fifth of the time that Numba takes to find it by its arguments."""
    integers = kernel.py_func.__code__.co_argcount - 1
    signature = (*(int64,) * integers, layout.kind)
    kernel.compile(signature)
    version: Callable[..., None] = kernel.get_overload(signature)
    return version


def _run_together(call: Callable[..., None], plan: Plan, given: tuple[Any, ...], size: int, alive: object) -> None:
    """Call a kernel on a few threads that share each row."""

    def member(rank: int, size: int, shared: int, own: int, _alive: object = alive) -> None:
        call(*given, own, own + plan.scratch, rank, size, shared, plan.layout)

    threads.run_together(member, size, plan.shared, plan.scratch)


def _one_count(k: Any, n: int) -> int:
    """A k for all rows, −1 if each has its own; n + 1 stands for one out of range."""
    if getattr(k, "ndim", 0):
        return -1
    k = int(k)
    return k if 0 <= k <= n else n + 1
