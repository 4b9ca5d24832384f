"""Subsets of one size through the CPU fast path: calls of ``ksubset._law.functions`` put to its kernels."""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from ksubset._engine.inference import Solution
from ksubset._law import functions
from ksubset._law.by_kernels import ByKernels, DivergencesByKernels
from ksubset._law.fixed_size import FixedSize

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
    logits: Any,
    *arrays: Any,
    threads: int | None = None,
    memory: "Memory | None" = None,
) -> Any:
    """Compute a function with a kernel of its own; arrays that do not fit the logits are broadcast, by NumPy."""
    cpu = kernels()
    settings: dict[str, Any] = {"threads": threads, "memory": memory or cpu.NUMPY}
    if not fits(function, logits, *arrays):
        law, logits, matched = _broadcast(law, logits, *arrays)
        arrays = (matched,)
    if function is functions.marginals_jvp:
        return cpu.jacobian_product(logits, law.k, *arrays, law.width, **settings)
    if function is functions.mode:
        return cpu.mode(logits, law.k, **settings)
    if function is functions.log_prob:
        return cpu.log_prob(logits, law.k, *arrays, law.width, **settings)
    if function in functions.SCALARS:
        normaliser = function is functions.log_normalizer
        return cpu.scalars(logits, law.k, law.width, normaliser=normaliser, **settings)
    chosen = function is functions.marginals
    wanted = {"partition": False, "chosen": chosen, "unchosen": not chosen}
    found = cpu.moments(logits, law.k, law.width, **wanted, **settings)
    return found.chosen if chosen else found.unchosen


def fits(function: Callable[..., Any], logits: Any, *arrays: Any) -> bool:
    """Whether kernels take arrays as they are: of the shape of the logits, subsets with draws in front of it."""
    draws = function is functions.log_prob
    return all((x.shape[-len(logits.shape) :] if draws else x.shape) == logits.shape for x in arrays)


def _broadcast(law: FixedSize, logits: "np.ndarray", x: "np.ndarray") -> "tuple[FixedSize, np.ndarray, np.ndarray]":
    """All of them in one shape."""
    import numpy as np

    shape = np.broadcast_shapes(logits.shape, x.shape)
    law = law if law.counts is None else law.sized(np.broadcast_to(law.counts, shape[:-1]))
    return law, np.broadcast_to(logits, shape), np.broadcast_to(x, shape)


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


def diverging(law: FixedSize, threads: int | None = None, memory: "Memory | None" = None) -> DivergencesByKernels:
    """The law for functions of ``functions.DIVERGENCES``."""
    cpu, memory = kernels(), memory or kernels().NUMPY
    settings: dict[str, Any] = {"threads": threads, "memory": memory}

    def entropies(law: FixedSize, logits: Any) -> Any:
        return cpu.scalars(logits, law.k, law.width, normaliser=False, **settings)

    def divergences(law: FixedSize, logits: Any, other: Any) -> Any:
        return cpu.divergence(logits, law.k, other, law.width, **settings)

    return DivergencesByKernels(law.k, law.width, memory.double, entropies, divergences)


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
