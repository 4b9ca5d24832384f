"""The kernel that draws from rows of any length, on the rows start … stop − 1: see ``stages``."""

import numpy as np

from ksubset.backends._cpu.bits import WORDS_OF_STATE, seed_bits
from ksubset.backends._cpu.compiling import inner, kernel
from ksubset.backends._cpu.memory import rows_at_once
from ksubset.backends._cpu.moments import brought, counts_of, put_lanes
from ksubset.backends._cpu.nodes import KINDS, MOST
from ksubset.backends._cpu.rows import carve, carve_counts, matrix, room
from ksubset.backends._cpu.search import find_tilt
from ksubset.backends._cpu.stages import MOST_COUNTS, Memory, draw_row
from ksubset.backends._cpu.subnormal import flush_subnormals, restore_mode
from ksubset.backends._cpu.terms import TERMS
from ksubset.backends._cpu.vectors import by_items, double_items, full, width, zeros

BYTES = 16 * (3 * WORDS_OF_STATE) + 8 * MOST_COUNTS + 64 * (KINDS * MOST + 8 * TERMS + 64) + 4096
"""Scratch memory beside the items."""


@inner
def memory_of(at, layout, wide_layout, like, wide):
    """Cut the scratch memory up."""
    lanes = width(wide)
    state, at = carve_counts(at, WORDS_OF_STATE)
    after, at = carve_counts(at, WORDS_OF_STATE)
    single, at = carve_counts(at, 1)
    level, at = carve(at, 1, width(like), layout)
    broad, at = carve(at, 1, lanes, wide_layout)
    counts, at = carve(at, 1, MOST_COUNTS, wide_layout)
    nodes, at = carve(at, 1, KINDS * MOST * lanes, wide_layout)
    part, at = carve(at, 1, 4 * TERMS * lanes, wide_layout)
    sums, at = carve(at, 1, 4 * TERMS * lanes, wide_layout)
    words = state.view(np.uint64), after.view(np.uint64), single.view(np.uint64)
    return Memory(*words, level, broad, counts, nodes, part, sums), at


@kernel
def sample(theta_at, k_at, same, n, count, begin, stop, shifts, seed, draws, out, scratch, end, layout):
    """λ, and subsets: draw d of row r is row d · count + r of ``out``."""
    mode, zero = flush_subnormals(), zeros(layout)
    like, wide = zeros(by_items(layout)), zeros(double_items(layout))
    theta, k = matrix(theta_at, count, n, layout), matrix(k_at, 1, count, begin)
    memory, at = memory_of(scratch, layout, double_items(layout), like, wide)
    group = rows_at_once(zero)
    x, at = carve(at, 1, room(n, zero) if group > 1 else 0, layout)
    level, at = carve(at, 1, width(zero), layout)
    for first in range(begin, stop, group):
        rows = min(group, stop - first)
        source, place = brought(theta, first, rows, n, x, zero)
        target = counts_of(k, same, first, rows, n, level, zero)
        a, b = find_tilt(source, place, n, target, zero)
        put_lanes(a, level, shifts, 0, first, rows)
        put_lanes(b, level, shifts, 1, first, rows)
        for r in range(first, first + rows):
            shift, size = full(like, shifts[1, r]), k[0, r] if same < 0 else same
            for d in range(draws):
                row = d * count + r
                good = shifts[1, r] == shifts[1, r]
                if good:
                    seed_bits(seed, row, memory.state, memory.single)
                    start = full(like, shifts[0, r])
                    good = draw_row(theta, r * n, n, size, start, shift, out, row * n, memory, like, wide)
                if not good:
                    for i in range(n):
                        out[row, i] = np.nan
    restore_mode(mode)
