"""Whether a call takes the CPU fast path, and how calls of the core are put to its kernels; `planning` says to which.

It takes the functions of `FUNCTIONS`, and `COUNTS`. Those of `SOLVING` are array code that starts from a solution,
found by a kernel.
Nothing of numba or NumPy is imported before the first call that would use it.
"""

from functools import cache, lru_cache
from importlib.util import find_spec
from math import prod
from os import environ
from typing import TYPE_CHECKING, Any

from ksubset._engine.inference import Solution
from ksubset._law import functions, weighted

if TYPE_CHECKING:
    import numpy as np

    from ksubset.backends._cpu.calls import Memory, Path

FUNCTIONS = ("marginals", "unchosen", "marginals_jvp", "draw", "solve")
"""Those of ``ksubset._law.functions`` by name; ``draw``, which is `sample` and `rsample` from a seed; and ``solve``."""
KERNELS = {
    "marginals": "solve",
    "unchosen": "solve",
    "marginals_jvp": "jacobian_product",
    "draw": "sample",
    "solve": "volume",
}
"""What each is called in ``_cpu``."""
SOLVING = {function.__name__ for function in functions.SOLVING}
SOLVING_WEIGHTED = {function.__name__ for function in weighted.SOLVING}
COUNTS = "count_log_pmf"
"""The law of the number of independent items, which has a kernel of its own."""
WEIGHTED = ("weighted_marginals", "weighted_unchosen", "weighted_marginals_jvp", "weighted_draw", "weighted_solve")
"""The same under a cardinality potential."""

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


def choose(name: str, shape: tuple[int, ...], width: int, dtype: Any) -> "Path | str":
    """Choose for logits that are, or will be, in the memory of the CPU.

    Parameters
    ----------
    name
        One of `FUNCTIONS` or `WEIGHTED`, `COUNTS`, or another function of ``ksubset._law.functions`` or
        ``ksubset._law.weighted``.
    shape, width, dtype
        The shape of the logits, a bound on min(k, n − k), and anything ``numpy.dtype`` accepts.

    Returns
    -------
    Path or str
        The kernel, or why the core is taken.
    """
    if name in SOLVING:
        name = "solve"
    if name in SOLVING_WEIGHTED:
        name = "weighted_solve"
    if name not in (*FUNCTIONS, *WEIGHTED, COUNTS):
        return "there is no kernel for it"
    return obstacle() or _find(name, shape, width, dtype)


@cache
def kernels() -> Any:
    """The package of kernels."""
    from ksubset.backends._cpu import calls

    return calls


@lru_cache(maxsize=1024)
def _find(name: str, shape: tuple[int, ...], width: int, dtype: Any) -> "Path | str":
    from ksubset.backends._cpu.planning import find_count_path, find_path, find_weighted_path

    rows, n = prod(shape[:-1]), shape[-1]
    if name in WEIGHTED:
        n = (n - 1) // 2
        path = find_weighted_path(rows, n, width, dtype)
    elif name == COUNTS:
        path = find_count_path(rows, n, dtype)
    else:
        path = find_path(KERNELS[name], rows, n, width, dtype)
    return path or f"there are kernels for float32 and float64 and no empty arrays; got {dtype} ({rows}, {n})"


def evaluate(
    name: str, logits: "np.ndarray", k: "int | np.ndarray", width: int, *v: "np.ndarray", threads: int | None = None
) -> "np.ndarray":
    """Compute μ, 1 − μ, J · ``v``, against which the logits broadcast, `COUNTS`, or one of `WEIGHTED`."""
    value: np.ndarray
    if name in WEIGHTED:
        from ksubset.backends._cpu import dispatch_weighted

        value = dispatch_weighted.evaluate(name, logits, int(k), width, *v, threads=threads)
    elif name == COUNTS:
        from ksubset.backends._cpu import dispatch_counts

        value = dispatch_counts.log_pmf(logits, threads=threads)
    elif name == "marginals_jvp":
        value = jacobian_product(logits, k, v[0], width, threads=threads)
    else:
        value = marginal(logits, k, width, chosen=name == "marginals", threads=threads)
    return value


def marginal(
    logits: Any, k: Any, width: int, *, chosen: bool, threads: int | None = None, memory: "Memory | None" = None
) -> Any:
    """Compute μ, or 1 − μ."""
    cpu = kernels()
    wanted = {"volume": False, "chosen": chosen, "unchosen": not chosen}
    found = cpu.solve(logits, k, width, **wanted, threads=threads, memory=memory or cpu.NUMPY)
    return found.chosen if chosen else found.unchosen


def solve(logits: "np.ndarray", k: "int | np.ndarray", *, sides: bool = True, threads: int | None = None) -> Solution:
    """The solution, with both marginals or none; ``k`` broadcasts to the batch.

    It is in float64, since the roundings of float32 add up to 1e-5 in log P.
    """
    import numpy as np

    logits, batch = logits.astype(np.float64, copy=False), logits.shape[:-1]
    counts = k if isinstance(k, int) else np.broadcast_to(k, batch)
    found = kernels().solve(logits, counts, chosen=sides, unchosen=sides, threads=threads)
    with np.errstate(all="ignore"):  # infinite logits in a row whose λ is NaN, logits near the largest float
        start, shift = found.shifts.reshape(2, *batch, 1)
        tilted = (logits + start) + shift
    return Solution(tilted, found.log_volume, found.chosen, found.unchosen)


def jacobian_product(
    logits: "np.ndarray", k: "int | np.ndarray", v: "np.ndarray", width: int, *, threads: int | None = None
) -> "np.ndarray":
    """Compute J · v; the logits and ``v`` broadcast against each other."""
    import numpy as np

    shape = np.broadcast_shapes(logits.shape, v.shape)
    k = k if isinstance(k, int) else np.broadcast_to(k, shape[:-1])
    image: np.ndarray = kernels().jacobian_product(
        np.broadcast_to(logits, shape), k, np.broadcast_to(v, shape), width, threads=threads
    )
    return image


def sample(
    logits: "np.ndarray",
    k: "int | np.ndarray",
    width: int,
    seed: int,
    sample_shape: tuple[int, ...],
    *,
    threads: int | None = None,
) -> "np.ndarray":
    """Draw exact subsets, sample_shape + (..., n)."""
    z: np.ndarray = kernels().sample(logits, k, seed, sample_shape, width, threads=threads)[0]
    return z
