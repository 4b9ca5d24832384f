"""The kernel for the probabilities of all counts of independent items, row by row.

With odds w in descending order, e_c their elementary symmetric polynomials and s_c = w_1 ⋯ w_c the largest term of
e_c, the numbers f_c = e_c/s_c are the state. An item k adds w_k/w_c · f_{c−1} to f_c, of which the factor is at most 1:
sums of positive numbers, which keep their relative accuracy. For items in any number

    f_c/C(c + B, B) ≤ f_{c+B} ≤ C(n − c, B) f_c,

so that a block of up to 64 counts fits the floats, whatever the logits, if it has an exponent of its own, and goes on
doing so for 64 more items, if there are up to 2²⁰. Rows whose logits are so far apart that w_k/w_c does not fit are left to the core.
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
"""Between the largest and the smallest logit of a row: e^680 fits with room for the products."""

SIMILAR, SHORT = 4.0, 1 << 17
"""Logits of a block are replaced by their mean if they are no further apart, in rows of so many items at most."""

LONGEST, FAR = 1 << 20, 1e300
"""Items of a row at most; and a logit of items that are not there, whose inverse odds are 0."""

LN2, LN2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10
"""log 2 in two parts; whole numbers below 2²¹ times the first are exact."""


class Work(NamedTuple):
    """Scratch memory of a row.

    Logits in descending order and their odds; inverse odds, f, and the sums of logits in two parts, by counts; a vector
    with the exponent of each block; of each item of a group the last counts of a block before it is taken in.
    """

    x: Any
    w: Any
    u: Any
    f: Any
    high: Any
    low: Any
    exponents: Any
    carry: Any


@inlined
def workspace(at, n, like):
    """Cut it from scratch memory."""
    size = padded(n, like)
    x, w, u, f, high, low, exponents, carry = (
        table_at(at, 0, like),
        table_at(at + 8 * size, 0, like),
        table_at(at + 16 * size, 0, like),
        table_at(at + 24 * size, 0, like),
        table_at(at + 32 * size, 0, like),
        table_at(at + 40 * size, 0, like),
        table_at(at + 48 * size, 0, like),
        table_at(at + 56 * size, 0, like),
    )
    return Work(x, w, u, f, high, low, exponents, carry)


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
        size = last - first
        if bad:
            continue
        if size and not serves(theta[first], theta[last - 1]):
            served[row] = 0
            continue
        outcome = read(theta, first, size, work, zero)
        take_in(size, work, zero)
        write(out, at + row * n + n - last, size, outcome, work, zero)


@inlined
def serves(least, most):
    """Whether ratios of odds and sums of logits are floats."""
    return most - least <= SPAN and max(-least, most) <= FAR / LONGEST


@inner
def read(theta, first, size, work, like):
    """Everything about the items; returns Σ log(1 + e^−|θ|) in two parts."""
    lanes, shift = width(like), 0.0
    for j in range(size):
        work.x[j] = theta[first + size - 1 - j]
    for j in range(size, size + lanes):
        work.x[j] = FAR
    if size and max(abs(work.x[0]), abs(work.x[size - 1])) > SPAN / 2:
        shift = -0.5 * work.x[0] - 0.5 * work.x[size - 1]
    outcome, rest = full(like, 0), full(like, 0)
    for j in range(0, size, lanes):
        x = load_numbers(work.x, j, like)
        t, error = two_sum(x, full(like, shift))
        w = exp(t)
        store_numbers(work.w, j, plus(w, w, error))
        outcome, error = two_sum(outcome, log_of_more(exp(where(x < full(like, 0), x, -x))))
        rest = rest + error
    for j in range(size, size + GROUP):
        work.w[j] = 0.0
    measure(size, full(like, shift), work)
    return total_of(outcome, rest, work)


@inner
def measure(size, shift, work):
    """Choose what the terms of each count are measured by: the largest, or one power in a block of similar logits."""
    lanes = width(shift)
    block = VECTORS * lanes
    for b in range(size // block + 1):
        set_references(b * block, block, size, work)
        for c in range(b * block, (b + 1) * block, lanes):
            t, error = two_sum(load_numbers(work.low, c, shift), shift)
            u = exp(-t)
            store_numbers(work.high, c, plus(u, -u, error))
        turn(work.high, work.u, b, VECTORS, lanes)
    sum_references(size, work)


@inner
def sum_references(size, work):
    """The logarithm of what each count is measured by, less that of the likeliest outcome, in two parts.

    Sums of logits have one sign from the number of positive ones on. What the means differ by is in the second part.
    """
    work.low[0], gap, rest, center = 0.0, 0.0, 0.0, 0
    for c in range(1, size + 1):
        center += work.x[c - 1] > 0
        gap, error = two_sum(gap, work.low[c] - work.x[c - 1])
        rest += error
        work.low[c] = gap + rest
    work.high[center], rest = 0.0, 0.0
    for c in range(center + 1, size + 1):
        work.high[c], error = two_sum(work.high[c - 1], work.x[c - 1])
        rest += error
        work.low[c] += rest
    rest = 0.0
    for c in range(center - 1, -1, -1):
        work.high[c], error = two_sum(work.high[c + 1], -work.x[c])
        rest += error
        work.low[c] += rest


@inlined
def set_references(first, block, size, work):
    """The logit by which each count of a block is measured: that of its own item, or for all counts their mean."""
    begin, stop = max(first, 1), first + block
    for c in range(first, stop):
        work.low[c] = work.x[max(c, 1) - 1] if c <= size else FAR
    if stop <= size + 1 and size <= SHORT and work.low[begin] - work.low[stop - 1] <= SIMILAR:
        mean = 0.0
        for c in range(begin, stop):
            mean += work.low[c] - work.low[begin]
        mean = work.low[begin] + mean / (stop - begin)
        for c in range(first, stop):
            work.low[c] = mean


@inner
def turn(source, target, b, columns, rows):
    """Transpose the numbers of a block: count ``columns`` · i + j of it is number ``rows`` · j + i, lane i of vector j."""
    at = b * columns * rows
    for i in range(rows):
        for j in range(columns):
            target[at + j * rows + i] = source[at + i * columns + j]


@inlined
def total_of(high, low, work):
    """The sum of all lanes of numbers in two parts."""
    store(work.carry, 0, high)
    store(work.carry, 1, low)
    top, rest = 0.0, 0.0
    for i in range(width(high)):
        top, error = two_sum(top, work.carry[i])
        rest += error + work.carry[width(high) + i]
    return top, rest


@inner
def take_in(size, work, like):
    """f of all items."""
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
def write(out, at, size, outcome, work, like):
    """The logarithms; what two large terms leave of each other is exact."""
    for b in range(size // (VECTORS * width(like)) + 1):
        rescale(b, work, like)
        e = load(work.exponents, b, like)
        turn(work.f, work.u, b, width(like), VECTORS)
        scale, rest = two_sum(e * full(like, LN2), full(like, -outcome[0]))
        rest = rest + (e * full(like, LN2_LOW) - full(like, outcome[1]))
        for j in range(b * VECTORS, (b + 1) * VECTORS):
            c = j * width(like)
            x, error = two_sum(scale, load(work.high, j, like))
            error = error + (rest + load(work.low, j, like))
            store_items(out, at, c, size + 1, x + (error + log(load(work.u, j, like))))
