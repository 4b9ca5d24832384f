"""The most likely subset of each row, by a selection: the least logit that is chosen is found by bisection.

The bisection is of floating-point numbers in their order. It takes one step for each of their bits at most, and ends as
soon as exactly k items are above in every row. Subnormal numbers keep their order, so none is flushed.
"""

import numpy as np
from numba import int64

from ksubset.backends._cpu.compiling import inlined, inner, kernel
from ksubset.backends._cpu.kernels.moments import brought, counts_of
from ksubset.backends._cpu.kernels.rows import carve, fill_items, padded, room, write_rows
from ksubset.backends._cpu.simd.elementary import between, highest, lowest, total
from ksubset.backends._cpu.simd.memory import load_items, rows_at_once, step, store_items
from ksubset.backends._cpu.simd.tables import table_at
from ksubset.backends._cpu.simd.vectors import any_lane, full, where, width, zeros


@kernel
def mode(theta, k, same, n, count, begin, stop, out, scratch, end, layout):
    """The k largest items, of equal ones the first; NaN in a row without such a subset."""
    zero = zeros(layout)
    theta, k, out = table_at(theta, n, zero), table_at(k, 0, int64(0)), table_at(out, n, zero)
    items = room(n, zero) if rows_at_once(zero) > 1 else 0
    x, at = carve(scratch, 1, items, zero)
    chosen, at = carve(at, 1, items, zero)
    level, at = carve(at, 1, width(zero), zero)
    for first in range(begin, stop, rows_at_once(zero)):
        rows = min(rows_at_once(zero), stop - first)
        source, place = brought(theta, first, rows, n, x, zero)
        if rows_at_once(zero) > 1:
            fill_items(x, n, padded(n), full(zero, -np.inf))
        size = counts_of(k, same, first, rows, n, level, zero)
        least, missing = threshold(source, place, n, size, zero)
        if rows_at_once(zero) > 1:
            put_chosen(source, place, chosen, 0, n, least, missing, zero)
            write_rows(chosen, rows, out, first, zero)
        else:
            put_chosen(source, place, out, first * n, n, least, missing, zero)
            put_ties(source, place, out, first * n, n, least, missing, level, zero)


@inner
def threshold(x, at, n, size, like):
    """A number above which there are at most ``size`` items, and how many of those equal to it are missing.

    There are none of the latter unless the number is the least of the chosen items. NaN in a row without a subset.
    """
    low, high, strange = range_of(x, at, n, like)
    above = count_above(x, at, n, low, like)
    settled = above <= size
    high, found = where(settled, low, high), where(settled, above, full(like, 0))
    for _ in range(8 * x.itemsize):
        active = ~settled & (found < size)
        if not any_lane(active):
            break
        middle = between(low, high)
        above = count_above(x, at, n, middle, like)
        fits = above <= size
        high, found = where(active & fits, middle, high), where(active & fits, above, found)
        low = where(active & ~fits, middle, low)
    missing = size - found
    too_many = (high == full(like, np.inf)) & (missing < full(like, n))
    too_few = (high == full(like, -np.inf)) & (missing > full(like, 0))
    wrong = (strange > full(like, 0)) | too_many | too_few | ~(missing >= full(like, 0))
    return where(wrong, full(like, np.nan), high), missing


@inner
def range_of(x, at, n, like):
    """The least item of each row, the largest, and how many are NaN."""
    low, high, strange = full(like, np.inf), full(like, -np.inf), full(like, 0)
    for i in range(0, n, step(like)):
        item, last = load_items(x, at, i, n, full(like, -np.inf)), load_items(x, at, i, n, full(like, np.inf))
        low, high = where(last < low, last, low), where(item > high, item, high)
        strange = strange + where(item == item, full(like, 0), full(like, 1))
    return lowest(low), highest(high), total(strange)


@inner
def count_above(x, at, n, level, like):
    """How many items of each row are above a number; four sums do not wait for each other."""
    a, b, c, d = full(like, 0), full(like, 0), full(like, 0), full(like, 0)
    length = step(like)
    for i in range(0, n, 4 * length):
        a = a + is_above(x, at, i, n, level, like)
        b = b + is_above(x, at, i + length, n, level, like)
        c = c + is_above(x, at, i + 2 * length, n, level, like)
        d = d + is_above(x, at, i + 3 * length, n, level, like)
    return total((a + b) + (c + d))


@inlined
def is_above(x, at, i, n, level, like):
    """1 where an item is above a number."""
    return where(load_items(x, at, i, n, full(like, -np.inf)) > level, full(like, 1), full(like, 0))


@inner
def put_chosen(x, at, out, place, n, least, missing, like):
    """1 for items above the least, and where each lane has a row, for the first of those equal to it."""
    zero, one, used = full(like, 0), full(like, 1), full(like, 0)
    for i in range(0, n, step(like)):
        item = load_items(x, at, i, n, zero)
        chosen = item > least
        if rows_at_once(like) > 1:
            tied = (item == least) & (used < missing)
            used, chosen = used + where(tied, one, zero), chosen | tied
        store_items(out, place, i, n, where(least == least, where(chosen, one, zero), least))


@inner
def put_ties(x, at, out, place, n, least, missing, level, like):
    """1 for the first of the items of a row that are equal to the least."""
    store_items(level, 0, 0, width(like), least)
    bound, left = level[0], 0
    store_items(level, 0, 0, width(like), missing)
    if bound == bound:
        left = int(level[0])
    for i in range(n):
        if left == 0:
            break
        if x[at + i] == bound:
            out[place + i] = 1
            left -= 1
