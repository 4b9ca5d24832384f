"""The CPU fast path: Numba kernels on NumPy arrays, on CPU tensors through their NumPy views, and in JAX's programs.

`find_path` says which kernel a call would take. `solve`, `jacobian_product` and `sample` agree with the functions of
the same names in ``ksubset._inference``. Logits are (rows, n) of float32 or float64, copied only if not C-contiguous; k
is an int or integers (rows,), ``width`` a bound of min(k, n − k). A row that is infeasible or holds a NaN gives NaN in
its own results alone. λ is two numbers to a row, start and shift, (2, rows): t = (θ + start) + shift.
"""

from math import gcd
from typing import NamedTuple

import numpy as np

from ksubset.backends._cpu import moments, recursion, sampling
from ksubset.backends._cpu.calling import NOTHING, address, run
from ksubset.backends._cpu.planning import KINDS, RECURSION, Path, arrange, choose, find_path, width_of
from ksubset.backends._cpu.vectors import WIDTH

__all__ = ["Path", "Solved", "find_path", "jacobian_product", "sample", "solve"]

WORD = 0x7FFF_FFFF_FFFF_FFFF


class Solved(NamedTuple):
    """What `solve` found.

    Attributes
    ----------
    shifts
        λ, (2, rows).
    log_volume
        As in `ksubset._inference.Solution`, (rows,); None where it was not asked for, as those that follow.
    chosen, unchosen
        μ and 1 − μ, (rows, n), both with full relative accuracy.
    """

    shifts: np.ndarray
    log_volume: np.ndarray | None
    chosen: np.ndarray | None
    unchosen: np.ndarray | None


def solve(
    logits: np.ndarray,
    k: int | np.ndarray,
    width: int | None = None,
    *,
    volume: bool = True,
    chosen: bool = True,
    unchosen: bool = True,
    threads: int | None = None,
) -> Solved:
    """Compute λ, and on request the log-volume and both marginals.

    Parameters
    ----------
    logits, k, width
        As this module says.
    volume, chosen, unchosen
        Whether to return the log-volume, μ and 1 − μ.
    threads
        At most so many; None for `threads.default_threads`.

    Returns
    -------
    Solved
    """
    (rows, n), dtype = logits.shape, logits.dtype
    width = _width(n, k) if width is None else width
    shifts, nothing = np.empty((2, rows), dtype), NOTHING[dtype]
    mu, rest = (np.empty(logits.shape, dtype) if wanted else nothing for wanted in (chosen, unchosen))
    method, across = choose("solve", rows, n, width)
    plan = arrange("solve", dtype, method, across, n, width)
    if method == RECURSION and not volume:
        run(recursion.solve, plan, logits, k, (shifts, mu, rest), 1, threads, before=(width,))
        return Solved(shifts, None, mu if chosen else None, rest if unchosen else None)
    volumes = np.empty((1, rows), dtype) if volume else nothing
    if method == RECURSION:
        method, across = choose("solve", rows, n, n)
        plan = arrange("solve", dtype, method, across, n, width)
    run(moments.solve, plan, logits, k, (shifts, volumes, mu, rest), 1, threads)
    return Solved(shifts, volumes[0] if volume else None, mu if chosen else None, rest if unchosen else None)


def jacobian_product(
    logits: np.ndarray,
    k: int | np.ndarray,
    v: np.ndarray,
    width: int | None = None,
    *,
    shifts: np.ndarray | None = None,
    threads: int | None = None,
) -> np.ndarray:
    """Compute J · v, J = ∂μ/∂θ = Cov(z).

    Parameters
    ----------
    logits, k, width
        As this module says.
    v
        Of the shape and dtype of ``logits``.
    shifts
        λ as `solve` or `sample` returned it for the same logits: saves the search for it.
    threads
        As in `solve`.

    Returns
    -------
    numpy.ndarray, shape (rows, n)
    """
    rows, n = logits.shape
    out, known = np.empty(logits.shape, logits.dtype), NOTHING[logits.dtype] if shifts is None else shifts
    if not out.size:
        return out
    v, width = np.ascontiguousarray(v, logits.dtype), _width(n, k) if width is None else width
    method, across = choose("jacobian_product", rows, n, width)
    plan = arrange("jacobian_product", logits.dtype, method, across, n, width)
    arguments = known, address(v), out
    if method == RECURSION:
        run(recursion.jacobian_product, plan, logits, k, arguments, 3, threads, v, before=(width,))
    else:
        run(moments.jacobian_product, plan, logits, k, arguments, 2, threads, v)
    return out


def sample(
    logits: np.ndarray,
    k: int | np.ndarray,
    seed: int,
    draws: int = 1,
    width: int | None = None,
    *,
    threads: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw exact subsets.

    Parameters
    ----------
    logits, k, width
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
    shifts : numpy.ndarray, shape (2, rows)
        λ, for `jacobian_product`.
    """
    rows, n = logits.shape
    width = _width(n, k) if width is None else width
    z = np.empty((draws * rows, n), logits.dtype)
    method, across = choose("sample", rows * draws, n, width)
    if method == RECURSION and rows < WIDTH[KINDS[logits.dtype]] and draws > 1:
        return _sample_side_by_side(logits, k, seed, draws, width, z, threads)
    return z.reshape(draws, rows, n), _sample(logits, k, seed, draws, width, z, threads)


def _sample(
    logits: np.ndarray,
    k: int | np.ndarray,
    seed: int,
    draws: int,
    width: int,
    z: np.ndarray,
    threads: int | None,
) -> np.ndarray:
    """Draw into ``z``, (draws · rows, n), and return λ."""
    rows, n = logits.shape
    shifts, arguments = np.empty((2, rows), logits.dtype), (seed & WORD, draws, z)
    method, across = choose("sample", rows * draws, n, width)
    plan = arrange("sample", logits.dtype, method, across, n, width)
    if method == RECURSION:
        run(recursion.sample, plan, logits, k, (shifts, *arguments), 1 + draws, threads, before=(width,))
    else:
        run(sampling.sample, plan, logits, k, (shifts, *arguments), 1 + draws, threads)
    return shifts


def _sample_side_by_side(
    logits: np.ndarray, k: int | np.ndarray, seed: int, draws: int, width: int, z: np.ndarray, threads: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Few rows, of which a vector holds several draws at once: the rows are repeated, which changes no draw."""
    rows, n = logits.shape
    times = gcd(draws, WIDTH[KINDS[logits.dtype]] // rows)
    counts = np.tile(k, times) if isinstance(k, np.ndarray) and k.ndim else k
    shifts = _sample(np.tile(logits, (times, 1)), counts, seed, draws // times, width, z, threads)
    return z.reshape(draws, rows, n), shifts[:, :rows]


def _width(n: int, k: int | np.ndarray) -> int:
    """A bound of min(k, n − k)."""
    return width_of(n, -1 if isinstance(k, np.ndarray) and k.ndim else int(k))
