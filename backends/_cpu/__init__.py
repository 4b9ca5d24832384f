"""The CPU fast path: Numba kernels on NumPy arrays, on CPU tensors through their NumPy views, and in JAX's programs.

`find_path` says which kernel a call would take. `solve`, `jacobian_product` and `sample` agree with the functions of
the same names in ``ksubset._inference``. Logits are (rows, n) of float32 or float64, copied only if not C-contiguous; k
is an int or integers (rows,). A row that is infeasible or holds a NaN gives NaN in its own results alone.
"""

from typing import NamedTuple

import numpy as np

from ksubset.backends._cpu import kernels
from ksubset.backends._cpu.calling import NOTHING, address, run
from ksubset.backends._cpu.planning import Path, find_path, plan, rule_of

__all__ = ["Path", "Solved", "find_path", "jacobian_product", "plan", "sample", "solve"]

WORD = 0x7FFF_FFFF_FFFF_FFFF


class Solved(NamedTuple):
    """What `solve` found.

    Attributes
    ----------
    shift
        λ, (rows,): t = θ + λ.
    log_volume
        As in `ksubset._inference.Solution`, (rows,); None where it was not asked for, as those that follow.
    chosen, unchosen
        μ and 1 − μ, (rows, n), both with full relative accuracy.
    """

    shift: np.ndarray
    log_volume: np.ndarray | None
    chosen: np.ndarray | None
    unchosen: np.ndarray | None


def solve(
    logits: np.ndarray,
    k: int | np.ndarray,
    *,
    volume: bool = True,
    chosen: bool = True,
    unchosen: bool = True,
    threads: int | None = None,
) -> Solved:
    """Compute λ, and on request the log-volume and both marginals.

    Parameters
    ----------
    logits, k
        As this module says.
    volume, chosen, unchosen
        Whether to return the log-volume, μ and 1 − μ.
    threads
        At most so many; None for `threads.default_threads`.

    Returns
    -------
    Solved
    """
    rows, dtype = len(logits), logits.dtype
    shift, nothing = np.empty((1, rows), dtype), NOTHING[dtype]
    volumes = np.empty((1, rows), dtype) if volume else nothing
    mu, rest = (np.empty(logits.shape, dtype) if wanted else nothing for wanted in (chosen, unchosen))
    run(kernels.solve, logits, k, (shift, volumes, mu, rest), rule_of(dtype), 1, threads)
    return Solved(shift[0], volumes[0] if volume else None, mu if chosen else None, rest if unchosen else None)


def jacobian_product(
    logits: np.ndarray,
    k: int | np.ndarray,
    v: np.ndarray,
    *,
    shift: np.ndarray | None = None,
    threads: int | None = None,
) -> np.ndarray:
    """Compute J · v, J = ∂μ/∂θ = Cov(z).

    Parameters
    ----------
    logits, k
        As this module says.
    v
        Contiguous, of the shape and dtype of ``logits``.
    shift
        λ as `solve` or `sample` returned it for the same logits: saves the search for it.
    threads
        As in `solve`.

    Returns
    -------
    numpy.ndarray, shape (rows, n)
    """
    out = np.empty(logits.shape, logits.dtype)
    known = NOTHING[logits.dtype] if shift is None else shift[None, :]
    v = np.ascontiguousarray(v, logits.dtype)
    if not v.size:
        return out
    run(kernels.jacobian_product, logits, k, (known, address(v), out), rule_of(logits.dtype), 4, threads, v)
    return out


def sample(
    logits: np.ndarray, k: int | np.ndarray, seed: int, draws: int = 1, *, threads: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw exact subsets.

    Parameters
    ----------
    logits, k
        As this module says.
    seed
        Any int. Draw d of row r depends on the seed, on d · rows + r and on the row: not on the number of threads.
    draws
        How many subsets to draw from each row.
    threads
        As in `solve`.

    Returns
    -------
    z : numpy.ndarray, shape (draws, rows, n)
        0 and 1 in the dtype of ``logits``.
    shift : numpy.ndarray, shape (rows,)
        λ, for `jacobian_product`.
    """
    rows, n = logits.shape
    z, shift = np.empty((draws * rows, n), logits.dtype), np.empty((1, rows), logits.dtype)
    run(kernels.sample, logits, k, (shift, seed & WORD, draws, z), rule_of(logits.dtype, True), 1 + draws, threads)
    return z.reshape(draws, rows, n), shift[0]
