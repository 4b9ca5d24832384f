"""How a validated call comes about: for a size, for a cardinality potential in its place, or for either."""

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

from array_api_compat import array_namespace

from ksubset import backends
from ksubset._call.arguments import check_k, check_logits, whole
from ksubset._call.backend import Backend, Spread
from ksubset._call.cardinality import Cardinality
from ksubset._call.cardinality_problem import CardinalityProblem
from ksubset._call.problem import Problem, computing_dtype
from ksubset._call.values import check_rows, check_unsigned, check_values
from ksubset._engine.ops import Array
from ksubset._law.fixed_size import FixedSize
from ksubset._law.size_weighted import SizeWeighted


def prepare(logits: Array, k: Array, max_k: int | None, validate: bool | None) -> Problem:
    """Check the arguments that all functions share, ``k`` a size or a `Cardinality`."""
    logits, k, spread = own_rows(logits, k)
    if not isinstance(k, Cardinality):
        return prepare_size(logits, k, max_k, validate, spread=spread)
    if max_k is not None:
        raise ValueError(f"max_k bounds a size k; got max_k = {max_k} beside a Cardinality")
    backend = backends.find(logits, "logits")
    if backend.delays:
        later: Problem = backend.prepare(prepare, logits, k, max_k, validate, "logits")
        return later
    return _prepare_weighted(logits, k, backend, validate, spread)


def _prepare_weighted(
    logits: Array, k: Cardinality, backend: Backend, validate: bool | None, spread: Spread | None
) -> Problem:
    xp = backend.namespace(logits)
    check_logits(logits, xp)
    compute = computing_dtype(xp, logits.dtype)
    theta = logits if logits.dtype == compute else xp.astype(logits, compute)
    reads = backend.is_readable(logits) and k.is_readable(backend) if validate is None else validate
    log_weights, low, high = k.resolve(theta, backend, xp, reads)
    settings = logits.dtype, reads, bool(validate), spread
    problem = CardinalityProblem(backend, xp, theta, SizeWeighted(low, high), *settings, log_weights)
    if reads:
        problem.check_values(theta)
    return problem


def prepare_size(
    logits: Array,
    k: Array,
    max_k: int | None,
    validate: bool | None,
    name: str = "logits",
    check: Callable[[Array, int | Array, Backend, str], None] = check_values,
    spread: Spread | None = None,
) -> Problem:
    """Check the arguments that all functions share; the first has its own ``name``, and ``check`` for its values."""
    backend = backends.find(logits, name)
    if backend.delays:
        later: Problem = backend.prepare(
            partial(prepare_size, name=name, check=check), logits, k, max_k, validate, name
        )
        return later
    xp = backend.namespace(logits)
    check_logits(logits, xp, name)
    given, k = k, check_k(k, logits, backend, xp, name)
    reads = validate
    if reads is None:
        reads = backend.is_readable(logits) and (isinstance(k, int) or backend.is_readable(k))
    if reads:
        check_unsigned(given, int(logits.shape[-1]), backend)
        check(logits, k, backend, name)
    width = static_width(k, int(logits.shape[-1]), max_k, backend, reads)
    dtype, compute = logits.dtype, computing_dtype(xp, logits.dtype)
    logits = logits if dtype == compute else xp.astype(logits, compute)
    return Problem(backend, xp, logits, FixedSize(k, width), dtype, reads, bool(validate), spread)


def own_rows(logits: Array, k: Any, name: str = "logits") -> tuple[Array, Any, Spread | None]:
    """The logits and k of this process's rows, and how the batch is spread if other processes hold rows too."""
    spread = backends.spread(logits, name)
    if spread is None:
        return logits, k, None
    k = k.local(spread) if isinstance(k, Cardinality) else spread.local(k, "k", items=False)
    return spread.local(logits, name), k, spread


def static_width(k: int | Array, n: int, max_k: int | None, backend: Backend, reads: bool) -> int:
    """A static bound on min(k, n − k): from k where it can be read, else from the caller's ``max_k``."""
    most = n if max_k is None else whole(max_k, "max_k")
    if not 0 <= most <= n:
        raise ValueError(f"max_k must be in [0, {n}]; got {max_k}")
    if isinstance(k, int):
        if k > most:
            raise ValueError(f"k must be at most max_k = {most}; got {k}")
        return min(k, n - k)
    if not reads or prod(k.shape) == 0:
        return min(most, n // 2)
    k = backend.readable(k)
    xp = array_namespace(k)
    flat = xp.reshape(k, (-1,))
    check_rows(k > most, lambda row: str(int(flat[row])), f"k must be at most max_k = {most}", xp)
    return int(xp.max(xp.minimum(k, n - k)))
