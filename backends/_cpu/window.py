"""The bridge window: after each block of four items, only the counts that a sum forced to end at k passes through.

Given the total, the count after some items is a bridge around m + (k − m_n) f with variance V f (1 − f), where m and v
are the prefix sums of p and pq, V the last v and f = v/V. States are kept within

    cut · sd + skew · (1 − 2 f (1 − f)) + margin

of it: near its ends the count is Poisson-like, and a plain multiple of the sd fails; Bennett's inequality gives the
second term. A window is the union over the rows of a vector and moves up by 0 to 4 counts per block.
"""

from typing import NamedTuple

import numpy as np

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.elementary import greatest, least, sqrt
from ksubset.backends._cpu.memory import item, load_numbers, put_item, step
from ksubset.backends._cpu.vectors import full, where

PAD = 4
"""A block of four items reads as many states beyond its own."""


class Rule(NamedTuple):
    """The half-width of the window."""

    cut: float
    skew: float
    margin: float


class Band(NamedTuple):
    """The window after each block: its least and its greatest count, and where in the table count 0 would be."""

    low: np.ndarray
    high: np.ndarray
    offset: np.ndarray


@inner
def windowed(high, rule):
    """Whether windows can be narrower than the counts 0 … ``high``."""
    return high > 2 * (rule.skew + rule.margin)


@inner
def place_window(p, q, blocks, low, high, target, rule, mean, spread, band, like):
    """Fill in ``band.low`` and ``band.high``; ``low`` and ``high`` bound the k of the rows."""
    for b in range(blocks + 1):
        band.low[b], band.high[b] = max(0, low - 4 * (blocks - b)), min(high, 4 * b)
    if not windowed(high, rule):
        return
    prefix_sums(p, q, blocks, mean, spread, like)
    one, zero, k = full(like, 1), full(like, 0), load_numbers(target, 0, like)
    variance = item(spread, blocks, like)
    inverse, gap = one / (variance + full(like, 1e-30)), k - item(mean, blocks, like)
    for b in range(blocks + 1):
        f = item(spread, b, like) * inverse
        g = f * (one - f)
        g = where(g > zero, g, zero)
        half = full(like, rule.cut) * sqrt(variance * g) + full(like, rule.skew) * (one - g - g)
        half = half + full(like, rule.margin)
        centre = item(mean, b, like) + gap * f
        narrow(band, b, least(clipped(centre - half, high, like)), greatest(clipped(centre + half, high, like)))
    make_monotone(band, blocks)


@inner
def prefix_sums(p, q, blocks, mean, spread, like):
    """Sums of p and of pq over the first 4b items, with compensation: float32 has few digits for a million items."""
    m, v, lost_m, lost_v = full(like, 0), full(like, 0), full(like, 0), full(like, 0)
    put_item(mean, 0, m)
    put_item(spread, 0, v)
    for b in range(blocks):
        i = 4 * b
        p0, p1, p2, p3 = item(p, i, like), item(p, i + 1, like), item(p, i + 2, like), item(p, i + 3, like)
        q0, q1, q2, q3 = item(q, i, like), item(q, i + 1, like), item(q, i + 2, like), item(q, i + 3, like)
        m, lost_m = add_exactly(m, (p0 + p1) + (p2 + p3), lost_m)
        v, lost_v = add_exactly(v, (p0 * q0 + p1 * q1) + (p2 * q2 + p3 * q3), lost_v)
        put_item(mean, b + 1, m)
        put_item(spread, b + 1, v)


@inlined
def add_exactly(x, y, lost):
    """Kahan's sum: x + y, and what rounding took from it."""
    y = y - lost
    out = x + y
    return out, (out - x) - y


@inlined
def clipped(x, high, like):
    """Bounds in 0 … ``high``, 0 in a row of NaN."""
    x = where(x > full(like, 0), x, full(like, 0))
    return where(x < full(like, high), x, full(like, high))


@inlined
def narrow(band, b, low, high):
    """Cut the window after block ``b`` down; it keeps at least one reachable count."""
    first, last = int(low), int(high)
    least_count, greatest_count = band.low[b], band.high[b]
    band.low[b] = max(least_count, min(first, greatest_count))
    band.high[b] = min(greatest_count, max(last, least_count))


@inner
def make_monotone(band, blocks):
    """Widen windows until both ends climb by 0 to 4 per block."""
    for b in range(blocks - 1, -1, -1):
        band.low[b] = min(band.low[b], band.low[b + 1])
    for b in range(blocks):
        band.low[b + 1] = min(band.low[b + 1], band.low[b] + 4)
        band.high[b + 1] = max(band.high[b + 1], band.high[b])
    for b in range(blocks - 1, -1, -1):
        band.high[b] = max(band.high[b], band.high[b + 1] - 4)


@inlined
def end_of(band, b, like):
    """One more than the last state after block ``b`` that whole vectors reach."""
    size = step(like)
    return band.low[b] + (band.high[b] - band.low[b] + size) // size * size


@inlined
def gap(like):
    """States of 0 between two windows in a table."""
    return PAD + step(like)


@inner
def lay_out(band, start, stop, like):
    """Lay the windows after blocks start … stop out one after another; returns the size in states."""
    at = gap(like)
    for b in range(start, stop + 1):
        band.offset[b] = at - band.low[b]
        at += end_of(band, b, like) - band.low[b] + gap(like)
    return at
