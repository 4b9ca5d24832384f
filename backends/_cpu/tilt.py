"""The tilt: λ with Σσ(θ + λ) within a quarter of a standard deviation of k, and the probabilities under it."""

import numpy as np

from ksubset.backends._cpu.compiling import inner
from ksubset.backends._cpu.elementary import between, exp, highest, log, lowest, reciprocal, total
from ksubset.backends._cpu.memory import load, load_numbers, step, store
from ksubset.backends._cpu.rows import fill_items, padded
from ksubset.backends._cpu.vectors import any_lane, full, where

STEPS = 40
TOLERANCE = 1 / 16  # a quarter of a standard deviation, squared
SLACK = 0.01  # what |Σp − k|² may be whatever the standard deviation
RANGE = 40.0  # logits that span no more have all their odds in float32
FAR = 50.0  # where the search stops telling logits apart
FORCED = 200.0  # distance put between the order statistics when one is infinite


@inner
def tilt(x, n, target, odds, like):
    """λ of every row, NaN where a row is infeasible or holds a NaN; fills up the items of ``x`` with −∞."""
    zero, size, k = full(like, 0), full(like, n), load_numbers(target, 0, like)
    top, bottom, mean = extent(x, n, like)
    fill_items(x, n, padded(n, like), full(like, -np.inf))
    if any_lane(top - bottom > full(like, RANGE)) or any_lane(k < full(like, 0.5)):
        upper, lower = order_statistics(x, n, k, bits(x), like)
        start = -(upper * full(like, 0.5) + lower * full(like, 0.5))
        low, high = -log(size + size - k - k + full(like, 2)), log(k + k + full(like, 2))
    else:
        level = log(k / (size - k))
        start = level - mean
        low, high = mean - top, mean - bottom
    for i in range(0, padded(n, like), step(like)):
        y = load(x, i, like) + start
        y = where(y < full(like, -FAR), full(like, -FAR), where(y > full(like, FAR), full(like, FAR), y))
        store(odds, i, exp(y))
    fill_items(odds, n, padded(n, like), zero)
    return start + settle(odds, n, k, size, low, high, like)


@inner
def bits(x):
    """How often the range of floats can be halved."""
    return 8 * x.itemsize


@inner
def extent(x, n, like):
    """The largest and the smallest item and their mean."""
    top, bottom, mean = full(like, -np.inf), full(like, np.inf), full(like, 0)
    for i in range(0, n, step(like)):
        y = load(x, i, like)
        top, bottom, mean = where(y > top, y, top), where(y < bottom, y, bottom), mean + y
    count = full(like, (n + step(like) - 1) // step(like) * step(like))
    return highest(top), lowest(bottom), total(mean) / count


@inner
def settle(odds, n, k, size, low, high, like):
    """The common factor e^shift of the odds: Newton's method on logit(Σp/n), bisecting where it leaves the bracket."""
    one, tiny, shift = full(like, 1), full(like, 1e-30), full(like, 0)
    wanted = k + tiny
    for _ in range(STEPS):
        scale, mean, spread = exp(shift), full(like, 0), full(like, 0)
        for i in range(0, padded(n, like), step(like)):
            y = load(odds, i, like) * scale
            q = reciprocal(one + y)
            p = y * q
            mean, spread = mean + p, spread + p * q
        mean, spread = total(mean), total(spread)
        excess = mean - k
        if not any_lane(excess * excess > spread * full(like, TOLERANCE) + full(like, SLACK)):
            break
        low, high = where(excess < full(like, 0), shift, low), where(excess < full(like, 0), high, shift)
        rest, mean, spread = size - mean, where(mean < tiny, tiny, mean), where(spread < tiny, tiny, spread)
        rest = where(rest < tiny, tiny, rest)
        guess = shift - log(mean / rest * ((size - k) / wanted)) * (mean * rest / size) / spread
        inside = (guess > low) & (guess < high)
        shift = where(inside, guess, (low + high) * full(like, 0.5))
    return shift


@inner
def order_statistics(x, n, k, halvings, like):
    """θ_(k) and θ_(k+1) made finite; NaN where a row is infeasible or holds a NaN.

    θ_(k), the largest number that k items reach, by halving the set of floating-point numbers.
    """
    infinite = full(like, np.inf)
    low, high = -infinite, infinite
    for _ in range(halvings):
        middle = between(low, high)
        enough = reaching(x, n, middle, like) >= k
        low, high = where(enough, middle, low), where(enough, high, middle)
    upper = where(reaching(x, n, infinite, like) >= k, infinite, low)
    lower = where(reaching(x, n, upper, like) > k, upper, next_below(x, n, upper, like))
    wrong = (upper == -infinite) | (lower == infinite) | has_nan(x, n, like)
    return finite(upper, lower, wrong, like)


@inner
def finite(upper, lower, wrong, like):
    """Two order statistics, `FORCED` apart where one is infinite."""
    infinite, gap, zero = full(like, np.inf), full(like, FORCED), full(like, 0)
    all_chosen, none_left = upper == infinite, lower == -infinite
    high = where(all_chosen, where(none_left, zero, lower + gap), upper)
    low = where(none_left, where(all_chosen, zero, upper - gap), lower)
    return where(wrong, full(like, np.nan), high), where(wrong, full(like, np.nan), low)


@inner
def reaching(x, n, level, like):
    """How many items of each row are at least ``level``, which is above −∞."""
    count, one, zero = full(like, 0), full(like, 1), full(like, 0)
    for i in range(0, padded(n, like), step(like)):
        count = count + where(load(x, i, like) >= level, one, zero)
    return total(count)


@inner
def next_below(x, n, level, like):
    """The largest item below ``level``, −∞ if there is none."""
    out = full(like, -np.inf)
    for i in range(0, padded(n, like), step(like)):
        y = load(x, i, like)
        out = where((y < level) & (y > out), y, out)
    return highest(out)


@inner
def has_nan(x, n, like):
    """Whether a row holds a NaN."""
    count = full(like, 0)
    for i in range(0, padded(n, like), step(like)):
        y = load(x, i, like)
        count = count + where(y != y, full(like, 1), full(like, 0))
    return total(count) > full(like, 0)


@inner
def probabilities(x, n, shift, p, q, like):
    """p = σ(θ + λ) and q = σ(−θ − λ), both with relative accuracy, exactly 0 and 1 at infinite logits."""
    one, zero = full(like, 1), full(like, 0)
    for i in range(0, padded(n, like), step(like)):
        t = load(x, i, like) + shift
        positive = t > zero
        e = exp(where(positive, -t, t))
        likely = reciprocal(one + e)
        store(p, i, where(positive, likely, e * likely))
        store(q, i, where(positive, e * likely, likely))
