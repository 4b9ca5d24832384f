"""Rows split over a few threads; kernels release the GIL, and each thread has its own scratch memory.

The calling thread works too, and waits for the ranges it handed out. Threads do nothing but run kernels, so callers on
any number of threads share them without waiting for each other in a circle.
"""

import os
import threading
from collections.abc import Callable
from functools import cache, partial
from queue import SimpleQueue

import numpy as np

from ksubset.backends._cpu.kernels.team import FLAG
from ksubset.backends._cpu.kernels.waiting import await_flags

GRAIN = 3_500_000
"""State updates worth a thread of their own: about 0.15 ms; waking one takes 0.04 ms, more where others spin."""

ENDED = 1 << 62
"""More meetings than there will be."""

Job = tuple[Callable[[], None], "_Finish", int]


class _Finish:
    """How the ranges given to other threads ended: a flag for each, set after its error or None is in ``errors``."""

    def __init__(self, size: int) -> None:
        self.flags = np.zeros(size, np.int64)
        self.errors: SimpleQueue[BaseException | None] = SimpleQueue()

    def report(self, number: int, error: BaseException | None) -> None:
        self.errors.put(error)
        self.flags[number] = 1

    def wait(self) -> list[BaseException]:
        await_flags(self.flags.ctypes.data, self.flags.size)
        errors = [self.errors.get() for _ in self.flags]
        return [error for error in errors if error is not None]


class _Pool:
    """Threads that take jobs from a queue."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[Job] = SimpleQueue()
        self.size = 0
        self.lock = threading.Lock()

    def grow(self, size: int) -> None:
        with self.lock:
            for _ in range(self.size, size):
                threading.Thread(target=self._work, name="ksubset", daemon=True).start()
            self.size = max(self.size, size)

    def start(self, calls: list[Callable[[], None]]) -> _Finish:
        """Have every call run. All enter the queue at once: calls that wait for each other are reached in turn."""
        self.grow(len(calls))
        finish = _Finish(len(calls))
        with self.lock:
            for number, call in enumerate(calls):
                self.jobs.put((call, finish, number))
        return finish

    def _work(self) -> None:
        while True:
            call, finish, number = self.jobs.get()
            try:
                call()
                finish.report(number, None)
            except BaseException as error:
                finish.report(number, error)
            del call, finish


_local = threading.local()
_pool = _Pool()


def _renew() -> None:
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)  # threads do not survive a fork


@cache
def default_threads() -> int:
    """``OMP_NUM_THREADS`` if it is set on the first call, else the processors this process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def scratch(size: int) -> tuple[int, int]:
    """First and last address of at least ``size`` bytes of this thread's memory, at the start of a cache line."""
    memory = getattr(_local, "memory", None)
    if memory is None or memory.size < size + 64:
        memory = _local.memory = np.full(size + 64, 0, np.uint8)  # filled in one go: the system gives large pages
        _local.start = (memory.ctypes.data + 63) // 64 * 64
        _local.end = memory.ctypes.data + memory.size
    return _local.start, _local.end


def count(rows: int, multiple: int, work: int, threads: int) -> int:
    """How many threads share the rows: each takes work that is worth it, and ``multiple`` rows at the least."""
    return max(1, min(threads, work // GRAIN, -(-rows // multiple)))


def run(part: Callable[[int, int], None], rows: int, multiple: int, parts: int) -> None:
    """Call ``part(start, stop)`` on ranges that cover the rows; ranges start at multiples of ``multiple``."""
    length = -(-rows // (parts * multiple)) * multiple
    _run_all([partial(part, start, min(start + length, rows)) for start in range(0, rows, length)])


def run_together(member: Callable[[int, int, int, int], None], size: int, shared: int, scratch: int) -> None:
    """Call ``member(rank, size, address, own)`` on ``size`` threads at once, which wait for each other by `team.meet`.

    All memory is found before any thread starts. A member that ends, even by an error, raises its flag for good, so
    that the others do not wait for it.
    """
    lines = -(-scratch // 64) * 64
    memory = np.zeros(shared + size * lines + 64, np.uint8)
    start = (memory.ctypes.data + 63) // 64 * 64 - memory.ctypes.data
    flags = memory[start : start + shared].view(np.int64)[:: FLAG // 8]

    def call(rank: int) -> None:
        try:
            address = memory.ctypes.data + start
            member(rank, size, address, address + shared + rank * lines)
        finally:
            flags[rank] = ENDED

    _run_all([partial(call, rank) for rank in range(size)])


def _run_all(calls: list[Callable[[], None]]) -> None:
    """Run the first call here and each other on a thread; raise one of their errors."""
    finish = _pool.start(calls[1:])
    try:
        calls[0]()
    finally:
        errors = finish.wait()
    for error in errors:
        raise error
