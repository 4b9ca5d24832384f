"""The kernel for the probabilities of all counts of independent items, row by row.

With odds w in descending order, e_c their elementary symmetric polynomials and s_c = w_1 ⋯ w_c the largest term of
e_c, the numbers f_c = e_c/s_c are the state. An item k adds w_k/w_c · f_{c−1} to f_c, of which the factor is at most 1:
sums of positive numbers, which keep their relative accuracy. For items in any number

    f_c/C(c + B, B) ≤ f_{c+B} ≤ C(n − c, B) f_c,

so that a block of up to 64 counts fits the floats, whatever the logits, if it has an exponent of its own, and goes on
doing so for 64 more items, if there are up to 2²⁰. Between logits that are far apart the polynomial falls into factors.
"""

from typing import Any, NamedTuple

import numpy as np

from ksubset.backends._cpu.answers import log_of_more
from ksubset.backends._cpu.compiling import inlined, inner, kernel
from ksubset.backends._cpu.elementary import exp, exponent, floor, highest, log, power_of_two
from ksubset.backends._cpu.memory import load, load_numbers, store, store_items, store_numbers
from ksubset.backends._cpu.tables import table_at
from ksubset.backends._cpu.vectors import full, plus, shifted, where, width, zeros

VECTORS, GROUP, STAGE = 8, 16, 64
"""Vectors of a block, items that are taken into one before the next, and items between looks at the exponents."""

SPAN = 680.0
"""Between the largest and the smallest logit whose odds are measured alike: e^680 fits with room for the products."""

APART = 75.0
"""Between factors of the polynomial: (2²⁰)² e^−75 is below rounding."""

SIMILAR, SHORT = 4.0, 1 << 17
"""Logits of a block are replaced by their mean if they are no further apart, in rows of so many items at most."""

LONGEST, FAR = 1 << 20, 1e300
"""Items of a row at most; and a logit of items that are not there, whose inverse odds are 0."""

LN2, LN2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10
"""log 2 in two parts; whole numbers below 2²¹ times the first are exact."""

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


@kernel
def log_pmf(theta, _k, _same, n, count, begin, stop, served, out, scratch, end, layout):
    """log P of the rows begin … stop − 1 of logits in ascending order, (count, n), and whether they are served."""
    zero = zeros(layout)
    theta, served, out = table_at(theta, n, zero), table_at(served, count, zero), table_at(out, n + 1, zero)
    work = workspace(scratch, n, zero)
    for row in range(begin, stop):
        first, last, at = row * n, row * n + n, row * (n + 1)
        bad = theta[last - 1] != theta[last - 1]
        for c in range(n + 1):
            out[at + c] = np.nan if bad else -np.inf
        served[row] = 1
        while first < last and theta[first] == -np.inf:
            first += 1
        while first < last and theta[last - 1] == np.inf:
            last -= 1
        if not bad:
            served[row] = put_counts(theta, first, last - first, out, at + row * n + n - last, work, zero)


@inlined
def put_counts(theta, first, size, out, at, work, like):
    """log P of ``size`` finite items, factor by factor; 0 if a factor does not fit."""
    if size == 0:
        out[at] = 0.0
        return 1
    if max(-theta[first], theta[first + size - 1]) > FAR / LONGEST:
        return 0
    outcome, begin, good = read(theta, first, size, work, like), 0, 1
    while begin < size and good:
        end = begin + 1
        while end < size and work.x[end - 1] - work.x[end] <= APART:
            end += 1
        wide = work.x[begin] - work.x[end - 1] > SPAN
        good = measure(begin, end - begin, wide, work, like)
        if good:
            take_in(begin, end - begin, wide, work, like)
            write(out, at + begin, begin, end - begin, outcome, work, like)
        begin = end
    return good


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
    """The odds of a factor, and what measures each count: its own logit, or the mean of a block; 0 if that overflows.

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
    """What is added to logits before their odds are taken, those of a block or of all counts."""
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


@inner
def take_in(begin, size, wide, work, like):
    """f of all items of a factor."""
    block = VECTORS * width(like)
    for j in range(size // block * VECTORS + VECTORS):
        store(work.f, j, full(like, 0))
    for b in range(size // block + 1):
        store(work.exponents, b, full(like, 0))
    work.f[0] = 1.0
    for first in range(0, size, GROUP):
        if first % STAGE == 0:
            for b in range(first // block + 1):
                rescale(b, work, like)
        for k in range(GROUP):
            store(work.carry, k, full(like, 0))
        before = load(work.exponents, 0, like)
        for b in range(min(first + GROUP, size) // block + 1):
            if wide:
                put_odds(begin, first, first + GROUP, size, unit_of(b, block, size, wide, work), work, like)
            here = load(work.exponents, b, like)
            take_group(first, b, before - here, work)
            before = here


@inner
def rescale(b, work, like):
    """Bring the largest number of a block to 1 … 2."""
    most = load(work.f, b * VECTORS, like)
    for j in range(b * VECTORS + 1, (b + 1) * VECTORS):
        x = load(work.f, j, like)
        most = where(x > most, x, most)
    e = exponent(highest(most))
    e = where(e > full(like, 0), e, full(like, 0))
    scale = power_of_two(-e)
    for j in range(b * VECTORS, (b + 1) * VECTORS):
        store(work.f, j, load(work.f, j, like) * scale)
    store(work.exponents, b, load(work.exponents, b, like) + e)


@inner
def take_group(first, b, gap, work):
    """Take the items of a group into a block, whose exponent is ``gap`` less than that of the block before."""
    half = floor(full(gap, 0.5) * gap)
    scale, rest, at = power_of_two(half), power_of_two(gap - half), b * VECTORS * width(gap)
    f0, f1, f2, f3, f4, f5, f6, f7 = vectors(work.f, b, gap)
    if work.u[at] == work.u[at + VECTORS * width(gap) - 1]:
        u = load(work.u, b * VECTORS, gap)
        for k in range(GROUP):
            w = full(gap, work.w[first + k]) * u
            below = shifted(load(work.carry, k, gap) * scale * rest, f7)
            store(work.carry, k, f7)
            f7, f6, f5, f4 = plus(f7, w, f6), plus(f6, w, f5), plus(f5, w, f4), plus(f4, w, f3)
            f3, f2, f1, f0 = plus(f3, w, f2), plus(f2, w, f1), plus(f1, w, f0), plus(f0, w, below)
    else:
        u0, u1, u2, u3, u4, u5, u6, u7 = vectors(work.u, b, gap)
        for k in range(GROUP):
            w = full(gap, work.w[first + k])
            below = shifted(load(work.carry, k, gap) * scale * rest, f7)
            store(work.carry, k, f7)
            f7, f6, f5, f4 = plus(f7, w * u7, f6), plus(f6, w * u6, f5), plus(f5, w * u5, f4), plus(f4, w * u4, f3)
            f3, f2, f1, f0 = plus(f3, w * u3, f2), plus(f2, w * u2, f1), plus(f1, w * u1, f0), plus(f0, w * u0, below)
    at = b * VECTORS
    store(work.f, at, f0)
    store(work.f, at + 1, f1)
    store(work.f, at + 2, f2)
    store(work.f, at + 3, f3)
    store(work.f, at + 4, f4)
    store(work.f, at + 5, f5)
    store(work.f, at + 6, f6)
    store(work.f, at + 7, f7)


@inlined
def vectors(table, b, like):
    """Those of a block."""
    at = b * VECTORS
    return (
        load(table, at, like),
        load(table, at + 1, like),
        load(table, at + 2, like),
        load(table, at + 3, like),
        load(table, at + 4, like),
        load(table, at + 5, like),
        load(table, at + 6, like),
        load(table, at + 7, like),
    )


@inner
def write(out, at, begin, size, outcome, work, like):
    """The logarithms; what two large terms leave of each other is exact."""
    for b in range(size // (VECTORS * width(like)) + 1):
        rescale(b, work, like)
        turn(work.f, work.u, b, width(like), VECTORS)
        e = load(work.exponents, b, like)
        scale, rest = two_sum(e * full(like, LN2), full(like, -outcome[0]))
        rest = rest + (e * full(like, LN2_LOW) - full(like, outcome[1]))
        for j in range(b * VECTORS, (b + 1) * VECTORS):
            c = j * width(like)
            x, error = two_sum(scale, load_numbers(work.high, begin + c, like))
            error = error + (rest + (load_numbers(work.low, begin + c, like) + load(work.plain, j, like)))
            store_items(out, at, c, size + 1, x + (error + log(load(work.u, j, like))))
