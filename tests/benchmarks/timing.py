"""Interleaved timing in one process."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Job:
    """Something to time, and the setting it needs, which is entered and left while the clock stands."""

    run: Callable[[], object]
    setting: Callable[[], AbstractContextManager[object]] = nullcontext


def interleaved(
    jobs: dict[str, Job], seconds: float = 2.0, *, fewest: int = 5, turn: float = 0.0, slow: float = 2.0
) -> dict[str, list[float]]:
    """Times in ms of every job, taken in turn so that all of them see the same machine.

    ``seconds`` are spent on each job on average, and no less than ``fewest`` calls, but a job that takes longer than
    ``slow`` seconds is timed once. A job whose turn it is goes on for ``turn`` seconds, or for one call.
    """
    for job in jobs.values():
        with job.setting():
            job.run()
    times: dict[str, list[float]] = {name: [] for name in jobs}
    going, end = dict(jobs), time.perf_counter() + seconds * len(jobs)
    while going and (time.perf_counter() < end or min(len(times[name]) for name in going) < fewest):
        for name, job in going.items():
            times[name] += _take_turn(job, turn)
        going = {name: job for name, job in jobs.items() if max(times[name]) < slow * 1e3}
    return times


def _take_turn(job: Job, turn: float) -> list[float]:
    """Call for ``turn`` seconds. The first call of several is not counted.

    It finds the caches as the job before left them, and perhaps threads of another library still busy waiting.
    """
    times: list[float] = []
    with job.setting():
        end = time.perf_counter() + turn
        while not times or time.perf_counter() < end:
            start = time.perf_counter()
            job.run()
            times.append((time.perf_counter() - start) * 1e3)
    return times[1:] or times


def summary(times: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = np.percentile(times, [25, 50, 75])
    return {"median_ms": float(middle), "q25_ms": float(low), "q75_ms": float(high), "runs": len(times)}


def grow_heap() -> None:
    """Free one large array first, as any real program has: the C library then keeps freed memory at hand.

    Without it, glibc returns the memory of every call to the system and page faults cost 30 % of an eager call.
    """
    np.empty(3_000_000).sum()
