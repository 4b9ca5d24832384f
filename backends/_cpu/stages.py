"""Exact samples in O(n), without a table of the row: independent items, accepted with the right probability.

The items are divided in two, A before B, B with a small part of the variance. A is drawn as independent Bernoulli
variables; what is left of k, r = k − ΣA, is accepted with the probability P_B(r)/bound. Then B is drawn the same way,
given r, under a tilt of its own. At the end few items are uncertain, and are drawn until their sum is right.

P_B comes from the recursion over all possible counts, sums of products of positive numbers, or where B's variance is
large from the contour, whose error is below rounding. Its bound is the largest entry, or by the triangle
inequality Σ|F_j|, so that the ratio never exceeds 1. Both are in float64 whatever the dtype of the logits, as are the
uniforms. What is further than `reach` from B's mean has a probability below e⁻³⁸ and is not accepted.
"""

from math import sqrt
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
    uniform,
    word_at,
)
from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.elementary import total, turn
from ksubset.backends._cpu.memory import load_items, load_numbers, step, store, store_numbers
from ksubset.backends._cpu.nodes import ANGLE, IM, MOST, RE, place_nodes
from ksubset.backends._cpu.power_sums import integrand_by_powers, sum_powers
from ksubset.backends._cpu.search import find_tilt
from ksubset.backends._cpu.tables import address_in
from ksubset.backends._cpu.terms import enough_terms
from ksubset.backends._cpu.variables import row_totals, variable
from ksubset.backends._cpu.vectors import full, where

LAST = 16.0
"""Items of no more variance are drawn until their sum is right: once in √(2πV) times it is."""

FEW = 128
"""So are items that are no more than this."""

SHARE, SHARE_BELOW = 1 / 8, 1 / 24
"""B's share of the variance, in large rows and in others."""

RECURSION = 40.0
"""P_B is found by recursion if B has less variance."""

MOST_COUNTS = 512
ATTEMPTS = 100_000
"""Draws after which a row is given up; that would happen once in e^1000 times."""

BLOCK = 64
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


@inner
def variance_of(source, at, first, stop, start, shift, like):
    """Σpq of some items."""
    spread = full(like, 0)
    for i in range(first, stop, step(like)):
        spread = spread + variable(load_items(source, at, i, stop, full(like, -np.inf)), start, shift)[3]
    return total(spread)


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


@inner
def split_at(source, at, n, wanted, start, shift, level, like):
    """Where B starts, whose items have about the wanted variance, and their variance."""
    first, found = n, full(like, 0)
    while first > BLOCK:
        first -= BLOCK
        found = found + variance_of(source, at, first, min(first + BLOCK, n), start, shift, like)
        if scalar(found, level) >= wanted:
            break
    return first, scalar(found, level)


@inner
def count_distribution(source, at, n, start, shift, level, table, like):
    """The distribution of likely items that are not chosen against unlikely ones that are, from −``low`` on.

    Returns ``low``, how many there are, the number of likely items, and the largest probability.
    """
    up, down, spread, likely = full(like, 0), full(like, 0), full(like, 0), full(like, 0)
    for i in range(0, n, step(like)):
        chosen, _, unlikely, c, _ = variable(load_items(source, at, i, n, full(like, -np.inf)), start, shift)
        up, down = up + where(chosen, full(like, 0), unlikely), down + where(chosen, unlikely, full(like, 0))
        spread, likely = spread + c, likely + where(chosen, full(like, 1), full(like, 0))
    beyond = sqrt(76 * scalar(total(spread), level)) + 13
    lanes = step(like)
    low, high = int(scalar(total(down), level) + beyond), int(scalar(total(up), level) + beyond)
    sure = int(scalar(total(likely), level))
    size = (low + high + lanes) // lanes * lanes
    for j in range(size + 2 * lanes):
        table[j] = 0.0
    table[lanes + low] = 1.0
    for i in range(0, n, step(like)):
        chosen, _, unlikely, _, _ = variable(load_items(source, at, i, n, full(like, -np.inf)), start, shift)
        store(level, 0, where(chosen, -unlikely, unlikely))
        for r in range(min(lanes, n - i)):
            add_item(table, size, level[r], like)
    largest = 0.0
    for j in range(size):
        largest = max(largest, table[lanes + j])
    return low, size, sure, largest


@inlined
def add_item(table, size, a, like):
    """Take an item into the distribution, −a if it is likely."""
    lanes = step(like)
    if a >= 0:
        p, q = full(like, a), full(like, 1 - a)
        for j in range(size - lanes, -1, -lanes):
            x, y = load_numbers(table, lanes + j, like), load_numbers(table, lanes + j - 1, like)
            store_numbers(table, lanes + j, q * x + p * y)
    else:
        p, q = full(like, -a), full(like, 1 + a)
        for j in range(0, size, lanes):
            x, y = load_numbers(table, lanes + j, like), load_numbers(table, lanes + j + 1, like)
            store_numbers(table, lanes + j, q * x + p * y)


class Remainder(NamedTuple):
    """How P_B is known: by the recursion, from −``low`` on with ``sure`` likely items; or at ``size`` nodes."""

    low: int
    length: int
    sure: int
    size: int
    centre: int
    reach: float
    bound: float


@inner
def distribution_of_rest(source, at, n, variance, start, shift, memory, wide):
    """P_B of the items of a part."""
    start, shift = full(wide, scalar(start, memory.level)), full(wide, scalar(shift, memory.level))
    if variance < RECURSION:
        low, length, sure, bound = count_distribution(source, at, n, start, shift, memory.wide, memory.counts, wide)
        return Remainder(low, length, sure, 0, 0, 0.0, bound)
    k = full(wide, 0)
    spread, _, gap, _ = row_totals(source, at, source, at, n, start, shift, k, wide)
    centre = np.rint(scalar(gap, memory.wide))
    reach = sqrt(76 * scalar(spread, memory.wide)) + 13
    gap = gap - full(wide, centre)
    size, _ = place_nodes(spread, full(wide, reach + 1), memory.nodes, wide)
    count = enough_terms(spread, k > k, memory.nodes)
    sum_powers(source, at, source, at, n, start, shift, k, count, False, memory.part, memory.sums, wide)
    integrand_by_powers(memory.nodes, size, memory.sums, count, gap, False, wide)
    return Remainder(0, 0, 0, size, int(centre), reach, gathered(memory, size, wide))


@inner
def gathered(memory, size, wide):
    """Bring what is known at the nodes together, a node to each lane; returns Σ|F|."""
    bound, lanes = 0.0, step(wide)
    for j in range(MOST):
        for kind, known in enumerate((ANGLE, RE, IM)):
            memory.counts[kind * MOST + j] = memory.nodes[(known * MOST + j) * lanes] if j < size else 0.0
        re, im = memory.counts[MOST + j], memory.counts[2 * MOST + j]
        bound += sqrt(re * re + im * im)
    return bound


@inner
def chance(rest, r, memory, wide):
    """P_B(r), in the unit of its bound."""
    lanes = step(wide)
    if rest.size == 0:
        j = r - rest.sure + rest.low
        return memory.counts[lanes + j] if 0 <= j < rest.length else 0.0
    away, out = r - rest.centre, full(wide, 0)
    if abs(away) > rest.reach:
        return 0.0
    for j in range(0, rest.size, lanes):
        cosine, sine = turn(full(wide, away) * load_numbers(memory.counts, j, wide))
        re, im = load_numbers(memory.counts, MOST + j, wide), load_numbers(memory.counts, 2 * MOST + j, wide)
        out = out + (re * cosine + im * sine)
    return scalar(total(out), memory.wide)


@inner
def draw_row(source, at, n, k, start, shift, variance, z, z_at, memory, like, wide):
    """One subset of a row that starts ``at`` a position, to ``z`` from ``z_at`` on; false if it is given up."""
    begin, left = 0, k
    while True:
        m, here, target = n - begin, at + begin, z_at + begin
        if not variance > LAST or m <= FEW:
            return draw_until(source, here, m, left, start, shift, z, target, memory, like)
        share = SHARE if variance * SHARE > RECURSION else SHARE_BELOW
        first, part = split_at(source, here, m, variance * share, start, shift, memory.level, like)
        rest = distribution_of_rest(source, here + first, m - first, part, start, shift, memory, wide)
        draw = prepared(source, here, first, start, shift, z, target, memory, like)
        chosen = draw_until_accepted(draw, left, rest, memory, like, wide)
        if chosen < 0:
            return False
        begin, left = begin + first, left - chosen
        start, shift, totals = find_tilt(source, at + begin, n - begin, full(like, left), like)
        variance = scalar(totals.spread, memory.level)


@inner
def draw_until_accepted(draw, k, rest, memory, like, wide):
    """Draw the items before the rest until what they leave is accepted; returns how many are chosen."""
    for _ in range(ATTEMPTS):
        chosen = draw_all(draw, memory, like)
        if uniform(memory.single) * rest.bound < chance(rest, k - chosen, memory, wide):
            put_drawn(draw)
            return chosen
    return -1


@inner
def draw_until(source, at, n, k, start, shift, z, z_at, memory, like):
    """Draw all items until k are chosen."""
    draw = prepared(source, at, n, start, shift, z, z_at, memory, like)
    for _ in range(ATTEMPTS):
        if draw_all(draw, memory, like) == k:
            put_drawn(draw)
            return True
    return False
