"""The kernel that draws from rows of any length, on the rows start … stop − 1: see ``stages``."""

import numpy as np
from numba import int64, uint64

from ksubset.backends._cpu.bernoulli import BYTES_TO_SHORT, Memory, scalar
from ksubset.backends._cpu.bits import WORDS_OF_STATE, seed_bits
from ksubset.backends._cpu.compiling import inlined, kernel
from ksubset.backends._cpu.nodes import KINDS, MOST
from ksubset.backends._cpu.remainder import MOST_COUNTS
from ksubset.backends._cpu.rows import carve, put_lanes
from ksubset.backends._cpu.search import find_tilt
from ksubset.backends._cpu.stages import draw_row
from ksubset.backends._cpu.subnormal import flush_subnormals, restore_mode
from ksubset.backends._cpu.tables import table_at
from ksubset.backends._cpu.terms import TERMS
from ksubset.backends._cpu.vectors import double_items, full, width, zeros

BYTES = BYTES_TO_SHORT + 16 * (3 * WORDS_OF_STATE) + 8 * MOST_COUNTS + 64 * (KINDS * MOST + 8 * TERMS + 64) + 4096
"""Scratch memory beside the items."""


@inlined
def memory_of(at, like, wide):
    """Cut the scratch memory up."""
    lanes, word = width(wide), uint64(0)
    state, at = carve(at, 1, WORDS_OF_STATE, word)
    before, at = carve(at, 1, WORDS_OF_STATE, word)
    single, at = carve(at, 1, 1, word)
    short, at = carve(at, 1, BYTES_TO_SHORT // 8, word)
    level, at = carve(at, 1, width(like), like)
    broad, at = carve(at, 1, lanes, wide)
    counts, at = carve(at, 1, MOST_COUNTS, wide)
    nodes, at = carve(at, 1, KINDS * MOST * lanes, wide)
    part, at = carve(at, 1, 4 * TERMS * lanes, wide)
    sums, _ = carve(at, 1, 4 * TERMS * lanes, wide)
    return Memory(state, before, single, short, level, broad, counts, nodes, part, sums)


@kernel
def sample(theta, k, same, n, count, begin, stop, shifts, seed, draws, out, scratch, end, layout):
    """λ, and subsets: draw d of row r is row d · count + r of ``out``."""
    mode, like, wide = flush_subnormals(), zeros(layout), zeros(double_items(layout))
    theta, k, shifts = table_at(theta, n, like), table_at(k, 0, int64(0)), table_at(shifts, count, like)
    memory, out = memory_of(scratch, like, wide), table_at(out, n, like)
    for r in range(begin, stop):
        size = k[r] if same < 0 else same
        possible = 0 <= size <= n
        start, shift, totals = find_tilt(theta, r * n, n, full(like, size if possible else np.nan), like)
        put_lanes(start, memory.level, shifts, 0, r, 1)
        put_lanes(shift, memory.level, shifts, 1, r, 1)
        variance, sound = scalar(totals.spread, memory.level), shifts[1, r] == shifts[1, r]
        for d in range(draws):
            row, good = d * count + r, False
            if sound:
                seed_bits(seed, row, memory.state, memory.single)
                good = draw_row(theta, r * n, n, size, start, shift, variance, out, row * n, memory, like, wide)
            if not good:
                for i in range(n):
                    out[row, i] = np.nan
    restore_mode(mode)
