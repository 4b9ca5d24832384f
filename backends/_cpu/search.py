"""The tilt λ = start + shift with Σσ(θ + λ) within a quarter of a standard deviation of k, the two never added up.

Logits that span no more than `NARROW` are searched between the ends of their range; others from the middle of the gap
between the k-th largest and the next. A row is read from memory in every pass: nothing of its length is stored. What a
lane finds does not depend on the others.
"""

import numpy as np

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.elementary import between, highest, log, lowest, sqrt, total
from ksubset.backends._cpu.memory import load_items, step
from ksubset.backends._cpu.variables import Totals, row_totals
from ksubset.backends._cpu.vectors import all_lanes, any_lane, full, where

STEPS = 60
TOLERANCE = 1 / 16  # a quarter of a standard deviation, squared
SLACK = 1e-6  # what (Σp − k)² may be whatever the standard deviation
NARROW = 40.0  # logits that span no more have all their odds in float32
FORCED = 200.0  # distance put between the order statistics when one is infinite
PROBIT = 0.39  # π/8: the mean of σ(x), x normal, is about σ(mean/√(1 + variance · π/8)) (MacKay 1992)
NEAR = 0.25  # order statistics as close as this need not be told apart


@inner
def find_tilt(source, at, n, k, like):
    """Start and shift of every lane's row, NaN where infeasible or with a NaN, and its totals; ``k`` a vector."""
    top, bottom, mean, square, nan = extent(source, at, n, like)
    zero, one, two, half, size = full(like, 0), full(like, 1), full(like, 2), full(like, 0.5), full(like, n)
    reach, level = (top - bottom) * half, log(k / (size - k))
    start, low, high = -(top * half + bottom * half), level - reach - one, level + reach + one
    shift = level * sqrt(one + square * full(like, PROBIT)) - (mean + start)
    shift = where(shift > low, shift, low)
    shift = where(shift < high, shift, high)
    narrow = (reach < full(like, NARROW / 2)) & (k > half) & (k < size - half)
    if not all_lanes(narrow):
        upper, lower = order_statistics(source, at, n, k, like)
        start, shift = where(narrow, start, -(upper * half + lower * half)), where(narrow, shift, zero)
        low = where(narrow, low, -log(two * (size - k + one)))
        high = where(narrow, high, log(two * (k + one)))
    nan = nan + (start - start)
    return settle(source, at, n, start, k, low + nan, high + nan, shift + nan, like)


@inner
def extent(source, at, n, like):
    """The largest and the smallest item, about their mean and variance, and 0, or NaN where an item is NaN."""
    infinite, zero, one, size = full(like, np.inf), full(like, 0), full(like, 1), full(like, n)
    top, bottom, mean, square, bad = -infinite, infinite, zero, zero, zero
    origin = lowest(load_items(source, at, 0, n, infinite))
    for i in range(0, n, step(like)):
        y, z = load_items(source, at, i, n, -infinite), load_items(source, at, i, n, infinite)
        away = load_items(source, at, i, n, origin) - origin
        top, bottom = where(y > top, y, top), where(z < bottom, z, bottom)
        mean, square, bad = mean + away, square + away * away, bad + where(y != y, one, zero)
    bad, mean = where(total(bad) > zero, full(like, np.nan), zero), total(mean) / size
    return highest(top), lowest(bottom), origin + mean, total(square) / size - mean * mean, bad


@inner
def settle(source, at, n, start, k, low, high, shift, like):
    """The shift: Newton's method on logit(Σp/n), bisecting where it leaves the bracket.

    Σp − k is counted from the number of likely items, so that its terms are small.
    """
    zero, tiny, size = full(like, 0), full(like, 1e-30), full(like, n)
    wanted, most = k + tiny, size - k + tiny
    found = Totals(zero, zero, zero, zero)
    for turn in range(STEPS):
        found = row_totals(source, at, source, at, n, start, shift, k, like)
        gap, spread = found.gap, found.spread
        open = gap * gap > spread * full(like, TOLERANCE) + full(like, SLACK)
        if turn == STEPS - 1 or not any_lane(open):
            break
        low, high = where(gap < zero, shift, low), where(gap < zero, high, shift)
        mean, rest, variance = k + gap, size - k - gap, where(spread < tiny, tiny, spread)
        mean, rest = where(mean < tiny, tiny, mean), where(rest < tiny, tiny, rest)
        guess = shift - log(mean / rest * (most / wanted)) * (mean * rest / size) / variance
        inside = (guess > low) & (guess < high)
        shift = where(open, where(inside, guess, (low + high) * full(like, 0.5)), shift)
    return start, shift, found


@inner
def order_statistics(source, at, n, k, like):
    """About θ_(k) and θ_(k+1), made finite; NaN where a row is infeasible.

    θ_(k), the largest number that k items reach, by halving the set of floating-point numbers until it is near.
    """
    infinite, near = full(like, np.inf), full(like, NEAR)
    low, high = -infinite, infinite
    for _ in range(8 * source.itemsize):
        middle = between(low, high)
        enough = reaching(source, at, n, middle, like) >= k
        open = high - low > near
        low, high = where(open & enough, middle, low), where(open & ~enough, middle, high)
        if not any_lane(open):
            break
    upper = where(reaching(source, at, n, infinite, like) >= k, infinite, low)
    lower = where(reaching(source, at, n, upper, like) > k, upper, next_below(source, at, n, upper, like))
    return finite(upper, lower, (upper == -infinite) | (lower == infinite), like)


@inlined
def finite(upper, lower, wrong, like):
    """Two order statistics, `FORCED` apart where one is infinite."""
    infinite, gap, zero = full(like, np.inf), full(like, FORCED), full(like, 0)
    all_chosen, none_left = upper == infinite, lower == -infinite
    high = where(all_chosen, where(none_left, zero, lower + gap), upper)
    low = where(none_left, where(all_chosen, zero, upper - gap), lower)
    return where(wrong, full(like, np.nan), high), where(wrong, full(like, np.nan), low)


@inner
def reaching(source, at, n, level, like):
    """How many items of each row are at least ``level``, which is above −∞."""
    count, one, zero = full(like, 0), full(like, 1), full(like, 0)
    for i in range(0, n, step(like)):
        count = count + where(load_items(source, at, i, n, full(like, -np.inf)) >= level, one, zero)
    return total(count)


@inner
def next_below(source, at, n, level, like):
    """The largest item below ``level``, −∞ if there is none."""
    out = full(like, -np.inf)
    for i in range(0, n, step(like)):
        y = load_items(source, at, i, n, full(like, -np.inf))
        out = where((y < level) & (y > out), y, out)
    return highest(out)
