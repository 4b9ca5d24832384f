"""Subsets of one size through the CPU fast path: calls of ``ksubset._law.functions`` put to its kernels."""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from ksubset._engine.inference import Solution
from ksubset._law import functions
from ksubset._law.fixed_size import ByKernels, FixedSize

if TYPE_CHECKING:
    import numpy as np

    from ksubset.backends._cpu.calls import Memory


@cache
def kernels() -> Any:
    """The package of kernels."""
    from ksubset.backends._cpu import calls

    return calls


def evaluate(
    function: Callable[..., Any],
    law: FixedSize,
    logits: "np.ndarray",
    *v: "np.ndarray",
    threads: int | None = None,
) -> Any:
    """Compute μ, 1 − μ, J · ``v``, against which the logits broadcast, a log-probability, or another scalar."""
    if function is functions.marginals_jvp:
        return jacobian_product(law, logits, v[0], threads=threads)
    if function is functions.log_prob:
        return log_prob(*_matched(law, logits, v[0]), threads=threads)
    if function in functions.SCALARS:
        return scalar(function, law, logits, threads=threads)
    return marginal(law, logits, chosen=function is functions.marginals, threads=threads)


def marginal(
    law: FixedSize, logits: Any, *, chosen: bool, threads: int | None = None, memory: "Memory | None" = None
) -> Any:
    """Compute μ, or 1 − μ."""
    cpu = kernels()
    wanted = {"partition": False, "chosen": chosen, "unchosen": not chosen}
    found = cpu.moments(logits, law.k, law.width, **wanted, threads=threads, memory=memory or cpu.NUMPY)
    return found.chosen if chosen else found.unchosen


def scalar(
    function: Callable[..., Any],
    law: FixedSize,
    logits: Any,
    *,
    threads: int | None = None,
    memory: "Memory | None" = None,
) -> Any:
    """Compute one of ``functions.SCALARS``, a number for each row."""
    cpu = kernels()
    normaliser, settings = function is functions.log_normalizer, {"threads": threads, "memory": memory or cpu.NUMPY}
    return cpu.scalars(logits, law.k, law.width, normaliser=normaliser, **settings)


def log_prob(law: FixedSize, logits: Any, z: Any, *, threads: int | None = None, memory: "Memory | None" = None) -> Any:
    """Compute log-probabilities of z, which has the shape of the logits with any dimensions of draws in front."""
    cpu = kernels()
    return cpu.log_prob(logits, law.k, z, law.width, threads=threads, memory=memory or cpu.NUMPY)


def has_draws_in_front(logits: Any, z: Any) -> bool:
    """Whether z has the shape of the logits, with any dimensions in front of it."""
    return bool(z.shape[max(0, len(z.shape) - len(logits.shape)) :] == logits.shape)


def _matched(law: FixedSize, logits: "np.ndarray", z: "np.ndarray") -> tuple[FixedSize, "np.ndarray", "np.ndarray"]:
    """The logits and z broadcast against each other, unless z has draws in front of them."""
    import numpy as np

    if has_draws_in_front(logits, z):
        return law, logits, z
    shape = np.broadcast_shapes(logits.shape, z.shape)
    law = law if law.counts is None else law.sized(np.broadcast_to(law.counts, shape[:-1]))
    return law, np.broadcast_to(logits, shape), np.broadcast_to(z, shape)


def moments(law: FixedSize, logits: "np.ndarray", *, sides: bool = True, threads: int | None = None) -> Solution:
    """The solution in float64, with both marginals or none; the law's sizes broadcast to the batch."""
    import numpy as np

    logits, batch = logits.astype(np.float64, copy=False), logits.shape[:-1]
    counts = law.k if law.counts is None else np.broadcast_to(law.counts, batch)
    found = kernels().moments(logits, counts, chosen=sides, unchosen=sides, threads=threads)
    with np.errstate(all="ignore"):  # infinite logits in a row whose λ is NaN, logits near the largest float
        start, shift = found.shifts.reshape(2, *batch, 1)
        tilted = (logits + start) + shift
    return Solution(tilted, found.log_partition, found.chosen, found.unchosen)


def by_kernels(law: FixedSize, threads: int | None = None, memory: "Memory | None" = None) -> ByKernels:
    """The law for functions of ``functions.SEARCHING``."""
    cpu = kernels()
    settings: dict[str, Any] = {"threads": threads, "memory": memory or cpu.NUMPY}

    def solve(law: FixedSize, logits: Any, **wanted: bool) -> Any:
        return cpu.moments(logits, law.k, law.width, **wanted, **settings)

    def multiply(law: FixedSize, logits: Any, v: Any) -> Any:
        return cpu.jacobian_product(logits, law.k, v, law.width, **settings)

    return ByKernels(law.k, law.width, solve, multiply)


def jacobian_product(
    law: FixedSize, logits: "np.ndarray", v: "np.ndarray", *, threads: int | None = None
) -> "np.ndarray":
    """Compute J · v; the logits and ``v`` broadcast against each other."""
    import numpy as np

    shape = np.broadcast_shapes(logits.shape, v.shape)
    k = law.k if law.counts is None else np.broadcast_to(law.counts, shape[:-1])
    image: np.ndarray = kernels().jacobian_product(
        np.broadcast_to(logits, shape), k, np.broadcast_to(v, shape), law.width, threads=threads
    )
    return image


def sample(
    law: FixedSize,
    logits: "np.ndarray",
    seed: int,
    sample_shape: tuple[int, ...],
    *,
    places: int = 0,
    threads: int | None = None,
) -> "np.ndarray":
    """Draw exact subsets, sample_shape + (..., n); or their indices, sample_shape + (..., places)."""
    given = logits, law.k, seed, sample_shape, law.width
    z: np.ndarray = kernels().sample(*given, places=places, threads=threads)[0]
    return z
