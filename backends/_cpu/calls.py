"""The CPU fast path: Numba kernels on NumPy arrays, on CPU tensors, and in JAX's programs.

`find_path` says which kernel a call would take. `moments`, `jacobian_product` and `sample` agree with the functions of
the same names in `ksubset._engine.inference`. Logits are (..., n) of float32 or float64, copied if not contiguous; k
is an int or integers (...), ``width`` a bound on min(k, n − k). A row that is infeasible or holds a NaN gives NaN in
its results alone. λ is two numbers to a row, start and shift, (2, rows): t = (θ + start) + shift.
"""

from math import gcd, prod
from typing import Any, NamedTuple

from ksubset.backends._cpu.kernels.uniforms import WORD
from ksubset.backends._cpu.launch import NUMPY, Memory, Ready, run
from ksubset.backends._cpu.planning import CONTOUR, KINDS, RECURSION, Path, find_path, width_of, with_room_for_row
from ksubset.backends._cpu.prepared import prepared
from ksubset.backends._cpu.simd.lanes import WIDTH

__all__ = [
    "NUMPY",
    "Memory",
    "Path",
    "Solved",
    "divergence",
    "find_path",
    "jacobian_product",
    "log_prob",
    "mode",
    "moments",
    "sample",
    "scalars",
]


class Solved(NamedTuple):
    """The result of `moments`; quantities that were not asked for are None.

    Attributes
    ----------
    shifts
        λ, (2, rows).
    log_partition
        As in `ksubset._engine.inference.Solution`, (...).
    chosen, unchosen
        μ and 1 − μ, (..., n), both with full relative accuracy.
    """

    shifts: Any
    log_partition: Any
    chosen: Any
    unchosen: Any


def moments(
    logits: Any,
    k: Any,
    width: int | None = None,
    *,
    partition: bool = True,
    chosen: bool = True,
    unchosen: bool = True,
    threads: int | None = None,
    memory: Memory = NUMPY,
) -> Solved:
    """Compute λ, and on request the log-partition and both marginals.

    Parameters
    ----------
    logits, k, width
        As this module says.
    partition, chosen, unchosen
        Whether to return the log-partition, μ and 1 − μ.
    threads
        The largest number of threads; None for the framework's own limit.
    memory
        The framework of the arrays.

    Returns
    -------
    Solved
    """
    batch, n = logits.shape[:-1], logits.shape[-1]
    rows, width = prod(batch), _width(n, k) if width is None else width
    shifts, partitions = memory.empty((2, rows), logits), memory.empty(batch, logits) if partition else None
    mu, rest = (memory.empty(logits.shape, logits) if wanted else None for wanted in (chosen, unchosen))
    kernel = prepared("partition" if partition else "moments", memory.dtype(logits), rows, n, width)
    sides = (mu, rest) if kernel.method == RECURSION else (partitions, mu, rest)
    run(kernel, memory, logits, k, (shifts, *sides), 1, threads)
    return Solved(shifts, partitions, mu, rest)


def scalars(
    logits: Any,
    k: Any,
    width: int | None = None,
    *,
    normaliser: bool,
    threads: int | None = None,
    memory: Memory = NUMPY,
) -> Any:
    """Compute the entropies, or the log-normalisers.

    Parameters
    ----------
    logits, k, width
        As this module says.
    normaliser
        Whether log-normalisers are wanted.
    threads, memory
        As in `moments`.

    Returns
    -------
    array, shape (...)
    """
    out = memory.empty(logits.shape[:-1], logits)
    run(_prepared_for("scalars", logits, k, width, memory), memory, logits, k, (int(normaliser), out), 1, threads)
    return out


def log_prob(
    logits: Any,
    k: Any,
    z: Any,
    width: int | None = None,
    *,
    threads: int | None = None,
    memory: Memory = NUMPY,
) -> Any:
    """Compute log-probabilities.

    Parameters
    ----------
    logits, k, width
        As this module says.
    z
        0 and 1, of the shape of ``logits`` with any dimensions of draws in front.
    threads, memory
        As in `moments`.

    Returns
    -------
    array, shape of ``z`` without its last axis
    """
    out, draws = memory.empty(z.shape[:-1], logits), prod(z.shape[: len(z.shape) - len(logits.shape)])
    arguments = memory.contiguous(z, logits), draws, out
    run(_prepared_for("scores", logits, k, width, memory), memory, logits, k, arguments, 1 + draws, threads)
    return out


def divergence(
    logits: Any,
    k: Any,
    other: Any,
    width: int | None = None,
    *,
    threads: int | None = None,
    memory: Memory = NUMPY,
) -> Any:
    """Compute the Kullback–Leibler divergences from the logits' distributions to the distributions of others.

    Parameters
    ----------
    logits, k, width
        As this module says.
    other
        Of the shape and dtype of ``logits``.
    threads, memory
        As in `moments`.

    Returns
    -------
    array, shape (...)
    """
    out, arguments = memory.empty(logits.shape[:-1], logits), memory.contiguous(other, logits)
    run(_prepared_for("divergences", logits, k, width, memory), memory, logits, k, (arguments, out), 3, threads)
    return out


def mode(logits: Any, k: Any, *, threads: int | None = None, memory: Memory = NUMPY) -> Any:
    """Select the k largest items of each row, of equal ones the first.

    Parameters
    ----------
    logits, k
        As this module says.
    threads, memory
        As in `moments`.

    Returns
    -------
    array, shape (..., n)
    """
    out = memory.empty(logits.shape, logits)
    run(_prepared_for("mode", logits, k, 0, memory), memory, logits, k, (out,), 1, threads)
    return out


def jacobian_product(
    logits: Any,
    k: Any,
    v: Any,
    width: int | None = None,
    *,
    shifts: Any = None,
    threads: int | None = None,
    memory: Memory = NUMPY,
) -> Any:
    """Compute J · v, J = ∂μ/∂θ = Cov(z).

    Parameters
    ----------
    logits, k, width
        As this module says.
    v
        Of the shape and dtype of ``logits``.
    shifts
        λ as `moments` or `sample` returned it for the same logits: saves the search for it.
    threads, memory
        As in `moments`.

    Returns
    -------
    array, shape (..., n)
    """
    kernel, out = _prepared_for("jacobian_product", logits, k, width, memory), memory.empty(logits.shape, logits)
    arguments = shifts, memory.contiguous(v, logits), out
    run(kernel, memory, logits, k, arguments, 3 if kernel.method == RECURSION else 2, threads)
    return out


def sample(
    logits: Any,
    k: Any,
    seed: int,
    shape: tuple[int, ...] = (),
    width: int | None = None,
    *,
    places: int = 0,
    threads: int | None = None,
    memory: Memory = NUMPY,
) -> tuple[Any, Any]:
    """Draw exact subsets.

    Parameters
    ----------
    logits, k, width
        As this module says.
    seed
        Any int. Draw d of row r depends on the seed, on d · rows + r, on the row and on ``width``: not on other rows,
        nor on the number of threads.
    shape
        How many subsets to draw from each row.
    places
        How many indices a subset has at most, if these are wanted in its place.
    threads, memory
        As in `moments`.

    Returns
    -------
    z : array, shape + (..., n)
        0 and 1 in the dtype of ``logits``; or 64-bit integers, shape + (..., places).
    shifts : array, shape (2, rows)
        λ, for `jacobian_product`.
    """
    n, rows, draws = logits.shape[-1], prod(logits.shape[:-1]), prod(shape)
    out = (
        memory.empty((*shape, *logits.shape), logits)
        if not places
        else memory.integers((*shape, *logits.shape[:-1], places))
    )
    dtype, width = memory.dtype(logits), _width(n, k) if width is None else width
    kernel, times = prepared("sample", dtype, rows, n, width), 1
    if kernel.method == RECURSION and (times := _side_by_side(rows, draws, dtype)) > 1:
        logits, k, draws = memory.repeated(logits, times, 1), memory.repeated(k, times, 0), draws // times
        kernel = prepared("sample", dtype, rows * times, n, width)
    shifts = memory.empty((2, rows * times), logits)
    share: tuple[int, ...] = (0,) if kernel.method == RECURSION else ()
    if places and kernel.method == CONTOUR:
        kernel = kernel._replace(plan=with_room_for_row(kernel.plan, dtype, n))
    run(kernel, memory, logits, k, (shifts, seed & WORD, *share, draws, places, out), 1 + draws, threads)
    return out, shifts if times == 1 else memory.contiguous(shifts[:, :rows], logits)


def _prepared_for(name: str, logits: Any, k: Any, width: int | None, memory: Memory) -> Ready:
    """A kernel for these logits."""
    n, rows = logits.shape[-1], prod(logits.shape[:-1])
    return prepared(name, memory.dtype(logits), rows, n, _width(n, k) if width is None else width)


def _side_by_side(rows: int, draws: int, dtype: Any) -> int:
    """How often few rows are repeated so that their draws fill a vector, which changes no draw."""
    if draws <= 1 or not rows:
        return 1
    lanes = WIDTH[KINDS[dtype]]
    return gcd(draws, lanes // rows) if rows < lanes else 1


def _width(n: int, k: Any) -> int:
    """A bound on min(k, n − k)."""
    return width_of(n, -1 if getattr(k, "ndim", 0) else int(k))
