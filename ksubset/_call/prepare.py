"""How a validated call comes about: for a size, for a cardinality potential in its place, or for either."""

from collections.abc import Callable
from math import prod
from typing import Any

from array_api_compat import array_namespace

from ksubset import backends
from ksubset._call.argument_checks import as_int, check_logits
from ksubset._call.backend import Backend
from ksubset._call.cardinality import Cardinality
from ksubset._call.cardinality_problem import CardinalityProblem
from ksubset._call.placement import Placement
from ksubset._call.problem import Problem, computing_dtype
from ksubset._call.sharded import Sharded
from ksubset._call.size_checks import check_k
from ksubset._call.value_checks import check_rows, check_unsigned, check_values
from ksubset._engine.ops import Array
from ksubset._law.fixed_size import FixedSize
from ksubset._law.size_weighted import SizeWeighted


def prepare(logits: Array, k: Any, max_k: int | None, validate: bool | None) -> Placement[Problem]:
    """Check the arguments that all functions share, ``k`` a size or a `Cardinality`."""
    return place(problem_of, logits, k, max_k, validate)


def value_of(function: Callable[..., Array], logits: Array, k: Any, max_k: int | None, validate: bool | None) -> Array:
    """The value of a function of logits and sizes alone."""
    value = at_once(function, logits, k, max_k, validate)
    return prepare(logits, k, max_k, validate).value(function) if value is None else value


def at_once(
    function: Callable[..., Array], logits: Array, k: Any, max_k: int | None, validate: bool | None, second: Any = None
) -> Array | None:
    """The value of a plain call by the framework's shortest way, or None."""
    backend = _at_hand(logits, k, max_k, validate)
    return backend.at_once(function, logits, k, second) if backend else None


def draw_at_once(
    function: Callable[..., Array], logits: Array, k: Any, max_k: int | None, validate: bool | None, rng: object
) -> Array | None:
    """The same for a draw."""
    backend = _at_hand(logits, k, max_k, validate)
    return backend.draw_at_once(function, logits, k, rng) if backend else None


def _at_hand(logits: Array, k: Any, max_k: int | None, validate: bool | None) -> Backend | None:
    """The adapter, if the arguments are such as most calls have."""
    return backends.known(logits) if max_k is None and validate is None and type(k) is int else None


def place(
    start: Callable[..., Problem],
    logits: Array,
    k: Any,
    max_k: int | None,
    validate: bool | None,
    name: str = "logits",
) -> Placement[Problem]:
    """Find where the rows are; ``start(logits, k, max_k, validate)`` is the problem of rows that are whole."""
    if backends.is_spread(logits):
        shards = backends.shards(logits, name)
        k = k.local(shards) if isinstance(k, Cardinality) else shards.local(k, "k", items=False)
        return Sharded(start(shards.local(logits, name), k, max_k, validate), shards)
    backend = backends.find(logits, name)
    if backend.delays:
        later: Placement[Problem] = backend.place(start, logits, k, max_k, validate, name)
        return later
    return start(logits, k, max_k, validate)


def problem_of(logits: Array, k: Any, max_k: int | None, validate: bool | None) -> Problem:
    """The problem of rows that are whole, ``k`` a size or a `Cardinality`."""
    if not isinstance(k, Cardinality):
        return problem_of_size(logits, k, max_k, validate)
    if max_k is not None:
        raise ValueError(f"max_k bounds a size k; got max_k = {max_k} beside a Cardinality")
    backend = backends.find(logits, "logits")
    xp = backend.namespace(logits)
    check_logits(logits, xp)
    compute = computing_dtype(xp, logits.dtype)
    theta = logits if logits.dtype == compute else xp.astype(logits, compute)
    reads = backend.is_readable(logits) and k.is_readable(backend) if validate is None else validate
    log_weights, low, high = k.resolve(theta, backend, xp, reads)
    settings = logits.dtype, reads, bool(validate)
    problem = CardinalityProblem(backend, xp, theta, SizeWeighted(low, high), *settings, log_weights)
    if reads:
        problem.check_values(theta)
    return problem


def problem_of_size(
    logits: Array,
    k: Array,
    max_k: int | None,
    validate: bool | None,
    name: str = "logits",
    check: Callable[[Array, int | Array, Backend, str], None] = check_values,
) -> Problem:
    """The problem for one size a row; the first array has its own ``name``, and ``check`` for its values."""
    backend = backends.find(logits, name)
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
    return Problem(backend, xp, logits, FixedSize(k, width), dtype, reads, bool(validate))


def static_width(k: int | Array, n: int, max_k: int | None, backend: Backend, reads: bool) -> int:
    """A static bound on min(k, n − k): from k where it can be read, else from the caller's ``max_k``."""
    most = n if max_k is None else as_int(max_k, "max_k")
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
