"""Independent items drawn at once: their thresholds, their outcomes as bits, and the subset that these stand for."""

from typing import Any, NamedTuple

import numpy as np

from ksubset.backends._cpu.bits import (
    ITEMS_AT_ONCE,
    WORDS_OF_STATE,
    draw_items,
    hashed_uniform,
    put_subset,
    put_thresholds,
    put_word_at,
    ties,
    word_at,
)
from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.memory import load_items, step, store
from ksubset.backends._cpu.tables import address_in
from ksubset.backends._cpu.variables import variable
from ksubset.backends._cpu.vectors import full, where

GROUPS = 32
"""Groups of items between looks for ties, about one in two thousand groups has one."""

SHORT = 2048
"""Thresholds and bits of no more items are kept in scratch memory, others in that of the subset."""
BYTES_TO_SHORT = SHORT // ITEMS_AT_ONCE * 68


class Memory(NamedTuple):
    """Scratch memory of the sampler.

    Random streams, as they were before a few groups of items, and one for single numbers; thresholds and bits; lanes of
    the logits' dtype and of float64; counts, or what is known at nodes; tables of vectors.
    """

    state: Any
    before: Any
    single: Any
    short: Any
    level: Any
    wide: Any
    counts: Any
    nodes: Any
    part: Any
    sums: Any


@inlined
def scalar(x, level):
    """The first lane."""
    store(level, 0, x)
    return level[0]


class Draw(NamedTuple):
    """Items to draw: n from ``at`` in a table, under λ; where their subset goes, their thresholds and bits."""

    source: Any
    at: Any
    n: Any
    start: Any
    shift: Any
    z: Any
    z_at: Any
    thresholds: Any
    bits: Any


@inner
def prepared(source, at, n, start, shift, z, z_at, memory, like):
    """Find room for thresholds and bits, and write the former.

    In the memory of the subset the bits come last, so that each is read before what it stands for is written over it.
    """
    groups = (n + ITEMS_AT_ONCE - 1) // ITEMS_AT_ONCE
    place, end = address_in(memory.short, 0), BYTES_TO_SHORT
    if n > SHORT:
        place, end = address_in(z, z_at), z.itemsize * n
    for i in range(0, groups * ITEMS_AT_ONCE, step(like)):
        chosen, _, unlikely, _, _ = variable(load_items(source, at, i, n, full(like, -np.inf)), start, shift)
        put_thresholds(place, i, unlikely, chosen)
    return Draw(source, at, n, start, shift, z, z_at, place, place + end - 4 * groups)


@inner
def draw_all(draw, memory, like):
    """Draw the items; returns how many are chosen."""
    count, groups = 0, (draw.n + ITEMS_AT_ONCE - 1) // ITEMS_AT_ONCE
    for first in range(0, groups, GROUPS):
        here, some = min(GROUPS, groups - first), draw.bits + 4 * first
        for j in range(WORDS_OF_STATE):
            memory.before[j] = memory.state[j]
        found, tied = draw_items(memory.state, draw.thresholds + 64 * first, some, here)
        if tied:
            found += settle_ties(draw, first, here, memory, like)
        count += found
    return count


@inner
def settle_ties(draw, first, groups, memory, like):
    """Decide by 53 more bits where sixteen were equal to the threshold; returns how many that adds."""
    key, count = memory.before[0], 0
    for g in range(first, first + groups):
        equal, word = ties(memory.before, draw.thresholds + 64 * g), word_at(draw.bits + 4 * g)
        for r in range(ITEMS_AT_ONCE):
            if equal >> r & 1 and hashed_uniform(key, g * ITEMS_AT_ONCE + r) < left_of(
                draw, g * ITEMS_AT_ONCE + r, memory, like
            ):
                word, count = word | 1 << r, count + 1
        put_word_at(draw.bits + 4 * g, word)
    return count


@inner
def left_of(draw, i, memory, like):
    """What 2¹⁶ p is above the threshold of an item."""
    chosen, _, unlikely, _, _ = variable(
        load_items(draw.source, draw.at, i, draw.n, full(like, -np.inf)), draw.start, draw.shift
    )
    rare, threshold = (
        np.float64(scalar(unlikely, memory.level)) * 65536,
        float(word_at(draw.thresholds + 2 * i) & 0xFFFF),
    )
    if scalar(where(chosen, full(like, 1), full(like, 0)), memory.level) > 0:
        return (65536 - threshold) - rare
    return rare - threshold


@inner
def put_drawn(draw):
    """Write the subset that was drawn last."""
    for i in range(0, draw.n, ITEMS_AT_ONCE):
        put_subset(draw.z, draw.z_at + i, word_at(draw.bits + i // 8), draw.n - i)
