"""Adapter for Dask arrays: each chunk of rows is, when it is computed, a call on the array that it holds.

Rows that are in several chunks are joined for the call, in chunks of the same size: a row needs hardly any memory
beside its items, whereas sums over its pieces, one after the other, would be thousands of small tasks.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import isnan, prod
from typing import Any, NoReturn

import array_api_compat
import array_api_compat.dask.array as xp
import dask.array as da

from ksubset._call.argument_checks import check_logits
from ksubset._call.backend import Backend, Known
from ksubset._call.cardinality import Cardinality, at_least
from ksubset._call.placement import Draw, Placement, Work
from ksubset._call.prepare import static_width
from ksubset._call.problem import Problem
from ksubset._call.size_checks import check_k
from ksubset._engine.ops import Array, Ops
from ksubset._law.fixed_size import FixedSize
from ksubset._law.functions import SOLVING
from ksubset._law.law import Law
from ksubset._law.size_weighted import SizeWeighted
from ksubset.backends.dask.chunks import ChunkTask, Operand, Root, map_rows, root, seed, split


def _refuse() -> NoReturn:
    raise TypeError("the estimators do not take Dask arrays, which have no gradients")


def joined(x: Array, name: str) -> Array:
    """With one chunk along the last axis, and no larger chunks than before unless a single row is larger."""
    if any(isnan(size) for size in x.shape):
        raise ValueError(f"{name} must have chunks of known sizes; got shape {x.shape}: call its compute_chunk_sizes()")
    if len(x.chunks[-1]) == 1:
        return x
    limit = max(x.dtype.itemsize * prod(x.chunksize), 1)
    return x.rechunk({-1: -1, **dict.fromkeys(range(x.ndim - 1), "auto")}, block_size_limit=limit)


@dataclass
class Chunked(Placement[Problem]):
    """A call that is validated except for values.

    Attributes
    ----------
    outline
        The problem without values; its law has a bound on the sizes and nothing else.
    given
        What was given as k.
    start
        ``start(logits, k)`` makes a chunk a problem of the framework that it belongs to.
    items
        The chunks of the items as given, which the results have too.
    """

    outline: Problem
    given: int | Array | Cardinality
    start: Callable[..., Problem]
    items: tuple[int, ...]

    @property
    def problem(self) -> Problem:
        """The problem without values."""
        return self.outline

    @property
    def k(self) -> Any:
        """As it was given."""
        return self.given

    def at(self, problem: Problem) -> "Chunked":
        """As for `Placement`."""
        return replace(self, outline=problem)

    def run(self, work: Work, *arrays: Array, tail: tuple[int, ...] = (), dtype: Any = None) -> Array:
        """As for `Placement`, in each chunk."""
        return self._map(work, tail, *arrays, dtype=dtype)

    def value(self, function: Callable[..., Array], *arrays: Array, solution: Known = None) -> Array:
        """As for `Placement`; further arrays are checked in each chunk."""
        tail = () if function in SOLVING else tuple(self.outline.logits.shape[-1:])
        work = partial(_evaluated, function, self.outline.validates_anywhere)
        return self._map(work, tail, *arrays)

    def draw(
        self, work: Draw, rng: object, sample_shape: tuple[int, ...], tail: tuple[int, ...], dtype: Any = None
    ) -> Array:
        """As for `Placement`, in each chunk, with a seed that depends on its position."""
        work = partial(_drawn, work, root(rng), sample_shape)
        return self._map(work, tail, draws=sample_shape, places=True, dtype=dtype)

    def _map(
        self,
        work: Callable[..., Array],
        tail: tuple[int, ...],
        *arrays: Array,
        draws: tuple[int, ...] = (),
        places: bool = False,
        dtype: Any = None,
    ) -> Array:
        k, parts = split(self.given)
        sizes = [
            Operand(joined(x, name)) if name == "log_weights" else Operand(x, has_items=False)
            for name, x in parts.items()
        ]
        logits = self.outline.logits
        operands = [Operand(logits), *sizes, *map(Operand, arrays)]
        task = ChunkTask(self.start, k, tuple(parts), work)
        found = map_rows(task, operands, tail, dtype or logits.dtype, draws=draws, places=places)
        found = found if dtype else self.outline.cast(found)
        return found.rechunk({-1: self.items}) if tail == logits.shape[-1:] else found

    def local(self, x: Array, name: str) -> Array:
        """The array with whole rows in its chunks; another framework's, which will be refused, as it is."""
        return joined(x, name) if isinstance(x, da.Array) else x

    def moments(self) -> None:
        """Nothing: the functions share no work."""

    def path(self, name: str) -> Any:
        """The path of the first chunk."""
        logits = self.outline.logits
        like = array_api_compat.array_namespace(logits._meta)
        shape = tuple(sizes[0] for sizes in logits.chunks)
        chunk = like.broadcast_to(like.zeros((), dtype=logits.dtype), shape)
        size: int | Cardinality = self.outline.law.bound(shape[-1])
        if isinstance(self.given, Cardinality):  # of arrays that are not there yet nothing is known
            size = at_least(0) if split(self.given)[1] else self.given
        return self.start(chunk, size, validate=False).path(name)


def _drawn(work: Draw, source: Root, sample_shape: tuple[int, ...], problem: Problem, *place: Array) -> Array:
    """The draws of the chunk at a place."""
    return work(problem, seed(source, place), sample_shape)


def _evaluated(function: Callable[..., Any], validate: bool, problem: Problem, *arrays: Array) -> Array:
    """One of ``ksubset._law.functions`` for a chunk; a further array is checked here."""
    if validate and arrays:
        _check(problem, function.__name__, arrays[0])
    return problem.value(function, *arrays)


def _check(problem: Problem, name: str, x: Array) -> None:
    if name == "kl_divergence":
        problem.check_values(x, "other")


class Dask(Backend):
    """Arrays of Dask."""

    delays = True

    def namespace(self, x: Array) -> Any:
        return xp

    def is_array(self, x: object, like: object = None) -> bool:
        return isinstance(x, da.Array)

    def is_readable(self, x: Array) -> bool:
        """Never: there are no values yet."""
        return False

    def readable(self, x: Array) -> Array:
        return x

    def same_device(self, x: Array, y: Array) -> bool:
        """The chunks will tell."""
        return True

    def place(
        self,
        start: Callable[..., Problem],
        logits: Array,
        k: int | Array | Cardinality,
        max_k: int | None,
        validate: bool | None,
        name: str = "logits",
    ) -> Chunked:
        """Check the types and shapes of the arguments, and leave their values to ``start`` in each chunk."""
        check_logits(logits, xp, name)
        items, logits = logits.chunks[-1], joined(logits, name)
        n = int(logits.shape[-1])
        law: Law = SizeWeighted(0, n)
        if isinstance(k, Cardinality):
            k.resolve(logits, self, xp, reads=False)
        else:
            checked = check_k(k, logits, self, xp, name)
            law = FixedSize(checked, static_width(checked, n, max_k, self, reads=False))
            k = k if self.is_array(k) else checked
        start = partial(start, max_k=max_k, validate=bool(validate))
        return Chunked(Problem(self, xp, logits, law, logits.dtype, False, bool(validate)), k, start, items)

    def ops(self, x: Array) -> Ops:
        _refuse()

    def extremes(self, x: Array) -> tuple[float, float]:
        _refuse()

    def uniforms(self, rng: object, shape: tuple[int, ...], like: Array) -> Array:
        _refuse()

    def moments(self, law: Law, parameters: Array) -> Any:
        _refuse()

    def evaluate(self, *_: Any, **__: Any) -> Array:
        _refuse()


ADAPTER = Dask()
