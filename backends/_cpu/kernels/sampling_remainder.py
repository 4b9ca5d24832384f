"""The remaining count r for the items of B, which are drawn later, and its probability P_B(r); see `sampling_stages`.

It comes from the recursion over all possible counts, sums of products of positive numbers, or where B's variance is
large from the contour, whose error is below rounding. Its bound is the largest entry, or by the triangle inequality
Σ|F_j|, so that the ratio never exceeds 1. Both are in float64 whatever the dtype of the logits. A count further
than `reach` from B's mean has a probability below e⁻³⁸ and is not accepted.
"""

from math import sqrt
from typing import NamedTuple

import numpy as np

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.kernels.nodes import ANGLE, IM, MOST, RE, place_nodes
from ksubset.backends._cpu.kernels.power_sum_terms import enough_terms
from ksubset.backends._cpu.kernels.power_sums import integrand_by_powers, sum_powers
from ksubset.backends._cpu.kernels.sampling_bernoulli import scalar
from ksubset.backends._cpu.kernels.variables import row_totals, variable
from ksubset.backends._cpu.simd.elementary import total, turn
from ksubset.backends._cpu.simd.memory import load_items, load_numbers, step, store, store_numbers
from ksubset.backends._cpu.simd.vectors import full, where

RECURSION = 40.0
"""P_B is found by recursion if B has less variance."""

MOST_COUNTS = 512


@inner
def count_distribution(row, start, shift, level, table, like):
    """The distribution of likely items that are not chosen against unlikely ones that are, from −``low`` on.

    Returns ``low``, how many there are, the number of likely items, and the largest probability.
    """
    up, down, spread, likely = full(like, 0), full(like, 0), full(like, 0), full(like, 0)
    for i in range(0, row.n, step(like)):
        chosen, _, unlikely, c, _ = variable(load_items(row.x, row.at, i, row.n, full(like, -np.inf)), start, shift)
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
    for i in range(0, row.n, step(like)):
        chosen, _, unlikely, _, _ = variable(load_items(row.x, row.at, i, row.n, full(like, -np.inf)), start, shift)
        store(level, 0, where(chosen, -unlikely, unlikely))
        for r in range(min(lanes, row.n - i)):
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
def distribution_of_rest(row, variance, start, shift, memory, wide):
    """P_B of the items of a part."""
    start, shift = full(wide, scalar(start, memory.level)), full(wide, scalar(shift, memory.level))
    if variance < RECURSION:
        low, length, sure, bound = count_distribution(row, start, shift, memory.wide, memory.counts, wide)
        return Remainder(low, length, sure, 0, 0, 0.0, bound)
    k = full(wide, 0)
    spread, _, gap, _ = row_totals(row, start, shift, k, wide)
    centre = np.rint(scalar(gap, memory.wide))
    reach = sqrt(76 * scalar(spread, memory.wide)) + 13
    gap = gap - full(wide, centre)
    size, _ = place_nodes(spread, full(wide, reach + 1), memory.nodes, wide)
    count = enough_terms(spread, k > k, memory.nodes)
    sum_powers(row, start, shift, k, count, False, memory.part, memory.sums, wide)
    integrand_by_powers(memory.nodes, size, memory.sums, count, gap, False, wide)
    return Remainder(0, 0, 0, size, int(centre), reach, gathered(memory, size, wide))


@inner
def gathered(memory, size, wide):
    """Bring the values at the nodes together, a node to each lane; returns Σ|F|."""
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
