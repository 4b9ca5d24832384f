"""Cardinality potentials: the tilt that serves a row's counts, and what multiplies their probabilities under it.

Under the tilt λ a count c has the weight exp(ω(c) − λ(c − target)) beside its probability. One tilt serves a row if the
counts with a weight are within reach: their probabilities are far from the smallest floats. A count out of reach may
still be too light to matter. See ``ksubset._parts``, which divides the rest among several tilts.
"""

from math import log as logarithm

import numpy as np

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.elementary import counts_from, exp, highest, log, lowest, total
from ksubset.backends._cpu.memory import item, load, load_numbers, step, store, store_numbers
from ksubset.backends._cpu.passes import clear
from ksubset.backends._cpu.rows import fill_items, padded, read_rows
from ksubset.backends._cpu.tilt import probabilities
from ksubset.backends._cpu.vectors import dual, full, number, tangent, where
from ksubset.backends._cpu.window import PAD

TURNS = 3
"""Tilts tried: each aims at the mean count that the one before found."""

REACH_SINGLE, REACH_DOUBLE = 2.0**-80, 2.0**-918
"""Probabilities from which on the error that underflow makes is below rounding: the least normal float over ε²."""

HEAVIEST_SINGLE, HEAVIEST_DOUBLE = logarithm(1e6), logarithm(1e90)
"""The log-weight, relative to the probable counts, up to which a count may be out of reach; see ``ksubset._parts``."""

EDGE = 0.25
"""How far from certainty the count stays that a tilt aims at: λ is finite, and the next count not out of reach."""


@inlined
def read_counts(source, first, rows, x, like):
    """Log-weights of the counts 0, 1, …, with −∞ after the last."""
    read_rows(source, first, rows, x, like)
    size = source.shape[1]
    fill_items(x, size, size + step(like), full(like, -np.inf))


@inner
def aim(n, high, block, omega, like):
    """Rule out the counts that infinite logits do, and choose one to tilt to: near the mean of independent items."""
    zero, one, infinite, nan = full(like, 0), full(like, 1), full(like, np.inf), full(like, np.nan)
    fill_items(block.x, n, padded(n, like), -infinite)
    probabilities(block.x, n, zero, block.p, block.q, like)
    always, never, mean = zero, zero, zero
    for i in range(0, padded(n, like), step(like)):
        x = load(block.x, i, like)
        always, never = always + where(x == infinite, one, zero), never + where(x == -infinite, one, zero)
        mean = mean + load(block.p, i, like)
    always, most, mean = total(always), full(like, padded(n, like)) - total(never), total(mean)
    first, last, wrong = full(like, n + 1), -one, zero
    for j in range(0, high + 1, step(like)):
        c, w = counts_from(j, like), load(omega, j, like)
        wrong = wrong + where(w < infinite, zero, one)
        w = where((c < always) | (c > most), -infinite, w)
        store(omega, j, w)
        wanted = w > -infinite
        first, last = where(wanted & (c < first), c, first), where(wanted & (c > last), c, last)
    first, last, edge = lowest(first), highest(last), full(like, EDGE)
    least, greatest = where(first > always, first, always + edge), where(last < most, last, most - edge)
    target = where(mean > least, mean, least)
    target = where(target < greatest, target, greatest)
    target = where(most - always < full(like, 0.5), always, target)
    sound = (first <= last) & (total(wrong) < full(like, 0.5))
    store_numbers(block.target, 0, where(sound, target, nan))
    fill_items(block.x, n, padded(n, like), item(block.x, n - 1, like))


@inlined
def limits(table, like):
    """The reach, the same as the logarithm of the greatest weight, and the weight of the heaviest count beyond it."""
    if table.itemsize == 4:
        return full(like, REACH_SINGLE), full(like, -logarithm(REACH_SINGLE)), full(like, HEAVIEST_SINGLE)
    return full(like, REACH_DOUBLE), full(like, -logarithm(REACH_DOUBLE)), full(like, HEAVIEST_DOUBLE)


@inner
def weigh(low, high, at, table, omega, weights, n, block, shift, like):
    """Relative weights of the counts ``low`` … ``high``, whose probabilities are in the table from ``at`` on.

    Returns the logarithm of what they were divided by, their total, 1 if they serve the row, else 0, and how far it is
    to the mean count, 0 where that is near enough.
    """
    zero, one, target = full(like, 0), full(like, 1), load_numbers(block.target, 0, like)
    reach, limit, heaviest = limits(table, like)
    peak, rest = full(like, -np.inf), full(like, -np.inf)
    clear(weights, 0, low, zero)
    for j in range(low, high + 1, step(like)):
        p, x = load(table, at + j, like), load(omega, j, like) - shift * (counts_from(j, like) - target)
        near, y = p >= reach, x + log(where(p >= reach, p, one))
        peak, rest = where(near & (y > peak), y, peak), where((p < reach) & (x > rest), x, rest)
        store(weights, j, x)
    peak, rest = highest(peak), highest(rest)
    mass, gap = zero, zero
    for j in range(low, high + 1, step(like)):
        x = load(weights, j, like) - peak
        w = exp(where(x < limit, x, limit))
        part = w * load(table, at + j, like)
        mass, gap = mass + part, gap + part * (counts_from(j, like) - target)
        store(weights, j, w)
    mass = total(mass)
    gap, spread = total(gap) / mass, variance(n, block, like)
    served = (rest - peak <= heaviest) & (mass > zero)
    return peak, mass, where(served, one, zero), where(gap * gap > spread + full(like, 4), gap, zero)


@inlined
def aim_again(block, gap, like):
    """Tilt to the mean next, but never quite to a count that infinite logits or none of the items make certain."""
    target = load_numbers(block.target, 0, like)
    store_numbers(block.target, 0, target + full(like, 0.9) * gap)


@inner
def variance(n, block, like):
    """Of the count of independent items under the tilt."""
    out = full(like, 0)
    for i in range(0, padded(n, like), step(like)):
        out = out + load(block.p, i, like) * load(block.q, i, like)
    return total(out)


@inner
def spread_weights(low, high, at, table, weights, mass, chances, suffix, zero):
    """Divide the weights by their total; the probabilities of the counts, and what the outside pass starts from."""
    like = number(zero)
    scale = full(like, 1) / mass
    clear(chances, 0, low, full(like, 0))
    clear(suffix, 0, high + PAD + 2 * step(like), zero)
    for j in range(low, high + 1, step(like)):
        w = load(weights, j, like) * scale
        store(weights, j, w)
        store(suffix, j, w)
        store(chances, j, w * load(table, at + j, like))


@inner
def spread_tangents(low, high, at, table, weights, u, middle, chances, suffix, none):
    """The derivative of ``suffix``, and in the place of the weights the covariance of each count with v · z + u(Σz).

    The tangents of the probabilities in the table are those along v less ``middle``, which is a part of u instead.
    """
    like = number(none)
    zero = full(like, 0)
    mean, whole = zero, zero
    for j in range(low, high + 1, step(like)):
        x = where(load(weights, j, like) > zero, load(u, j, like), zero) + middle * counts_from(j, like)
        mean = mean + load(chances, j, like) * x
        store(u, j, x)
    mean = total(mean)
    for j in range(low, high + 1, step(like)):
        x, change = load(u, j, like) - mean, tangent(load(table, at + j, none))
        moved = load(weights, j, like) * change + load(chances, j, like) * x
        whole = whole + moved
        store(suffix, j, dual(load(weights, j, like), x))
        store(u, j, moved)
    whole = total(whole)
    for j in range(low, high + 1, step(like)):
        w, x = load(weights, j, like), tangent(load(suffix, j, none))
        store(suffix, j, dual(w, w * (x - whole)))
        store(weights, j, load(u, j, like) - load(chances, j, like) * whole)
