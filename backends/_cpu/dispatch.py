"""Whether a call takes the CPU fast path, and which module puts it to the kernels; `planning` says to which of them.

It takes the functions of `FUNCTIONS`, and `COUNTS`. Other scalars, and every scalar of a potential, are array code that
starts from moments, found by a kernel. Nothing of numba or NumPy is imported before the first call that would use it.
"""

from functools import cache, lru_cache
from importlib.util import find_spec
from math import prod
from os import environ
from typing import TYPE_CHECKING, Any

from ksubset._law import functions
from ksubset._law.counts import count_log_pmf
from ksubset._law.fixed_size import FixedSize
from ksubset._law.law import Law
from ksubset._law.size_weighted import SizeWeighted
from ksubset.backends._cpu import dispatch_fixed, dispatch_weighted

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from ksubset.backends._cpu.calls import Memory, Path

SCALARS = tuple(sorted(function.__name__ for function in functions.SCALARS))
OWN = tuple(sorted(function.__name__ for function in functions.OWN))
"""Scalars with kernels of their own, where subsets have one size."""
FUNCTIONS = ("marginals", "unchosen", "marginals_jvp", "mode", "draw", *OWN, "moments")
"""By name: functions of ``ksubset._law.functions``, ``draw``, which is a sample from a seed, and ``moments``."""
KERNELS = {
    "marginals": "moments",
    "unchosen": "moments",
    "marginals_jvp": "jacobian_product",
    "mode": "mode",
    "draw": "sample",
    "moments": "partition",
    **dict.fromkeys(OWN, "scalars"),
}
"""What each is called in ``_cpu``."""
SOLVING = {function.__name__ for function in functions.SOLVING | functions.SEARCHING}
COUNTS = count_log_pmf.__name__
"""The distribution of the number of independent items, which has a kernel of its own."""

OLDEST = (0, 63)


def obstacle() -> str | None:
    """Why no call takes the fast path; None if it can be taken."""
    return "KSUBSET_FAST is 0" if environ.get("KSUBSET_FAST") == "0" else _import_obstacle()


@cache
def _import_obstacle() -> str | None:
    if find_spec("numba") is None:
        return "numba is not installed"
    try:
        import numba

        if numba.version_info[:2] < OLDEST:
            return f"numba {numba.__version__} is older than {'.'.join(map(str, OLDEST))}"
        if numba.config.DISABLE_JIT:
            return "NUMBA_DISABLE_JIT is set"
        import ksubset.backends._cpu.calls  # noqa: F401
    except ImportError as error:
        return f"numba cannot be imported: {error}"
    return None


def choose(law: Law, name: str, shape: tuple[int, ...], dtype: Any) -> "Path | str":
    """Choose for parameters that are, or will be, in the memory of the CPU.

    Parameters
    ----------
    law
        The law of the subsets.
    name
        One of `FUNCTIONS`, `COUNTS`, or another function of ``ksubset._law.functions``.
    shape, dtype
        The shape of the parameters, and anything ``numpy.dtype`` accepts.

    Returns
    -------
    Path or str
        The kernel, or why the core is taken.
    """
    if name in SOLVING and not (name in OWN and isinstance(law, FixedSize)):
        name = "moments"  # what array code starts from
    if name not in (*FUNCTIONS, COUNTS) or (name == "mode" and isinstance(law, SizeWeighted)):
        return "there is no kernel for it"
    if reason := obstacle():
        return reason
    rows, size = prod(shape[:-1]), shape[-1]
    if name == COUNTS:
        return _find(name, False, rows, size, size, dtype)
    n = law.items_among(size)
    return _find(name, isinstance(law, SizeWeighted), rows, n, law.bound(n), dtype)


@lru_cache(maxsize=1024)
def _find(name: str, weighted: bool, rows: int, n: int, width: int, dtype: Any) -> "Path | str":
    from ksubset.backends._cpu.planning import find_count_path, find_path, find_weighted_path

    if weighted:
        path = find_weighted_path(rows, n, width, dtype)
    elif name == COUNTS:
        path = find_count_path(rows, n, dtype)
    else:
        path = find_path(KERNELS[name], rows, n, width, dtype)
    return path or f"there are kernels for float32 and float64 and no empty arrays; got {dtype} ({rows}, {n})"


def evaluate(
    function: "Callable[..., Any]",
    law: Law,
    parameters: "np.ndarray",
    *v: "np.ndarray",
    threads: int | None = None,
) -> "np.ndarray":
    """Compute μ, 1 − μ, J · ``v``, against which the parameters broadcast, one of `OWN`, or `COUNTS`."""
    value: np.ndarray
    if function is count_log_pmf:
        from ksubset.backends._cpu import dispatch_counts

        value = dispatch_counts.log_pmf(parameters, threads=threads)
    else:
        value = _calls(law).evaluate(function, law, parameters, *v, threads=threads)
    return value


def moments(law: Law, parameters: "np.ndarray", *, sides: bool = True, threads: int | None = None) -> Any:
    """The moments, with both marginals or, if the law allows it, without them.

    They are in float64, since the roundings of float32 add up to 1e-5 in log P.
    """
    return _calls(law).moments(law, parameters, sides=sides, threads=threads)


def by_kernels(
    function: "Callable[..., Any]", law: Any, threads: int | None = None, memory: "Memory | None" = None
) -> Law:
    """The law for functions of which ``functions.asks_kernels`` is true, which have subsets of one size."""
    make = dispatch_fixed.diverging if function in functions.DIVERGENCES else dispatch_fixed.by_kernels
    return make(law, threads, memory)


def sample(
    law: Law,
    parameters: "np.ndarray",
    seed: int,
    sample_shape: tuple[int, ...],
    *,
    places: int = 0,
    threads: int | None = None,
) -> "np.ndarray":
    """Draw exact subsets, sample_shape + (..., n); with places for them the indices, sample_shape + (..., places)."""
    z: np.ndarray = _calls(law).sample(law, parameters, seed, sample_shape, places=places, threads=threads)
    return z


def _calls(law: Law) -> Any:
    return dispatch_weighted if isinstance(law, SizeWeighted) else dispatch_fixed
