"""Calls that stay on the calling thread, most of them small: what depends on no value is found out once.

An ordinary call of ten items spends ten times the time of its kernel on the choice of this kernel and on its way there.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ksubset._law import functions
from ksubset._law.counts import count_log_pmf
from ksubset._law.fixed_size import log_binomial
from ksubset.backends._cpu import dispatch_counts, threads
from ksubset.backends._cpu.kernels.uniforms import WORD
from ksubset.backends._cpu.launch import NUMPY, Memory, Ready, members
from ksubset.backends._cpu.planning import RECURSION, find_count_path, kind_of
from ksubset.backends._cpu.prepared import prepared

__all__ = ["NUMPY", "ready", "value"]

ALONE = 8192
"""Entries that BLAS adds up on the calling thread. BLAS's own threads would wait for torch's, which spin."""

Call = Callable[..., Any]
"""``call(logits, …)``, for contiguous arrays of the shapes and the dtype it was made for."""


class Rows(NamedTuple):
    """What calls of a function have in common: the size of subsets, the framework, the logits' shape, and threads."""

    k: int
    memory: Memory
    shape: tuple[int, ...]
    threads: int


def value(function: Callable[..., Any], k: int, memory: Memory, most: float, logits: Any, second: Any = None) -> Any:
    """The value of a call that stays on this thread, for logits in (−most, most), or None.

    ``second`` is what `log_prob` and `kl_divergence` ask for beside logits: None is returned for subsets that are not 0
    or 1, and for other logits out of that range.
    """
    call = ready(function, k, memory, most, logits, None if second is None else second.shape)
    if call is None or second is None:
        return call and call()
    second = memory.contiguous(second, logits)
    if function is functions.kl_divergence and not _are_within(most, memory.view(second)):
        return None
    found = call(second)
    return None if any(map(np.isnan, _square_sums(memory.view(found)))) else found


def ready(
    function: Callable[..., Any],
    k: int,
    memory: Memory,
    most: float,
    logits: Any,
    second: tuple[int, ...] | None = None,
) -> Callable[..., Any] | None:
    """A call that stays on this thread, for logits in (−most, most) and a second array of a shape, or None.

    It takes the second array; for `sample` a seed, and returns the subset and λ.
    """
    call = _find(function, memory.dtype(logits), Rows(k, memory, logits.shape, memory.threads()), second)
    if call is None:
        return None
    logits = memory.contiguous(logits, logits)
    return partial(call, logits) if _are_within(most, memory.view(logits)) else None


def _are_within(most: float, row: np.ndarray) -> bool:
    """A sum of squares is, in spite of rounding, no less than any of them."""
    return all(total < most**2 for total in _square_sums(row))


def _square_sums(row: np.ndarray) -> list[Any]:
    """Of `ALONE` entries each."""
    if row.size <= ALONE:
        return [np.vdot(row, row)]
    flat = row.reshape(-1)
    return [np.vdot(part, part) for part in (flat[at : at + ALONE] for at in range(0, flat.size, ALONE))]


@lru_cache(maxsize=1024)
def _find(function: Callable[..., Any], dtype: Any, given: Rows, second: tuple[int, ...] | None) -> Call | None:
    """A function of logits of a shape, and of a second array of another; None if no kernel is done with it at once."""
    k, _, shape, limit = given
    n, rows, draws = shape[-1] if shape else 0, prod(shape[:-1]), _draws(shape, second, function is functions.log_prob)
    if function not in MAKERS or not 0 <= k <= n or not draws or kind_of(rows, n, dtype) is None:
        return None
    kernel = _kernel(function, dtype, rows, n, min(k, n - k))
    if kernel is None:
        return None
    passes = 1 + draws if function is functions.log_prob else PASSES.get(function, 1)
    return MAKERS[function](kernel, given, draws) if members(kernel, int(passes * kernel.work), limit) == 1 else None


def _draws(shape: tuple[int, ...], second: tuple[int, ...] | None, several: bool) -> int:
    """How many rows of the second array there are for each of logits, 0 if its shape is another; 1 without one."""
    if second is None or second == shape:
        return 1
    fore = len(second) - len(shape)
    return prod(second[:fore]) if several and fore > 0 and second[fore:] == shape else 0


def _kernel(function: Callable[..., Any], dtype: Any, rows: int, n: int, width: int) -> Ready | None:
    if function is count_log_pmf:
        return dispatch_counts.prepared(rows, n) if find_count_path(rows, n, dtype) else None
    if function in functions.DIVERGENCES:
        dtype = np.dtype(np.float64)
    return prepared(NAMES.get(function, "scalars"), dtype, rows, n, width)


def _means(kernel: Ready, given: Rows, draws: int) -> Call:
    launch, unasked = launcher(kernel, given.k), (0,) if kernel.method == RECURSION else (0, 0)
    _, memory, shape, _ = given

    def call(logits: Any) -> Any:
        out = memory.empty(shape, logits)
        launch(memory.address(logits), *unasked, memory.address(out), 0)
        return out

    return call


def _scalars(normaliser: bool, kernel: Ready, given: Rows, draws: int) -> Call:
    launch, memory, batch = launcher(kernel, given.k), given.memory, given.shape[:-1]

    def call(logits: Any) -> Any:
        out = memory.empty(batch, logits)
        launch(memory.address(logits), int(normaliser), memory.address(out))
        return out

    return call


def _surpluses(kernel: Ready, given: Rows, draws: int) -> Call:
    """The divergence to the uniform distribution, a small difference of large numbers: in float64."""
    entropies, memory = _scalars(False, kernel, given, draws), given.memory

    def call(logits: Any) -> Any:
        value = log_binomial(given.shape[-1], given.k) - memory.view(entropies(memory.double(logits)))
        return memory.viewed(value.astype(memory.dtype(logits)))

    return call


def _divergences(kernel: Ready, given: Rows, draws: int) -> Call:
    """A small difference of large numbers too."""
    launch, batch, memory = launcher(kernel, given.k), given.shape[:-1], given.memory

    def call(logits: Any, other: Any) -> Any:
        here, there = memory.double(logits), memory.double(other)
        out = memory.empty(batch, here)
        launch(memory.address(here), memory.address(there), memory.address(out))
        return memory.viewed(memory.view(out).astype(memory.dtype(logits)))

    return call


def _scores(kernel: Ready, given: Rows, draws: int) -> Call:
    launch, memory = launcher(kernel, given.k), given.memory

    def call(logits: Any, z: Any) -> Any:
        out = memory.empty(z.shape[:-1], logits)
        launch(memory.address(logits), memory.address(z), draws, memory.address(out))
        return out

    return call


def _draws_of_one(kernel: Ready, given: Rows, draws: int) -> Call:
    launch, rows, memory = launcher(kernel, given.k), kernel.rows, given.memory
    last = (0, 1, 0) if kernel.method == RECURSION else (1, 0)

    def call(logits: Any, seed: int) -> tuple[Any, Any]:
        z, shifts = memory.empty(given.shape, logits), memory.empty((2, rows), logits)
        launch(memory.address(logits), memory.address(shifts), seed & WORD, *last, memory.address(z))
        return z, shifts

    return call


def _counts(kernel: Ready, given: Rows, draws: int) -> Call:
    memory = given.memory

    def call(logits: Any) -> Any:
        return memory.viewed(dispatch_counts.log_pmf(memory.view(logits), threads=1))

    return call


def launcher(kernel: Ready, k: int) -> Callable[..., None]:
    """The kernel on the calling thread, given the addresses of logits and the arguments that come after the rows."""
    call, plan, first = kernel.call, kernel.plan, (0, k, *kernel.sizes, 0, kernel.rows)
    last = *plan.alone, plan.layout

    def launch(logits: int, *arguments: int) -> None:
        call(logits, *first, *arguments, *threads.scratch(plan.scratch), *last)

    return launch


NAMES = {
    functions.marginals: "moments",
    functions.log_prob: "scores",
    functions.kl_divergence: "divergences",
    functions.sample: "sample",
}
"""The kernels of functions that have none of `scalars`."""

PASSES: dict[Callable[..., Any], int] = {functions.kl_divergence: 3, functions.sample: 2}
"""The passes over the rows that count as work, as in ``_cpu.calls``. Other functions: 1; `log_prob`: 1 + draws."""

MAKERS: dict[Callable[..., Any], Callable[[Ready, Rows, int], Call]] = {
    functions.marginals: _means,
    functions.entropy: partial(_scalars, False),
    functions.log_normalizer: partial(_scalars, True),
    functions.kl_to_uniform: _surpluses,
    functions.log_prob: _scores,
    functions.kl_divergence: _divergences,
    functions.sample: _draws_of_one,
    count_log_pmf: _counts,
}
"""How the calls of functions come about from a kernel, and how many draws of subsets it is given."""
