"""The tilt λ = start + shift with Σσ(θ + λ) within a quarter of a standard deviation of k, the two never added up.

Logits that span no more than `NARROW` are searched between the ends of their range; others from the middle of the gap
between the k-th largest and the next. A row is read from memory in every pass: nothing of its length is stored.
"""

import numpy as np

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.elementary import between, exp, highest, log, lowest, reciprocal, sqrt, total
from ksubset.backends._cpu.memory import load_items, step
from ksubset.backends._cpu.variables import chunk
from ksubset.backends._cpu.vectors import any_lane, full, where

STEPS = 60
TOLERANCE = 1 / 16  # a quarter of a standard deviation, squared
SLACK = 1e-6  # what (Σp − k)² may be whatever the standard deviation
NARROW = 40.0  # logits that span no more have all their odds in float32
FORCED = 200.0  # distance put between the order statistics when one is infinite
PROBIT = 0.39  # π/8: the mean of σ(x), x normal, is about σ(mean/√(1 + variance · π/8)) (MacKay 1992)
NEAR = 0.25  # order statistics as close as this need not be told apart


@inner
def find_tilt(source, at, n, k, like):
    """Start and shift of every lane's row, NaN where it is infeasible or holds a NaN; ``k`` a vector."""
    top, bottom, mean, square, nan = extent(source, at, n, like)
    size, half, one, span = full(like, n), full(like, 0.5), full(like, 1), top - bottom
    wide = (span > full(like, NARROW)) | (span != span) | (k < half) | (k > size - half)
    if any_lane(wide):
        upper, lower = order_statistics(source, at, n, k, like)
        start = -(upper * half + lower * half)
        low, high = -log(size + size - k - k + full(like, 2)), log(k + k + full(like, 2))
        shift = nan
    else:
        start, reach, level = -(top * half + bottom * half), span * half, log(k / (size - k))
        low, high = level - reach - one, level + reach + one
        shift = level * sqrt(one + square * full(like, PROBIT)) - (mean + start)
        shift = where(shift > low, shift, low)
        shift = where(shift < high, shift, high)
    return start, settle(source, at, n, start, k, low + nan, high + nan, shift + nan, like)


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
    for _ in range(STEPS):
        excess, spread = -k, zero
        for first in range(0, n, chunk(like)):
            part, variance = balance(source, at, first, min(first + chunk(like), n), start, shift, like)
            excess, spread = excess + part, spread + variance
        if not any_lane(excess * excess > spread * full(like, TOLERANCE) + full(like, SLACK)):
            break
        low, high = where(excess < zero, shift, low), where(excess < zero, high, shift)
        mean, rest, spread = k + excess, size - k - excess, where(spread < tiny, tiny, spread)
        mean, rest = where(mean < tiny, tiny, mean), where(rest < tiny, tiny, rest)
        guess = shift - log(mean / rest * (most / wanted)) * (mean * rest / size) / spread
        inside = (guess > low) & (guess < high)
        shift = where(inside, guess, (low + high) * full(like, 0.5))
    return shift


@inner
def balance(source, at, first, stop, start, shift, like):
    """Σp and Σpq over some items."""
    zero, one, count, excess, spread = full(like, 0), full(like, 1), full(like, 0), full(like, 0), full(like, 0)
    for i in range(first, stop, step(like)):
        t = (load_items(source, at, i, stop, full(like, -np.inf)) + start) + shift
        chosen = t > zero
        w = exp(where(chosen, -t, t))
        likely = reciprocal(one + w)
        unlikely = w * likely
        count, excess = count + where(chosen, one, zero), excess + where(chosen, -unlikely, unlikely)
        spread = spread + unlikely * likely
    return total(count) + total(excess), total(spread)


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
        low, high = where(enough, middle, low), where(enough, high, middle)
        if not any_lane(high - low > near):
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
