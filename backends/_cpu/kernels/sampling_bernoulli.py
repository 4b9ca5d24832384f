"""Independent items drawn at once: their thresholds, their outcomes as bits, and the subset that these stand for."""

from typing import Any, NamedTuple

import numpy as np

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.kernels.sampling_bits import (
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
from ksubset.backends._cpu.kernels.team import board_of, meet, post, posted_sum, section, sections
from ksubset.backends._cpu.kernels.variables import variable
from ksubset.backends._cpu.simd.memory import load_items, step, store
from ksubset.backends._cpu.simd.tables import address_in, table_at
from ksubset.backends._cpu.simd.vectors import full, where

GROUPS = 32
"""Groups of items between looks for ties, about one in two thousand groups has one."""

SHORT = 2048
"""Thresholds and bits of up to this many items are kept in scratch memory, of more in the memory of the subset."""
BYTES_TO_SHORT = SHORT // ITEMS_AT_ONCE * 68


class Memory(NamedTuple):
    """Scratch memory of the sampler.

    Random streams of every section, as they were before a few groups of items, and one for single numbers; thresholds
    and bits; lanes of the logits' dtype and of float64; counts, or the values at nodes; tables of vectors; the board
    of a thread that works alone.
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
    board: Any


@inlined
def scalar(x, level):
    """The first lane."""
    store(level, 0, x)
    return level[0]


class Draw(NamedTuple):
    """Items to draw under λ; where their subset goes, their thresholds and bits."""

    row: Any
    start: Any
    shift: Any
    z: Any
    z_at: Any
    thresholds: Any
    bits: Any


@inner
def prepared(row, start, shift, z, z_at, memory, like):
    """Find room for thresholds and bits, and write the former.

    In the memory of the subset the bits come last, so that each is read before its items are written over it.
    """
    place, end = address_in(memory.short, 0), BYTES_TO_SHORT
    if row.n > SHORT:
        place, end = address_in(z, z_at), z.itemsize * row.n
    s = row.team.rank
    while s < sections(row):
        first, stop = section(row, s, like)
        for i in range(first, padded_groups(stop) * ITEMS_AT_ONCE, step(like)):
            y = load_items(row.x, row.at, i, stop, full(like, -np.inf))
            chosen, _, unlikely, _, _ = variable(y, start, shift)
            put_thresholds(place, i, unlikely, chosen)
        s += row.team.size
    return Draw(row, start, shift, z, z_at, place, place + end - 4 * padded_groups(row.n))


@inlined
def padded_groups(n):
    """Groups of items, with the one that is not full."""
    return (n + ITEMS_AT_ONCE - 1) // ITEMS_AT_ONCE


@inlined
def draw_all(draw, memory, like, wide):
    """Draw the items; returns how many are chosen."""
    row, board = draw.row, board_of(draw.row, wide)
    if sections(row) == 1:
        return draw_section(draw, 0, memory, like)
    s = row.team.rank
    while s < sections(row):
        post(board, s, 0, full(wide, draw_section(draw, s, memory, like)))
        s += row.team.size
    meet(row.team)
    return int(scalar(posted_sum(board, row, 0, wide), memory.wide))


@inner
def draw_section(draw, s, memory, like):
    """Draw the items of a section, which has random streams of its own."""
    state, count = table_at(address_in(memory.state, s * WORDS_OF_STATE), 0, np.uint64(0)), 0
    begin, end = section(draw.row, s, like)
    begin, end = begin // ITEMS_AT_ONCE, padded_groups(end)
    for first in range(begin, end, GROUPS):
        here, some = min(GROUPS, end - first), draw.bits + 4 * first
        for j in range(WORDS_OF_STATE):
            memory.before[j] = state[j]
        found, tied = draw_items(state, draw.thresholds + 64 * first, some, here)
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
    """2¹⁶ p less the threshold of an item."""
    y = load_items(draw.row.x, draw.row.at, i, draw.row.n, full(like, -np.inf))
    chosen, _, unlikely, _, _ = variable(y, draw.start, draw.shift)
    rare, threshold = (
        np.float64(scalar(unlikely, memory.level)) * 65536,
        float(word_at(draw.thresholds + 2 * i) & 0xFFFF),
    )
    if scalar(where(chosen, full(like, 1), full(like, 0)), memory.level) > 0:
        return (65536 - threshold) - rare
    return rare - threshold


@inlined
def put_drawn(draw, like):
    """Write the subset that was drawn last; where the bits are, in the order of the items and after all else."""
    row, safe = draw.row, draw.row.n
    if row.n > SHORT:
        safe = (draw.bits - draw.thresholds) // (draw.z.itemsize * ITEMS_AT_ONCE) * ITEMS_AT_ONCE
    s = row.team.rank
    while s < sections(row):
        first, stop = section(row, s, like)
        put_items(draw, first, min(stop, safe))
        s += row.team.size
    meet(row.team)
    if row.team.rank == 0:
        put_items(draw, safe, row.n)


@inlined
def put_items(draw, first, stop):
    """Write the items from ``first`` on, whose bits are a whole word."""
    for i in range(first, stop, ITEMS_AT_ONCE):
        put_subset(draw.z, draw.z_at + i, word_at(draw.bits + i // 8), draw.row.n - i)
