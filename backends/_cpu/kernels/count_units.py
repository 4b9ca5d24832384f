"""The units in which the counts of a row are measured: logits, their sums, odds and inverse odds; see `counts`."""

from typing import Any, NamedTuple

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.kernels.answers import log_of_more
from ksubset.backends._cpu.simd.elementary import exp
from ksubset.backends._cpu.simd.memory import load_numbers, store, store_numbers
from ksubset.backends._cpu.simd.tables import table_at
from ksubset.backends._cpu.simd.vectors import full, plus, where, width

VECTORS, GROUP = 8, 16
"""Vectors of a block of counts, and items that are taken into one before the next."""

SPAN = 680.0
"""Between the largest and the smallest logit whose odds are measured alike: e^680 fits with room for the products."""

SIMILAR, SHORT = 4.0, 1 << 17
"""Logits of a block no further apart than `SIMILAR` are replaced by their mean, in rows of at most `SHORT` items."""

FAR = 1e300
"""A logit of items that are not there, whose inverse odds are 0."""

TABLES = 10


class Work(NamedTuple):
    """Scratch memory.

    Of a row: logits in descending order, and their sums in two parts. Of a factor: its odds; by counts the logits that
    they are measured by, the inverse odds of these in two orders, and f; a vector with the exponent of each block; of
    each item of a group the last counts of a block before it is taken in.
    """

    x: Any
    high: Any
    low: Any
    w: Any
    reference: Any
    plain: Any
    u: Any
    f: Any
    exponents: Any
    carry: Any


@inlined
def workspace(at, n, like):
    """Cut it from scratch memory."""
    size = 8 * padded(n, like)
    return Work(
        table_at(at, 0, like),
        table_at(at + size, 0, like),
        table_at(at + 2 * size, 0, like),
        table_at(at + 3 * size, 0, like),
        table_at(at + 4 * size, 0, like),
        table_at(at + 5 * size, 0, like),
        table_at(at + 6 * size, 0, like),
        table_at(at + 7 * size, 0, like),
        table_at(at + 8 * size, 0, like),
        table_at(at + 9 * size, 0, like),
    )


@inlined
def padded(n, like):
    """Numbers in whole blocks, and room for a vector that starts anywhere among them."""
    return (n // (VECTORS * width(like)) + 3) * VECTORS * width(like)


@inlined
def two_sum(a, b):
    """a + b, and its rounding error."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


@inner
def read(theta, first, size, work, like):
    """The logits of a row and their sums; returns Σ log(1 + e^−|θ|) in two parts."""
    for j in range(size):
        work.x[j] = theta[first + size - 1 - j]
    for j in range(size, size + width(like)):
        work.x[j] = FAR
    high, low = full(like, 0), full(like, 0)
    for j in range(0, size, width(like)):
        x = load_numbers(work.x, j, like)
        high, error = two_sum(high, log_of_more(exp(where(x < full(like, 0), x, -x))))
        low = low + error
    sum_logits(size, work)
    store(work.carry, 0, high)
    store(work.carry, 1, low)
    top, rest = 0.0, 0.0
    for i in range(width(like)):
        top, error = two_sum(top, work.carry[i])
        rest += error + work.carry[width(like) + i]
    return top, rest


@inner
def sum_logits(size, work):
    """The largest term's logit less that of the likeliest outcome, for every count: sums of one sign, in two parts."""
    center = 0
    while center < size and work.x[center] > 0:
        center += 1
    work.high[center], work.low[center] = 0.0, 0.0
    for c in range(center + 1, size + 1):
        work.high[c], error = two_sum(work.high[c - 1], work.x[c - 1])
        work.low[c] = work.low[c - 1] + error
    for c in range(center - 1, -1, -1):
        work.high[c], error = two_sum(work.high[c + 1], -work.x[c])
        work.low[c] = work.low[c + 1] + error


@inner
def measure(begin, size, wide, work, like):
    """The odds of a factor, and the unit of each count: its own logit, or the mean of a block; 0 if that overflows.

    Of a wide factor each block measures in a unit of its own.
    """
    lanes = width(like)
    block, good = VECTORS * lanes, 1
    for b in range(size // block + 1):
        set_references(begin, b * block, block, size, work)
    for b in range(size // block + 1):
        shift = unit_of(b, block, size, wide, work)
        if wide and work.reference[b * block] - work.reference[min(b * block + block - 1, size)] > SPAN:
            good = 0
        for c in range(b * block, (b + 1) * block, lanes):
            t, error = two_sum(load_numbers(work.reference, c, like), full(like, shift))
            u = exp(-t)
            store_numbers(work.plain, c, plus(u, -u, error))
        turn(work.plain, work.u, b, VECTORS, lanes)
    put_odds(begin, 0, size, size, unit_of(0, block, size, False, work), work, like)
    gap, rest, work.plain[0] = 0.0, 0.0, 0.0
    for c in range(1, size + 1):
        gap, error = two_sum(gap, work.reference[c] - work.x[begin + c - 1])
        rest += error
        work.plain[c] = gap + rest
    return good


@inlined
def set_references(begin, first, block, size, work):
    """The logit by which each count of a block is measured: that of its own item, or for all counts their mean."""
    start, stop = max(first, 1), first + block
    for c in range(first, stop):
        work.reference[c] = work.x[begin + max(c, 1) - 1] if c <= size else FAR
    top = work.reference[start]
    if stop <= size + 1 and size <= SHORT and top - work.reference[stop - 1] <= SIMILAR:
        mean = 0.0
        for c in range(start, stop):
            mean += work.reference[c] - top
        mean = top + mean / (stop - start)
        for c in range(first, stop):
            work.reference[c] = mean


@inlined
def unit_of(b, block, size, wide, work):
    """The shift of the logits, of a block or of all counts, before their odds are taken."""
    first, last = (b * block, min(b * block + block - 1, size)) if wide else (0, size)
    top, bottom = work.reference[first], work.reference[last]
    return -0.5 * top - 0.5 * bottom if wide or max(top, -bottom) > SPAN / 2 else 0.0


@inner
def put_odds(begin, first, stop, size, shift, work, like):
    """The odds of items first … stop − 1; 0 for those from ``size`` on. Of those before a block f is still 0 there."""
    most = full(like, SPAN / 2 + 2 * SIMILAR)
    for j in range(first, stop, width(like)):
        t, error = two_sum(load_numbers(work.x, begin + j, like), full(like, shift))
        w = exp(where(t > most, most, t))
        store_numbers(work.w, j, plus(w, w, error))
    for j in range(min(stop, size), min(stop, size) + GROUP):
        work.w[j] = 0.0


@inner
def turn(source, target, b, columns, rows):
    """Transpose a block: count ``columns`` · i + j of it is number ``rows`` · j + i, which is lane i of vector j."""
    at = b * columns * rows
    for i in range(rows):
        for j in range(columns):
            target[at + j * rows + i] = source[at + i * columns + j]
