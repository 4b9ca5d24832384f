"""Exact samples in O(n), without a table of the row: independent items, accepted with the right probability.

The items are divided in two, A before B, B with a small part of the variance. A is drawn as independent Bernoulli
variables; the remaining count, r = k − ΣA, is accepted with the probability P_B(r)/bound. Then B is drawn the same way,
given r, under a tilt of its own. At the end few items are uncertain, and are drawn until their sum is right.
"""

import numpy as np

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.kernels.sampling_bernoulli import draw_all, prepared, put_drawn, scalar
from ksubset.backends._cpu.kernels.sampling_bits import uniform
from ksubset.backends._cpu.kernels.sampling_remainder import RECURSION, chance, distribution_of_rest
from ksubset.backends._cpu.kernels.team import LONG, Row, Team
from ksubset.backends._cpu.kernels.tilt import find_tilt
from ksubset.backends._cpu.kernels.variables import variable
from ksubset.backends._cpu.simd.elementary import total
from ksubset.backends._cpu.simd.memory import load_items, step
from ksubset.backends._cpu.simd.vectors import full

LAST = 16.0
"""Items whose variance V is at most this are drawn until their sum is right, once in about √(2πV) times."""

FEW = 128
"""So are at most this many items."""

SHARE, SHARE_BELOW = 1 / 8, 1 / 24
"""B's share of the variance, in large rows and in others."""

ATTEMPTS = 100_000
"""Draws after which a row is given up; that would happen once in e^1000 times."""

BLOCK = 64


@inner
def variance_of(row, first, stop, start, shift, like):
    """Σpq of some items."""
    spread = full(like, 0)
    for i in range(first, stop, step(like)):
        spread = spread + variable(load_items(row.x, row.at, i, stop, full(like, -np.inf)), start, shift)[3]
    return total(spread)


@inner
def split_at(row, wanted, start, shift, level, like):
    """Where B starts, whose items have about the wanted variance, and their variance."""
    first, found = row.n, full(like, 0)
    while first > BLOCK:
        first -= BLOCK
        found = found + variance_of(row, first, min(first + BLOCK, row.n), start, shift, like)
        if scalar(found, level) >= wanted:
            break
    return first, scalar(found, level)


@inlined
def part_of_row(row, first, stop, memory):
    """Items of a row as a row: for the same team if they are many, else each member has them for itself."""
    team = row.team
    if stop - first < LONG:
        team = Team(0, 1, memory.board)
    return Row(row.x, row.at + first, row.v, row.v_at + first, stop - first, team)


@inner
def draw_row(row, k, start, shift, variance, z, z_at, memory, like, wide):
    """One subset of a row, to ``z`` from ``z_at`` on; false if it is given up."""
    begin, left = 0, k
    while True:
        here, target = part_of_row(row, begin, row.n, memory), z_at + begin
        if here.n < LONG and row.team.rank > 0:
            return True  # the first member draws what is left by itself
        if not variance > LAST or here.n <= FEW:
            return draw_until(here, left, start, shift, z, target, memory, like, wide)
        share = SHARE if variance * SHARE > RECURSION else SHARE_BELOW
        first, part = split_at(here, variance * share, start, shift, memory.level, like)
        rest = distribution_of_rest(part_of_row(here, first, here.n, memory), part, start, shift, memory, wide)
        draw = prepared(part_of_row(here, 0, first, memory), start, shift, z, target, memory, like)
        chosen = draw_until_accepted(draw, left, rest, memory, like, wide)
        if chosen < 0:
            return False
        begin, left = begin + first, left - chosen
        start, shift, totals = find_tilt(part_of_row(row, begin, row.n, memory), full(like, left), like)
        variance = scalar(totals.spread, memory.level)


@inner
def draw_until_accepted(draw, k, rest, memory, like, wide):
    """Draw the items before the rest until the remaining count is accepted; returns how many are chosen."""
    for _ in range(ATTEMPTS):
        chosen = draw_all(draw, memory, like, wide)
        if uniform(memory.single) * rest.bound < chance(rest, k - chosen, memory, wide):
            put_drawn(draw, like)
            return chosen
    return -1


@inner
def draw_until(row, k, start, shift, z, z_at, memory, like, wide):
    """Draw all items until k are chosen."""
    draw = prepared(row, start, shift, z, z_at, memory, like)
    for _ in range(ATTEMPTS):
        if draw_all(draw, memory, like, wide) == k:
            put_drawn(draw, like)
            return True
    return False
