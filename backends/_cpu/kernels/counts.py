"""The kernel for the probabilities of all counts of independent items, row by row.

With odds w in descending order, e_c their elementary symmetric polynomials and s_c = w_1 ⋯ w_c the largest term of
e_c, the numbers f_c = e_c/s_c are the state. An item k adds w_k/w_c · f_{c−1} to f_c, where the factor is at most 1:
sums of positive numbers, which keep their relative accuracy. For items in any number

    f_c/C(c + B, B) ≤ f_{c+B} ≤ C(n − c, B) f_c,

so that a block of up to 64 counts fits the floats, whatever the logits, if it has an exponent of its own, and goes on
doing so for 64 more items, if there are up to 2²⁰. Between logits that are far apart the polynomial falls into factors.
"""

import numpy as np

from ksubset.backends._cpu.compiling import inlined, inner, kernel
from ksubset.backends._cpu.kernels.count_blocks import rescale, take_in
from ksubset.backends._cpu.kernels.count_units import FAR, SPAN, VECTORS, measure, read, turn, two_sum, workspace
from ksubset.backends._cpu.simd.elementary import log
from ksubset.backends._cpu.simd.memory import load, load_numbers, store_items
from ksubset.backends._cpu.simd.tables import table_at
from ksubset.backends._cpu.simd.vectors import full, width, zeros

APART = 75.0
"""Between factors of the polynomial: (2²⁰)² e^−75 is below rounding."""

LONGEST = 1 << 20
"""Items of a row."""

LN2, LN2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10
"""log 2 in two parts; whole numbers below 2²¹ times the first are exact."""


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
def write(out, at, begin, size, outcome, work, like):
    """The logarithms; the difference of two large terms is exact."""
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
