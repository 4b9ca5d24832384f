"""How a call on Dask arrays becomes one call for each chunk of rows."""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import count
from typing import Any

import dask.array as da
import numpy as np
from dask.array.utils import meta_from_array

from ksubset._call.argument_checks import kind, seed_of
from ksubset._call.cardinality import Cardinality
from ksubset._call.problem import Problem
from ksubset._engine.ops import Array

STREAMS = 0x6B73
"""Precedes the position of a chunk in its spawn key, so that it differs from seeds that the caller spawns."""

Root = tuple[Any, tuple[int, ...]]


@dataclass(frozen=True)
class Operand:
    """An array of the batch shape, perhaps with an axis for the items, which is in one chunk."""

    array: Array
    has_items: bool = True


@dataclass(frozen=True)
class ChunkTask:
    """The work on a chunk: ``work(problem, *arrays)``.

    Attributes
    ----------
    start
        ``start(logits, k)``, the problem.
    k
        An int or a `Cardinality` without its Dask arrays, whose names are ``parts``; None if k is itself one.
    """

    start: Callable[[Array, Any], Problem]
    k: int | Cardinality | None
    parts: tuple[str, ...]
    work: Callable[..., Array]

    def __call__(self, *blocks: Any) -> Array:
        logits, *arrays = (block[0] if isinstance(block, list) else block for block in blocks)
        size, k = len(self.parts), self.k
        if isinstance(k, Cardinality):
            k = copy(k)
            vars(k).update(zip(self.parts, arrays, strict=False))
        elif k is None:
            k, size = arrays[0], 1
        try:
            return self.work(self.start(logits, k), *arrays[size:])
        except ValueError as error:
            raise ValueError(f"{error} (rows are counted from the first of their chunk)") from error


def split(k: int | Array | Cardinality) -> tuple[int | Cardinality | None, dict[str, Array]]:
    """``k`` without its Dask arrays, and those by name."""
    if isinstance(k, da.Array):
        return None, {"k": k}
    if not isinstance(k, Cardinality):
        return k, {}
    parts = {name: x for name, x in vars(k).items() if isinstance(x, da.Array)}
    rest = copy(k)
    vars(rest).update(dict.fromkeys(parts))
    return rest, parts


def map_rows(
    call: ChunkTask,
    operands: Sequence[Operand],
    tail: tuple[int, ...],
    dtype: Any,
    *,
    draws: tuple[int, ...] = (),
    places: bool = False,
) -> Array:
    """``call`` on the chunks of the operands, the logits first: draws + (...) + tail, of a dtype.

    With ``places`` each call also gets the position of its chunk, an array of one number for each axis of the batch.
    """
    like, ranks = operands[0].array, [x.array.ndim - x.has_items for x in operands]
    batch, fresh = tuple(range(max(ranks))), count(max(ranks))
    pairs: list[Any] = []
    for x, rank in zip(operands, ranks, strict=True):
        pairs += [x.array, batch[len(batch) - rank :] + ((next(fresh),) if x.has_items else ())]
    chunks, pairs[::2] = da.unify_chunks(*pairs)
    if places:
        for axis in batch:
            pairs += [da.arange(len(chunks[axis]), chunks=1), (axis,)]
    before, after = ({next(fresh): size for size in sizes} for sizes in (draws, tail))
    index = (*before, *batch, *after)
    return da.blockwise(
        call,
        index,
        *pairs,
        new_axes=before | after,
        adjust_chunks={axis: chunks[axis] for axis in batch},
        align_arrays=False,
        dtype=dtype,
        meta=meta_from_array(like, ndim=len(index), dtype=dtype),
        token="ksubset",
    )


def root(rng: object) -> Root:
    """Entropy and spawn key of the seed from which the seeds of the chunks descend."""
    if isinstance(rng, np.random.SeedSequence):
        return rng.entropy, tuple(rng.spawn_key)
    if isinstance(rng, np.random.Generator):
        return tuple(rng.integers(2**63, size=2).tolist()), ()
    if rng is None:
        return np.random.SeedSequence().entropy, ()
    if (found := seed_of(rng, 0)) is None:
        expected = "a numpy.random.Generator or SeedSequence, an int or None"
        raise TypeError(f"rng must be {expected}; got {kind(rng)}")
    return found, ()


def seed(source: Root, places: Sequence[Array]) -> int:
    """The seed of the chunk at a position: an int of 128 bits, which seeds a generator of any framework."""
    entropy, key = source
    sequence = np.random.SeedSequence(entropy, spawn_key=(*key, STREAMS, *(int(place[0]) for place in places)))
    return int.from_bytes(sequence.generate_state(4).astype("<u4").tobytes(), "little")
