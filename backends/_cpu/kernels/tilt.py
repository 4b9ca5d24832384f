"""The tilt λ = start + shift with Σσ(θ + λ) within a quarter of a standard deviation of k, the two never added up.

Logits that span no more than `NARROW` are searched between the ends of their range; others from the middle of the gap
between the k-th largest and the next. A row is read from memory in every pass: nothing of its length is stored. The
result of a lane does not depend on the others.
"""

import numpy as np

from ksubset.backends._cpu.compiling import inlined
from ksubset.backends._cpu.kernels.team import board_of, meet, post, posted, posted_sum, section, sections
from ksubset.backends._cpu.kernels.variables import Totals, row_totals
from ksubset.backends._cpu.simd.elementary import between, highest, log, lowest, sqrt, total
from ksubset.backends._cpu.simd.memory import load_items, step
from ksubset.backends._cpu.simd.vectors import all_lanes, any_lane, full, where

STEPS = 60
TOLERANCE = 1 / 16  # a quarter of a standard deviation, squared
SLACK = 1e-6  # what (Σp − k)² may be whatever the standard deviation
NARROW = 40.0  # logits that span no more have all their odds in float32
FORCED = 200.0  # distance put between the order statistics when one is infinite
PROBIT = 0.39  # π/8: the mean of σ(x), x normal, is about σ(mean/√(1 + variance · π/8)) (MacKay 1992)
NEAR = 0.25  # order statistics as close as this need not be told apart


@inlined
def find_tilt(row, k, like):
    """Start and shift of every lane's row, NaN where infeasible or with a NaN, and its totals; ``k`` a vector."""
    top, bottom, mean, square, nan = extent(row, like)
    zero, one, two, half, size = full(like, 0), full(like, 1), full(like, 2), full(like, 0.5), full(like, row.n)
    reach, level = (top - bottom) * half, log(k / (size - k))
    start, low, high = -(top * half + bottom * half), level - reach - one, level + reach + one
    shift = level * sqrt(one + square * full(like, PROBIT)) - (mean + start)
    shift = where(shift > low, shift, low)
    shift = where(shift < high, shift, high)
    narrow = (reach < full(like, NARROW / 2)) & (k > half) & (k < size - half)
    if not all_lanes(narrow):
        upper, lower = order_statistics(row, k, like)
        start, shift = where(narrow, start, -(upper * half + lower * half)), where(narrow, shift, zero)
        low = where(narrow, low, -log(two * (size - k + one)))
        high = where(narrow, high, log(two * (k + one)))
    nan = nan + (start - start)
    return settle(row, start, k, low + nan, high + nan, shift + nan, like)


@inlined
def extent(row, like):
    """The largest and the smallest item, about their mean and variance, and 0, or NaN where an item is NaN."""
    zero, size, board = full(like, 0), full(like, row.n), board_of(row, like)
    origin = lowest(load_items(row.x, row.at, 0, row.n, full(like, np.inf)))
    s = row.team.rank
    while s < sections(row):
        post_extent(row, s, origin, board, like)
        s += row.team.size
    meet(row.team)
    top, bottom = posted(board, 0, 0, like), posted(board, 0, 1, like)
    for s in range(1, sections(row)):
        y, z = posted(board, s, 0, like), posted(board, s, 1, like)
        top, bottom = where(y > top, y, top), where(z < bottom, z, bottom)
    mean, square = total(posted_sum(board, row, 2, like)) / size, total(posted_sum(board, row, 3, like)) / size
    bad = where(total(posted_sum(board, row, 4, like)) > zero, full(like, np.nan), zero)
    return highest(top), lowest(bottom), origin + mean, square - mean * mean, bad


@inlined
def post_extent(row, s, origin, board, like):
    """The largest and the smallest item of a section, sums about ``origin``, and how many are NaN."""
    infinite, zero, one = full(like, np.inf), full(like, 0), full(like, 1)
    top, bottom, mean, square, bad = -infinite, infinite, zero, zero, zero
    first, stop = section(row, s, like)
    for i in range(first, stop, step(like)):
        y, z = load_items(row.x, row.at, i, stop, -infinite), load_items(row.x, row.at, i, stop, infinite)
        away = load_items(row.x, row.at, i, stop, origin) - origin
        top, bottom = where(y > top, y, top), where(z < bottom, z, bottom)
        mean, square, bad = mean + away, square + away * away, bad + where(y != y, one, zero)
    post(board, s, 0, top)
    post(board, s, 1, bottom)
    post(board, s, 2, mean)
    post(board, s, 3, square)
    post(board, s, 4, bad)


@inlined
def settle(row, start, k, low, high, shift, like):
    """The shift: Newton's method on logit(Σp/n), bisecting where it leaves the bracket.

    Σp − k is counted from the number of likely items, so that its terms are small.
    """
    zero, tiny, size = full(like, 0), full(like, 1e-30), full(like, row.n)
    wanted, most = k + tiny, size - k + tiny
    found = Totals(zero, zero, zero, zero)
    for turn in range(STEPS):
        found = row_totals(row, start, shift, k, like)
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


@inlined
def order_statistics(row, k, like):
    """About θ_(k) and θ_(k+1), made finite; NaN where a row is infeasible.

    θ_(k), the largest number that k items reach, by halving the set of floating-point numbers until it is near.
    """
    infinite, near = full(like, np.inf), full(like, NEAR)
    low, high = -infinite, infinite
    for _ in range(8 * row.x.itemsize):
        middle = between(low, high)
        enough = reaching(row, middle, like) >= k
        open = high - low > near
        low, high = where(open & enough, middle, low), where(open & ~enough, middle, high)
        if not any_lane(open):
            break
    upper = where(reaching(row, infinite, like) >= k, infinite, low)
    lower = where(reaching(row, upper, like) > k, upper, next_below(row, upper, like))
    return finite(upper, lower, (upper == -infinite) | (lower == infinite), like)


@inlined
def finite(upper, lower, wrong, like):
    """Two order statistics, `FORCED` apart where one is infinite."""
    infinite, gap, zero = full(like, np.inf), full(like, FORCED), full(like, 0)
    all_chosen, none_left = upper == infinite, lower == -infinite
    high = where(all_chosen, where(none_left, zero, lower + gap), upper)
    low = where(none_left, where(all_chosen, zero, upper - gap), lower)
    return where(wrong, full(like, np.nan), high), where(wrong, full(like, np.nan), low)


@inlined
def reaching(row, level, like):
    """How many items of each row are at least ``level``, which is above −∞."""
    board, one, zero = board_of(row, like), full(like, 1), full(like, 0)
    s = row.team.rank
    while s < sections(row):
        (first, stop), count = section(row, s, like), zero
        for i in range(first, stop, step(like)):
            count = count + where(load_items(row.x, row.at, i, stop, full(like, -np.inf)) >= level, one, zero)
        post(board, s, 0, count)
        s += row.team.size
    meet(row.team)
    return total(posted_sum(board, row, 0, like))


@inlined
def next_below(row, level, like):
    """The largest item below ``level``, −∞ if there is none."""
    board, least = board_of(row, like), full(like, -np.inf)
    s = row.team.rank
    while s < sections(row):
        (first, stop), out = section(row, s, like), least
        for i in range(first, stop, step(like)):
            y = load_items(row.x, row.at, i, stop, least)
            out = where((y < level) & (y > out), y, out)
        post(board, s, 0, out)
        s += row.team.size
    meet(row.team)
    out = least
    for s in range(sections(row)):
        y = posted(board, s, 0, like)
        out = where(y > out, y, out)
    return highest(out)
