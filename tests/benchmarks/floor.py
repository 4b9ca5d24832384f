"""The compiled floor: a C++ program that computes the same, written without regard to anything but time.

``KSUBSET_FLOOR`` names its library. Built with -ffast-math, it makes the thread that loads it treat subnormal floats as
0, without which it takes six times as long at (32, 1000, 100). ``core.py`` leaves it at that: the core avoids subnormal
floats and takes the same time in either mode. Where others are timed, use `settings.flushing`.
"""

import ctypes
import os
from functools import cache
from typing import Any

import numpy as np
from timing import Job

MARGINALS, SAMPLE_AND_PRODUCT = 2, 4 | 8
MOST_BYTES = 1e9
"""It keeps the table of eight rows in memory, all of it; where that takes more, there is no floor."""


@cache
def library() -> Any:
    """The library, or None if the environment names none."""
    path = os.environ.get("KSUBSET_FLOOR")
    return ctypes.CDLL(path) if path else None


def obstacle(n: int, k: int) -> str | None:
    """Why there is no floor for such rows."""
    if library() is None:
        return "not given"
    return "over 1 GB" if 32 * (n / 4) * (k + 9) * 3 > MOST_BYTES else None


def floor_marginals(logits: np.ndarray, k: int, threads: int = 1) -> Job | None:
    """Marginals of rows, all with the same k."""
    return None if obstacle(logits.shape[1], k) else _call(MARGINALS, logits, None, k, threads)


def floor_sample_and_product(logits: np.ndarray, v: np.ndarray, k: int, threads: int = 1) -> Job | None:
    """A sample of bytes, and J · v."""
    return None if obstacle(logits.shape[1], k) else _call(SAMPLE_AND_PRODUCT, logits, v, k, threads)


def _call(what: int, logits: np.ndarray, v: np.ndarray | None, k: int, threads: int) -> Job:
    (rows, n), run = logits.shape, library().run_f if logits.dtype == np.float32 else library().run_d
    mu, product, z = np.zeros_like(logits), np.zeros_like(logits), np.zeros(logits.shape, np.uint8)

    def pointer(x: np.ndarray | None) -> ctypes.c_void_p | None:
        return None if x is None else x.ctypes.data_as(ctypes.c_void_p)

    arrays = [pointer(x) for x in (logits, v, mu, product, z, None)]
    options = (12, ctypes.c_double(0.25), ctypes.c_uint64(1), None, threads, None)

    def job() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        run(what, *arrays, rows, n, k, *options)
        return mu, product, z

    return Job(job)
