"""Interleaved timing in one process, and the compiled floor to compare with."""

import ctypes
import os
import time
from collections.abc import Callable

import numpy as np

Job = Callable[[], object]


def interleaved(jobs: dict[str, Job], seconds: float = 2.0) -> dict[str, list[float]]:
    """Times in ms of every job, taken in turn so that all of them see the same machine."""
    for job in jobs.values():
        job()
    times: dict[str, list[float]] = {name: [] for name in jobs}
    end = time.perf_counter() + seconds * len(jobs)
    while time.perf_counter() < end or min(map(len, times.values())) < 5:
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            times[name].append((time.perf_counter() - start) * 1e3)
    return times


def summary(times: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = np.percentile(times, [25, 50, 75])
    return {"median_ms": float(middle), "q25_ms": float(low), "q75_ms": float(high), "runs": len(times)}


def grow_heap() -> None:
    """Free one large array first, as any real program has: the C library then keeps freed memory at hand.

    Without it, glibc returns the memory of every call to the system and page faults cost 30 % of an eager call.
    """
    np.empty(3_000_000).sum()


def floor_marginals(logits: np.ndarray, k: int) -> Job | None:
    """The C++ program named by KSUBSET_FLOOR, computing the same float32 marginals on one thread.

    Built with -ffast-math, it makes the thread that loads it treat subnormal floats as 0, without which it takes six
    times as long at (32, 1000, 100). The core avoids them and takes the same time in either mode.
    """
    path = os.environ.get("KSUBSET_FLOOR")
    if not path:
        return None
    library, (rows, n) = ctypes.CDLL(path), logits.shape
    out = np.zeros_like(logits)

    def pointer(x: np.ndarray | None) -> ctypes.c_void_p | None:
        return None if x is None else x.ctypes.data_as(ctypes.c_void_p)

    def job() -> np.ndarray:
        sides = [pointer(x) for x in (logits, None, out, None, None, None)]
        options = (k, 12, ctypes.c_double(0.25), ctypes.c_uint64(1), None, 1, None)
        library.run_f(2, *sides, rows, n, *options)
        return out

    return job
