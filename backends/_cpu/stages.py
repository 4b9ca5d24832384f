"""Exact samples in O(n), without a table of the row: independent items, accepted with the right probability.

The items are divided in two, A before B, B with a small part of the variance. A is drawn as independent Bernoulli
variables; what is left of k, r = k − ΣA, is accepted with the probability P_B(r)/bound. Then B is drawn the same way,
given r, under a tilt of its own. At the end few items are uncertain, and are drawn until their sum is right.

P_B comes from the recursion over the counts that are possible at all, sums of products of positive numbers, or where B's
variance is large from the contour, whose error is below rounding. Its bound is the largest entry, or by the triangle
inequality Σ|F_j|, so that the ratio never exceeds 1. Both are in float64 whatever the dtype of the logits, as are the
uniforms. What is further than `reach` from B's mean has a probability below e⁻³⁸ and is not accepted.
"""

from math import sqrt
from typing import NamedTuple

import numpy as np

from ksubset.backends._cpu.bits import (
    LANES,
    WORDS_OF_STATE,
    address_of_numbers,
    count_chosen,
    draw_sixteen,
    hashed_uniform,
    population,
    put_sixteen,
    put_thresholds,
    uniform,
)
from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.elementary import sqrt as square_root
from ksubset.backends._cpu.elementary import total, turn
from ksubset.backends._cpu.memory import load_items, load_numbers, step, store_numbers
from ksubset.backends._cpu.nodes import ANGLE, IM, MOST, RE, get, place_nodes
from ksubset.backends._cpu.power_sums import integrand_by_powers, sum_powers
from ksubset.backends._cpu.search import find_tilt
from ksubset.backends._cpu.terms import enough_terms
from ksubset.backends._cpu.variables import row_totals, variable
from ksubset.backends._cpu.vectors import full, where

LAST = 16.0
"""Items of no more variance are drawn until their sum is right: once in √(2πV) times it is."""

SHARE, SHARE_BELOW = 1 / 8, 1 / 12
"""B's share of the variance, in large rows and in others."""

RECURSION = 40.0
"""P_B is found by recursion if B has less variance."""

MOST_COUNTS = 512
ATTEMPTS = 100_000
"""Draws after which a row is given up; that would happen once in e^1000 times."""

BLOCK = 64


@inlined
def scalar(x, level):
    """The first lane."""
    store_numbers(level, 0, x)
    return level[0, 0]


@inner
def variance_of(source, at, first, stop, start, shift, like):
    """Σpq of some items."""
    spread = full(like, 0)
    for i in range(first, stop, step(like)):
        _, _, _, c, _ = variable(load_items(source, at, i, stop, full(like, -np.inf)), start, shift)
        spread = spread + c
    return total(spread)


@inner
def write_thresholds(source, at, n, start, shift, place, like):
    """Thresholds of items from an address on."""
    for i in range(0, n, step(like)):
        chosen, _, unlikely, _, _ = variable(load_items(source, at, i, n, full(like, -np.inf)), start, shift)
        put_thresholds(place, i, n - i, unlikely, chosen)


@inner
def draw_items(source, at, n, start, shift, place, memory, like):
    """Draw items by the thresholds at an address; returns how many are chosen. The streams go on in ``memory.after``."""
    count = count_chosen(memory.state, memory.after, place, n)
    return count if count >= 0 else draw_with_ties(source, at, n, start, shift, place, memory, like)


@inner
def draw_with_ties(source, at, n, start, shift, place, memory, like):
    """The same where an item's first 31 bits are equal to its threshold."""
    copy_words(memory.state, memory.after)
    count, key = 0, memory.state[0]
    for i in range(0, n, LANES):
        found = draw_sixteen(memory.after, place + 4 * i, n - i)
        count += population(settled(found, key, source, at, i, n, start, shift, memory.level, like))
    return count


@inner
def replay_items(source, at, n, start, shift, place, memory, z, z_at, like):
    """The same again, written to ``z``."""
    key = memory.state[0]
    for i in range(0, n, LANES):
        found = draw_sixteen(memory.state, place + 4 * i, n - i)
        found = settled(found, key, source, at, i, n, start, shift, memory.level, like)
        put_sixteen(z, z_at + i, found, n - i)


@inner
def settled(found, key, source, at, i, n, start, shift, level, like):
    """Who is chosen of sixteen items; where the first 31 bits decide nothing, 53 others and what is left of p do."""
    ties = found >> LANES
    if ties == 0:
        return found
    for r in range(LANES):
        if ties >> r & 1:
            chosen, _, unlikely, _, _ = variable(load_items(source, at, i + r, n, full(like, -np.inf)), start, shift)
            scaled = np.float64(scalar(unlikely, level)) * 2.0**31
            likely = scalar(where(chosen, full(like, 1), full(like, 0)), level) > 0
            found &= ~(1 << r)
            if (hashed_uniform(key, i + r) < scaled - np.floor(scaled)) != likely:
                found |= 1 << r
    return found & 0xFFFF


@inlined
def copy_words(source, target):
    """Copy the state of the streams."""
    for j in range(WORDS_OF_STATE):
        target[j] = source[j]


@inner
def split_at(source, at, n, wanted, start, shift, level, like):
    """Where B starts: its items have about the wanted variance."""
    first, found = n, full(like, 0)
    while first > BLOCK:
        first -= BLOCK
        found = found + variance_of(source, at, first, min(first + BLOCK, n), start, shift, like)
        if scalar(found, level) >= wanted:
            break
    return first


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
    low, high = int(scalar(total(down), level) + beyond), int(scalar(total(up), level) + beyond)
    lanes, sure = level.shape[1], int(scalar(total(likely), level))
    size = (low + high + lanes) // lanes * lanes
    for j in range(size + 2 * lanes):
        table[0, j] = 0.0
    table[0, lanes + low] = 1.0
    for i in range(0, n, step(like)):
        chosen, _, unlikely, _, _ = variable(load_items(source, at, i, n, full(like, -np.inf)), start, shift)
        store_numbers(level, 0, where(chosen, -unlikely, unlikely))
        for r in range(min(lanes, n - i)):
            add_item(table, size, level[0, r], like)
    largest = 0.0
    for j in range(size):
        largest = max(largest, table[0, lanes + j])
    return low, size, sure, largest


@inlined
def add_item(table, size, a, like):
    """Take an item into the distribution, −a if it is likely."""
    lanes = table.shape[0] * step(like)
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


class Memory(NamedTuple):
    """Scratch memory of the sampler.

    Random streams before and after a draw, and one for single numbers; lanes of the logits' dtype and of float64; counts,
    and tables of vectors.
    """

    state: np.ndarray
    after: np.ndarray
    single: np.ndarray
    level: np.ndarray
    wide: np.ndarray
    counts: np.ndarray
    nodes: np.ndarray
    part: np.ndarray
    sums: np.ndarray


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
    bound = 0.0
    for j in range(size):
        re, im = get(memory.nodes, RE * MOST + j, wide), get(memory.nodes, IM * MOST + j, wide)
        bound += scalar(square_root(re * re + im * im), memory.wide)
    return Remainder(0, 0, 0, size, int(centre), reach, bound)


@inner
def chance(rest, r, memory, wide):
    """P_B(r), in the unit of its bound."""
    if rest.size == 0:
        j = r - rest.sure + rest.low
        lanes = memory.wide.shape[1]
        return memory.counts[0, lanes + j] if 0 <= j < rest.length else 0.0
    away = r - rest.centre
    if abs(away) > rest.reach:
        return 0.0
    out = full(wide, 0)
    for j in range(rest.size):
        cosine, sine = turn(full(wide, away) * get(memory.nodes, ANGLE * MOST + j, wide))
        out = out + (get(memory.nodes, RE * MOST + j, wide) * cosine + get(memory.nodes, IM * MOST + j, wide) * sine)
    return scalar(out, memory.wide)


@inner
def draw_row(source, at, n, k, start, shift, z, z_at, memory, like, wide):
    """One subset of a row that starts ``at`` a position, to ``z`` from ``z_at`` on; false if it is given up."""
    begin, left = 0, k
    while True:
        m, here, target = n - begin, at + begin, z_at + begin
        variance = scalar(variance_of(source, here, 0, m, start, shift, like), memory.level)
        if not variance > LAST or m <= 2 * BLOCK:
            return draw_until(source, here, m, left, start, shift, z, target, memory, like)
        share = SHARE if variance * SHARE > RECURSION else SHARE_BELOW
        first = split_at(source, here, m, variance * share, start, shift, memory.level, like)
        part = scalar(variance_of(source, here + first, 0, m - first, start, shift, like), memory.level)
        rest = distribution_of_rest(source, here + first, m - first, part, start, shift, memory, wide)
        chosen = draw_until_accepted(source, here, first, left, rest, start, shift, z, target, memory, like, wide)
        if chosen < 0:
            return False
        begin, left = begin + first, left - chosen
        start, shift = find_tilt(source, at + begin, n - begin, full(like, left), like)


@inner
def draw_until_accepted(source, at, n, k, rest, start, shift, z, z_at, memory, like, wide):
    """Draw the items before the rest until what they leave is accepted; returns how many are chosen."""
    place = thresholds_in(z, z_at, n)
    write_thresholds(source, at, n, start, shift, place, like)
    for _ in range(ATTEMPTS):
        chosen = draw_items(source, at, n, start, shift, place, memory, like)
        if uniform(memory.single) * rest.bound < chance(rest, k - chosen, memory, wide):
            replay_items(source, at, n, start, shift, place, memory, z, z_at, like)
            return chosen
        copy_words(memory.after, memory.state)
    return -1


@inner
def draw_until(source, at, n, k, start, shift, z, z_at, memory, like):
    """Draw all items until k are chosen."""
    place = thresholds_in(z, z_at, n)
    write_thresholds(source, at, n, start, shift, place, like)
    for _ in range(ATTEMPTS):
        if draw_items(source, at, n, start, shift, place, memory, like) == k:
            replay_items(source, at, n, start, shift, place, memory, z, z_at, like)
            return True
        copy_words(memory.after, memory.state)
    return False


@inlined
def thresholds_in(z, z_at, n):
    """Where the thresholds of items are kept: in the memory of the subset, which replaces them from the first on."""
    return address_of_numbers(z, z_at) + (z.itemsize - 4) * n
