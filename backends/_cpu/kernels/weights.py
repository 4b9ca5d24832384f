"""Cardinality potentials: the tilt that serves a row's counts, and the weights of their probabilities under it.

Under the tilt λ a count c has the weight exp(ω(c) − λ(c − target)) beside its probability. One tilt serves a row if the
counts with a weight are within reach: their probabilities are far from the smallest floats. A count out of reach may
still be too light to matter. See ``ksubset._engine.potential.parts``, which divides the rest among several tilts.
"""

from math import log as logarithm

import numpy as np

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.kernels.recursion_passes import PAD
from ksubset.backends._cpu.kernels.rows import fill_items, read_rows
from ksubset.backends._cpu.kernels.variables import variable
from ksubset.backends._cpu.simd.elementary import exp, log
from ksubset.backends._cpu.simd.memory import load, store
from ksubset.backends._cpu.simd.vectors import dual, full, number, tangent, where

TURNS = 3
"""Tilts tried: each aims at the mean count that the one before found."""

REACH_SINGLE, REACH_DOUBLE = 2.0**-80, 2.0**-918
"""The smallest probability for which the error by underflow is below rounding: the least normal float over ε²."""

HEAVIEST_SINGLE, HEAVIEST_DOUBLE = logarithm(1e6), logarithm(1e90)
"""The log-weight up to which a count may be out of reach, relative to the probable counts; see `potential.parts`."""

EDGE = 0.25
"""How far from certainty the count stays that a tilt aims at: λ is finite, and the next count not out of reach."""


@inlined
def read_counts(source, first, rows, x, like):
    """Log-weights of the counts 0, 1, …, with −∞ after the last."""
    read_rows(source, first, rows, x, like)
    size = source.pitch
    fill_items(x, size, size + PAD, full(like, -np.inf))


@inner
def aim(n, high, work, omega, like):
    """Rule out the counts that infinite logits do, and choose one to tilt to: near the mean of independent items."""
    zero, one, infinite, nan = full(like, 0), full(like, 1), full(like, np.inf), full(like, np.nan)
    always, never, mean = zero, zero, zero
    for i in range(n):
        x = load(work.x, i, like)
        always, never = always + where(x == infinite, one, zero), never + where(x == -infinite, one, zero)
        chosen, _, unlikely, _, _ = variable(x, zero, zero)
        mean = mean + where(chosen, one - unlikely, unlikely)
    most = full(like, n) - never
    first, last, wrong = full(like, n + 1), -one, zero
    for j in range(high + 1):
        c, w = full(like, j), load(omega, j, like)
        wrong = wrong + where(w < infinite, zero, one)
        w = where((c < always) | (c > most), -infinite, w)
        store(omega, j, w)
        wanted = w > -infinite
        first, last = where(wanted & (c < first), c, first), where(wanted & (c > last), c, last)
    edge = full(like, EDGE)
    least, greatest = where(first > always, first, always + edge), where(last < most, last, most - edge)
    target = where(mean > least, mean, least)
    target = where(target < greatest, target, greatest)
    target = where(most - always < full(like, 0.5), always, target)
    sound = (first <= last) & (wrong < full(like, 0.5))
    store(work.target, 0, where(sound, target, nan))


@inlined
def limits(table, like):
    """The reach, the same as the logarithm of the greatest weight, and the weight of the heaviest count beyond it."""
    if table.itemsize == 4:
        return full(like, REACH_SINGLE), full(like, -logarithm(REACH_SINGLE)), full(like, HEAVIEST_SINGLE)
    return full(like, REACH_DOUBLE), full(like, -logarithm(REACH_DOUBLE)), full(like, HEAVIEST_DOUBLE)


@inner
def weigh(low, high, at, n, work, counts, shift, start, like):
    """Relative weights of the counts ``low`` … ``high``, whose probabilities are in the table from ``at`` on.

    Returns the logarithm of the divisor, their total, 1 if they serve the row, else 0, and how far it is
    to the mean count, 0 where that is near enough.
    """
    zero, one, target = full(like, 0), full(like, 1), load(work.target, 0, like)
    reach, limit, heaviest = limits(work.table, like)
    peak, rest = full(like, -np.inf), full(like, -np.inf)
    clear(counts.weights, 0, low, zero)
    for j in range(low, high + 1):
        away = full(like, j) - target
        p, x = load(work.table, at + j, like), load(counts.omega, j, like) - (start * away + shift * away)
        near, y = p >= reach, x + log(where(p >= reach, p, one))
        peak, rest = where(near & (y > peak), y, peak), where((p < reach) & (x > rest), x, rest)
        store(counts.weights, j, x)
    mass, gap = zero, zero
    for j in range(low, high + 1):
        x = load(counts.weights, j, like) - peak
        w = exp(where(x < limit, x, limit))
        part = w * load(work.table, at + j, like)
        mass, gap = mass + part, gap + part * (full(like, j) - target)
        store(counts.weights, j, w)
    gap, spread = gap / mass, variance(n, work, like)
    served = (rest - peak <= heaviest) & (mass > zero)
    return peak, mass, where(served, one, zero), where(gap * gap > spread + full(like, 4), gap, zero)


@inlined
def aim_again(work, gap, like):
    """Tilt to the mean next, but never quite to a count that infinite logits or none of the items make certain."""
    store(work.target, 0, load(work.target, 0, like) + full(like, 0.9) * gap)


@inner
def variance(n, work, like):
    """Of the count of independent items under the tilt."""
    out = full(like, 0)
    for i in range(n):
        out = out + load(work.p, i, like) * load(work.q, i, like)
    return out


@inlined
def clear(table, start, stop, zero):
    """Put 0 into the states start … stop − 1."""
    for j in range(start, stop):
        store(table, j, zero)


@inner
def spread_weights(low, high, at, table, counts, mass, zero):
    """Divide the weights by their total; the probabilities of the counts, and the start of the outside pass."""
    like = number(zero)
    scale = full(like, 1) / mass
    clear(counts.chances, 0, low, full(like, 0))
    clear(counts.suffix, 0, high + 2 + PAD, zero)
    for j in range(low, high + 1):
        w = load(counts.weights, j, like) * scale
        store(counts.weights, j, w)
        store(counts.suffix, j, w)
        store(counts.chances, j, w * load(table, at + j, like))


@inner
def spread_tangents(low, high, at, table, counts, middle, none):
    """The derivative of ``suffix``, and in the place of the weights the covariance of each count with v · z + u(Σz).

    The tangents of the probabilities in the table are taken along v less ``middle``, which is a part of u instead.
    """
    like = number(none)
    zero = full(like, 0)
    mean, whole = zero, zero
    for j in range(low, high + 1):
        x = where(load(counts.weights, j, like) > zero, load(counts.u, j, like), zero) + middle * full(like, j)
        mean = mean + load(counts.chances, j, like) * x
        store(counts.u, j, x)
    for j in range(low, high + 1):
        x, change = load(counts.u, j, like) - mean, tangent(load(table, at + j, none))
        moved = load(counts.weights, j, like) * change + load(counts.chances, j, like) * x
        whole = whole + moved
        store(counts.suffix, j, dual(load(counts.weights, j, like), x))
        store(counts.u, j, moved)
    for j in range(low, high + 1):
        w, x = load(counts.weights, j, like), tangent(load(counts.suffix, j, none))
        store(counts.suffix, j, dual(w, w * (x - whole)))
        store(counts.weights, j, load(counts.u, j, like) - load(counts.chances, j, like) * whole)
