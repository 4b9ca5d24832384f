"""Which path a call takes, and why."""

from importlib import metadata
from os import environ

from ksubset._api.poisson_binomial import rows as count_rows
from ksubset._call.placement import Placement
from ksubset._call.prepare import prepare
from ksubset._call.problem import Problem
from ksubset._engine.ops import Array
from ksubset.backends._cpu import dispatch
from ksubset.backends._cuda import launchers

PACKAGES = ("array-api-compat", "numpy", "numba", "torch", "cuda-core", "jax", "cupy-cuda12x", "cupy-cuda13x", "dask")
NAMES = {"unchosen": "1 − marginals", "draw": "sample, rsample", "moments": "divergences, log_prob_count"}
"""Public names of ``dispatch.FUNCTIONS``, where they differ."""


def show_config(logits: Array | None = None, k: int | Array | None = None) -> None:
    """Print the installed versions, and the path by which each function would be computed.

    With the extra ``fast`` installed, compiled kernels compute marginals, products with their Jacobian and samples
    for NumPy arrays, CPU tensors, and JAX with a single CPU device, with a `Cardinality` too; and `entropy`,
    `log_normalizer` and `mode` without one. For NumPy arrays and CPU tensors they also compute `log_prob`,
    `count_log_pmf` and the moments from which divergences follow. `logits_from_marginals` takes the kernel for
    marginals at every step. This is the CPU fast path. The environment variable ``KSUBSET_FAST``, set to 0, turns it
    off; a program that `jax.jit` has compiled keeps its path. For CuPy arrays and CUDA tensors CUDA kernels compute
    everything but `mode` and `count_log_pmf`, up to a size limit and without a `Cardinality`; likewise in programs of
    JAX for one CUDA device. For tensors one of the extras ``cuda12`` and ``cuda13``, or CuPy, must be installed
    to launch them; for JAX such an extra and ``fast``. The core, which is written against the array API standard,
    computes the rest.

    Parameters
    ----------
    logits : array, shape (..., n), optional
        The logits of the calls in question, together with ``k``.
    k : int, integer array or Cardinality, optional
        The size of the subsets in these calls.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype.
    ValueError
        If a shape does not fit, ``k`` is not in [0, n], or a row contains NaN or infinities that admit no subset.

    Examples
    --------
    >>> import numpy as np, ksubset
    >>> ksubset.show_config(np.zeros((128, 350)), 10)  # doctest: +ELLIPSIS
    ksubset 0.2.0, array-api-compat ...
    CPU fast path: ...
    marginals: ...
    1 − marginals: ...
    marginals_jvp: ...
    mode: ...
    sample, rsample: ...
    entropy: ...
    log_normalizer: ...
    log_prob: ...
    divergences, log_prob_count: ...
    count_log_pmf: ...
    everything else: the core...
    """
    from ksubset import __version__

    found = [f"{name} {version}" for name in PACKAGES if (version := _version(name))]
    lines = [", ".join([f"ksubset {__version__}", *found])]
    obstacle = dispatch.obstacle()
    setting = f"KSUBSET_FAST={environ['KSUBSET_FAST']}" if "KSUBSET_FAST" in environ else "KSUBSET_FAST is not set"
    lines.append(f"CPU fast path: off, {obstacle}" if obstacle else f"CPU fast path: on, {setting}")
    if _version("torch"):
        lines.append(f"CUDA tensors of torch: {launchers.in_words()}")
    if logits is not None or k is not None:
        lines += [f"{name}: {path}" for name, path in paths(logits, k).items()]
    print("\n".join(lines))


def paths(logits: Array, k: int | Array | None) -> dict[str, str]:
    """By which path each function would be computed, and why."""
    call = prepare(logits, k, None, None)
    found = {NAMES.get(name, name): _path(call, name) for name in dispatch.FUNCTIONS}
    counts = _path(count_rows(logits, validate=False), dispatch.COUNTS)
    return found | {"count_log_pmf": counts, "everything else": _path(call, "everything else")}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _path(call: Placement[Problem], name: str) -> str:
    path = call.path(name)
    return f"the core: {path}" if isinstance(path, str) else f"{path.family}: {path.reason}"
