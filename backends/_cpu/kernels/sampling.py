"""The kernel that draws from rows of any length, on the rows start … stop − 1: see `sampling_stages`."""

import numpy as np
from numba import int64, uint64

from ksubset.backends._cpu.compiling import inlined, kernel
from ksubset.backends._cpu.kernels.indices import write_indices_of_row
from ksubset.backends._cpu.kernels.nodes import KINDS, MOST
from ksubset.backends._cpu.kernels.power_sum_terms import TERMS
from ksubset.backends._cpu.kernels.rows import LINE, carve, put_lanes
from ksubset.backends._cpu.kernels.sampling_bernoulli import BYTES_TO_SHORT, Memory, scalar
from ksubset.backends._cpu.kernels.sampling_bits import WORDS_OF_STATE, seed_bits
from ksubset.backends._cpu.kernels.sampling_remainder import MOST_COUNTS
from ksubset.backends._cpu.kernels.sampling_stages import draw_row
from ksubset.backends._cpu.kernels.team import SECTIONS, Row, sections, team_of
from ksubset.backends._cpu.kernels.tilt import find_tilt
from ksubset.backends._cpu.simd.subnormal import flush_subnormals, restore_mode
from ksubset.backends._cpu.simd.tables import table_at
from ksubset.backends._cpu.simd.vectors import double_items, full, width, zeros

BYTES = (
    BYTES_TO_SHORT
    + 16 * (SECTIONS + 2) * WORDS_OF_STATE
    + 8 * MOST_COUNTS
    + 64 * (KINDS * MOST + 8 * TERMS + 64)
    + 4096
)
"""Scratch memory beside the items."""


@inlined
def memory_of(at, like, wide):
    """Cut the scratch memory up."""
    lanes, word = width(wide), uint64(0)
    state, at = carve(at, 1, SECTIONS * WORDS_OF_STATE, word)
    before, at = carve(at, 1, WORDS_OF_STATE, word)
    single, at = carve(at, 1, 1, word)
    short, at = carve(at, 1, BYTES_TO_SHORT // 8, word)
    level, at = carve(at, 1, width(like), like)
    broad, at = carve(at, 1, lanes, wide)
    counts, at = carve(at, 1, MOST_COUNTS, wide)
    nodes, at = carve(at, 1, KINDS * MOST * lanes, wide)
    part, at = carve(at, 1, 4 * TERMS * lanes, wide)
    sums, at = carve(at, 1, 4 * TERMS * lanes, wide)
    return Memory(state, before, single, short, level, broad, counts, nodes, part, sums, at)


@inlined
def row_before(end, size):
    """Where a row of ``size`` bytes begins that comes last in scratch memory."""
    return (end - size) // LINE * LINE


@kernel
def sample(
    theta, k, same, n, count, begin, stop, shifts, seed, draws, places, out, scratch, end, rank, size, shared, layout
):
    """λ, and subsets: draw d of row r is row d · count + r of ``out``, its indices if there are ``places`` for them.

    A subset whose indices are written is in scratch memory, after all else.
    """
    mode, like, wide = flush_subnormals(), zeros(layout), zeros(double_items(layout))
    theta, k, shifts = table_at(theta, n, like), table_at(k, 0, int64(0)), table_at(shifts, count, like)
    memory, indices = memory_of(scratch, like, wide), table_at(out, places, int64(0))
    items = table_at(row_before(end, n * theta.itemsize) if places > 0 else out, n, like)
    team = team_of(rank, size, shared, memory.board)
    for r in range(begin, stop):
        wanted = k[r] if same < 0 else same
        possible = 0 <= wanted <= n
        row = Row(theta, r * n, theta, r * n, n, team)
        start, shift, totals = find_tilt(row, full(like, wanted if possible else np.nan), like)
        put_lanes(start, memory.level, shifts, 0, r, 1)
        put_lanes(shift, memory.level, shifts, 1, r, 1)
        variance, sound = scalar(totals.spread, memory.level), shifts[1, r] == shifts[1, r]
        for d in range(draws):
            number, good = d * count + r, False
            at = 0 if places > 0 else number * n
            if sound:
                seed_bits(seed, number, sections(row), memory.state, memory.single)
                good = draw_row(row, wanted, start, shift, variance, items, at, memory, like, wide)
            if not good:
                for i in range(n):
                    items[at + i] = np.nan
            if places > 0:
                write_indices_of_row(items, n, indices, number, like)
    restore_mode(mode)
