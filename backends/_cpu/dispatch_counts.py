"""The probabilities of all counts through the CPU fast path; imported where kernels can be.

The kernel takes sorted rows of float64. Rows that it does not serve, of logits very far apart, are left to the core.
"""

from functools import lru_cache

import numpy as np

from ksubset._law.counts import count_log_pmf
from ksubset._law.size_weighted import SizeWeighted
from ksubset.backends._cpu.kernels import counts
from ksubset.backends._cpu.launch import NUMPY, Ready, ready, run
from ksubset.backends._cpu.planning import CONTOUR, arrange_counts


def log_pmf(logits: np.ndarray, *, threads: int | None = None) -> np.ndarray:
    """The log-probability of every count of independent items with logits (..., n): (..., n + 1)."""
    n = logits.shape[-1]
    rows = np.array(logits, np.float64, order="C").reshape(-1, n)
    rows.sort(axis=-1)
    served, out = np.empty(len(rows)), np.empty((*logits.shape[:-1], n + 1))
    run(prepared(len(rows), n), NUMPY, rows, 0, (served, out), 1, threads)
    if not served.all():
        left = np.flatnonzero(served == 0)
        out.reshape(-1, n + 1)[left] = _by_core(rows[left])
    if logits.dtype == out.dtype:
        return out
    with np.errstate(all="ignore"):  # logarithms beyond the floats
        return out.astype(logits.dtype)


@lru_cache(maxsize=1024)
def prepared(rows: int, n: int) -> Ready:
    """The kernel for rows of n items."""
    return ready(counts.log_pmf, arrange_counts(n), CONTOUR, n, rows)


def _by_core(rows: np.ndarray) -> np.ndarray:
    from ksubset.backends.array_api import NUMPY

    with np.errstate(all="ignore"):
        value: np.ndarray = count_log_pmf(NUMPY, SizeWeighted(0, rows.shape[-1]), rows)
    return value
