"""Cardinality potentials for Python: rows, and log-weights of their counts 0 … high, −∞ below ``low``.

Rows that one tilt serves are computed here; ``served`` says which rows these are, and the results of other rows mean
nothing. There are at least one row and one item.
"""

from typing import Any, NamedTuple

import numpy as np

from ksubset.backends._cpu.kernels import weighted
from ksubset.backends._cpu.kernels.uniforms import WORD
from ksubset.backends._cpu.launch import NUMPY, Ready, ready, run
from ksubset.backends._cpu.planning import RECURSION, Plan, arrange
from ksubset.backends._cpu.simd.lanes import ROWS


class Moments(NamedTuple):
    """The result of `moments`.

    Attributes
    ----------
    served
        Whether the rest means something, (rows,).
    shifts, target
        λ, (2, rows), and the count from which the log-weights that λ adds, −λ(c − target), are measured: (rows,).
    log_partition
        As in `ksubset._engine.potential.mixture.Mixture`, but for ``target`` in the place of m: (rows,).
    chosen, unchosen
        μ and 1 − μ, (rows, n).
    counts
        π, (rows, high + 1).

    A quantity that was not asked for is None.
    """

    served: np.ndarray
    shifts: np.ndarray
    target: np.ndarray
    log_partition: np.ndarray | None
    chosen: np.ndarray | None
    unchosen: np.ndarray | None
    counts: np.ndarray


def moments(
    logits: np.ndarray,
    log_weights: np.ndarray,
    low: int,
    *,
    partition: bool = False,
    chosen: bool = False,
    unchosen: bool = False,
    threads: int | None = None,
) -> Moments:
    """Compute π, and on request the log-partition and both marginals."""
    rows, dtype = len(logits), logits.dtype
    served, shifts, target = np.empty(rows, dtype), np.empty((2, rows), dtype), np.empty(rows, dtype)
    partitions = np.empty(rows, dtype) if partition else None
    mu, rest = (np.empty(logits.shape, dtype) if wanted else None for wanted in (chosen, unchosen))
    counts = np.empty(log_weights.shape, dtype)
    log_weights = np.ascontiguousarray(log_weights)
    arguments = log_weights, low, served, shifts, target, partitions, mu, rest, counts
    high = log_weights.shape[1] - 1
    run(_kernel(weighted.solve, logits, high), NUMPY, logits, high, arguments, 1, threads)
    return Moments(served > 0, shifts, target, partitions, mu, rest, counts)


def jacobian_product(
    logits: np.ndarray,
    log_weights: np.ndarray,
    low: int,
    v: np.ndarray,
    u: np.ndarray,
    *,
    threads: int | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute ``served``, and the covariances of v · z + u(Σz) with the items and with the indicators of counts."""
    served = np.empty(len(logits), logits.dtype)
    items, counts = np.empty(logits.shape, logits.dtype), np.empty(log_weights.shape, logits.dtype)
    given = [np.ascontiguousarray(x, logits.dtype) for x in (log_weights, v, u)]
    high = log_weights.shape[1] - 1
    arguments = given[0], low, served, *given[1:], items, counts
    run(_kernel(weighted.jacobian_product, logits, high), NUMPY, logits, high, arguments, 3, threads)
    return served > 0, items, counts


def sample(
    logits: np.ndarray,
    log_weights: np.ndarray,
    low: int,
    seed: int,
    draws: int,
    *,
    places: int = 0,
    side: int = 1,
    threads: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute ``served``, and draw exact subsets, (draws, rows, n); seeds are used as in `calls.sample`.

    With ``places`` the result has indices, (draws, rows, places), with ``side`` −1 of the items left out.
    """
    rows, n = logits.shape
    served, last, dtype = np.empty(rows, logits.dtype), places or n, np.int64 if places else logits.dtype
    out = np.empty((draws * rows, last), dtype)
    log_weights = np.ascontiguousarray(log_weights)
    high = log_weights.shape[1] - 1
    arguments = log_weights, low, served, seed & WORD, 0, draws, places, side, out
    run(_kernel(weighted.sample, logits, high), NUMPY, logits, high, arguments, 1 + draws, threads)
    return served > 0, out.reshape(draws, rows, last)


def plan_for(dtype: "np.dtype[Any]", n: int, high: int) -> Plan:
    """Plan any of these kernels."""
    return arrange("weighted", dtype, RECURSION, ROWS, n, high)


def _kernel(kernel: Any, logits: np.ndarray, high: int) -> Ready:
    rows, n = logits.shape
    return ready(kernel, plan_for(logits.dtype, n, high), RECURSION, n, rows)
