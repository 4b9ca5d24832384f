"""The kernels of the recursion that Python calls, on the rows start … stop − 1: for rows that choose few items.

Lanes are rows. Inputs and results are the same as in ``moments`` and ``sampling``; ``most`` bounds min(k, n − k). A row
that chooses more than half of its items becomes the row of the negated logits, which chooses the other items.
"""

from typing import Any, NamedTuple

from numba import int64

from ksubset.backends._cpu.compiling import inlined, inner, kernel
from ksubset.backends._cpu.kernels.indices import write_indices_of_lanes
from ksubset.backends._cpu.kernels.recursion_draw import draw
from ksubset.backends._cpu.kernels.recursion_passes import (
    inside,
    outside,
    seed_suffix,
    seed_suffix_tangents,
    stride,
    table_size,
)
from ksubset.backends._cpu.kernels.rows import (
    carve,
    fill_items,
    lanes_of,
    orient,
    padded,
    put_lanes,
    read_rows,
    room,
    write_rows,
)
from ksubset.backends._cpu.kernels.team import alone
from ksubset.backends._cpu.kernels.tilt import find_tilt
from ksubset.backends._cpu.kernels.uniforms import seed_streams, seed_streams_of_keys
from ksubset.backends._cpu.kernels.variables import pushed, variable
from ksubset.backends._cpu.simd.memory import load, store
from ksubset.backends._cpu.simd.subnormal import flush_subnormals, restore_mode
from ksubset.backends._cpu.simd.tables import table_at
from ksubset.backends._cpu.simd.vectors import any_lane, dual, full, planes, tangent, where, width, zeros


class Work(NamedTuple):
    """Scratch memory: the items of a vector of rows, both their sides, the table of states."""

    x: Any
    p: Any
    q: Any
    chosen: Any
    unchosen: Any
    target: Any
    sign: Any
    level: Any
    suffix: Any
    table: Any
    board: Any


@inlined
def workspace(at, count, n, most, like):
    """Cut the scratch memory up; ``count`` planes for the tables that have derivatives."""
    size, lanes = room(n, like), width(like)
    x, at = carve(at, 1, size, like)
    p, at = carve(at, count, size, like)
    q, at = carve(at, count, size, like)
    chosen, at = carve(at, count, size, like)
    unchosen, at = carve(at, count, size, like)
    target, at = carve(at, 1, lanes, like)
    sign, at = carve(at, 1, lanes, like)
    level, at = carve(at, 1, 4 * lanes, like)
    suffix, at = carve(at, count, stride(most) * lanes, like)
    table, at = carve(at, count, table_size(n, most) * lanes, like)
    return Work(x, p, q, chosen, unchosen, target, sign, level, suffix, table, at)


@inner
def read(theta, first, rows, n, k, same, work, like):
    """Bring rows into lanes and negate those that stand for their complement; the largest count, whether any does."""
    high, flipped = orient(k, same, first, rows, n, work.target, work.sign, like)
    read_rows(theta, first, rows, work.x, like)
    if flipped:
        sign = load(work.sign, 0, like)
        for i in range(n):
            store(work.x, i, load(work.x, i, like) * sign)
    return high, flipped


@inlined
def put_shifts(start, shift, work, shifts, first, rows):
    """λ of the rows as they were given."""
    sign = load(work.sign, 0, start)
    put_lanes(start * sign, work.level, shifts, 0, first, rows)
    put_lanes(shift * sign, work.level, shifts, 1, first, rows)


@inlined
def tilt(n, known, shifts, work, first, rows, like):
    """λ of the rows as they are in lanes, the negative ones turned round."""
    sign = load(work.sign, 0, like)
    if known:
        start = lanes_of(shifts, 0, first, rows, work.level, like) * sign
        return start, lanes_of(shifts, 1, first, rows, work.level, like) * sign
    start, shift, _ = find_tilt(alone(work.x, n, work.board), load(work.target, 0, like) * sign * sign, like)
    return start, shift


@inner
def probabilities(n, start, shift, work, like):
    """p and q of every item; items that fill up the last block are never chosen."""
    for i in range(n):
        chosen, _, unlikely, _, _ = variable(load(work.x, i, like), start, shift)
        likely = full(like, 1) - unlikely
        store(work.p, i, where(chosen, likely, unlikely))
        store(work.q, i, where(chosen, unlikely, likely))
    fill_items(work.p, n, padded(n), full(like, 0))
    fill_items(work.q, n, padded(n), full(like, 1))


@kernel
def solve(theta, k, same, n, most, count, begin, stop, shifts, mu, rest, scratch, end, layout):
    """On request λ as start and shift, and the marginals."""
    mode, zero = flush_subnormals(), zeros(layout)
    theta, k, known = table_at(theta, n, zero), table_at(k, 0, int64(0)), table_at(shifts, count, zero)
    work, blocks = workspace(scratch, 1, n, most, zero), (n + 3) // 4
    for first in range(begin, stop, width(zero)):
        rows = min(width(zero), stop - first)
        high, flipped = read(theta, first, rows, n, k, same, work, zero)
        start, shift = tilt(n, False, known, work, first, rows, zero)
        if shifts:
            put_shifts(start, shift, work, known, first, rows)
        if mu | rest:
            probabilities(n, start, shift, work, zero)
            inside(work.p, work.q, blocks, high, work.table, zero, full(zero, 1))
            seed_suffix(work.table, blocks, high, work.target, work.suffix, zero)
            outside(work.p, work.q, blocks, high, work.table, work.suffix, work.chosen, work.unchosen, zero)
            settle(n, start, work)
        if mu:
            write_side(work.chosen, work.unchosen, n, work, flipped, table_at(mu, n, zero), first, rows, zero)
        if rest:
            write_side(work.unchosen, work.chosen, n, work, flipped, table_at(rest, n, zero), first, rows, zero)
    restore_mode(mode)


@inner
def settle(n, start, work):
    """Take off what both sides of an item drifted by together; exactly 0 and 1 where one side has no probability.

    Hundreds of roundings change prefix and suffix by a factor that μ and 1 − μ share, and their sum shows it.
    """
    zero, nan = full(start, 0), start - start
    for i in range(n):
        p, q, m, rest = (
            load(work.p, i, start),
            load(work.q, i, start),
            load(work.chosen, i, start),
            load(work.unchosen, i, start),
        )
        forced, scale = (p == zero) | (q == zero), full(start, 1) / (m + rest)
        store(work.chosen, i, where(forced, p, m * scale) + nan)
        store(work.unchosen, i, where(forced, q, rest * scale) + nan)


@inner
def write_side(side, other, n, work, flipped, out, first, rows, like):
    """One of the marginals; the other one where a row stands for its complement."""
    if flipped:
        negative = load(work.sign, 0, like) < full(like, 0)
        for i in range(n):
            store(work.p, i, where(negative, load(other, i, like), load(side, i, like)))
        write_rows(work.p, rows, out, first, like)
    else:
        write_rows(side, rows, out, first, like)


@kernel
def jacobian_product(theta, k, same, n, most, count, begin, stop, shifts, v, out, scratch, end, layout):
    """J · v by tangents through both passes, read from the less likely side of each item; ``shifts`` may be 0."""
    mode, zero = flush_subnormals(), zeros(layout)
    theta, k, v, out = table_at(theta, n, zero), table_at(k, 0, int64(0)), table_at(v, n, zero), table_at(out, n, zero)
    none, one, blocks = dual(zero, zero), dual(full(zero, 1), zero), (n + 3) // 4
    work, known = workspace(scratch, planes(none), n, most, zero), table_at(shifts, count, zero)
    for first in range(begin, stop, width(zero)):
        rows = min(width(zero), stop - first)
        high, _ = read(theta, first, rows, n, k, same, work, zero)
        start, shift = tilt(n, shifts != 0, known, work, first, rows, zero)
        probabilities(n, start, shift, work, zero)
        read_rows(v, first, rows, work.chosen, zero)
        push(n, work, zero, none)
        inside(work.p, work.q, blocks, high, work.table, none, one)
        seed_suffix(work.table, blocks, high, work.target, work.suffix, none)
        seed_suffix_tangents(work.table, blocks, high, work.target, work.suffix, none)
        outside(work.p, work.q, blocks, high, work.table, work.suffix, work.chosen, work.unchosen, none)
        for i in range(n):
            rise, fall = tangent(load(work.chosen, i, none)), tangent(load(work.unchosen, i, none))
            store(work.x, i, where(load(work.q, i, zero) < load(work.p, i, zero), -fall, rise))
        write_rows(work.x, rows, out, first, zero)
    restore_mode(mode)


@inner
def push(n, work, like, none):
    """Tangents ±pq (v − mean) beside p and q, the mean weighted by pq, which is returned; v is in work.chosen."""
    zero, tiny, weights, weighted = full(like, 0), full(like, 1e-37), full(like, 0), full(like, 0)
    for i in range(n):
        weight = load(work.p, i, like) * load(work.q, i, like)
        weighted = weighted + weight * where(weight > zero, load(work.chosen, i, like), zero)
        weights = weights + weight
    mean = weighted / where(weights < tiny, tiny, weights)
    for i in range(n):
        p, q = load(work.p, i, like), load(work.q, i, like)
        change = pushed(load(work.chosen, i, like), p * q, mean)
        store(work.p, i, dual(p, change))
        store(work.q, i, dual(q, -change))
    fill_items(work.p, n, padded(n), none)
    fill_items(work.q, n, padded(n), dual(full(like, 1), zero))
    return mean


@kernel
def sample(theta, k, same, n, most, count, begin, stop, shifts, seed, share, draws, places, out, scratch, end, layout):
    """λ, and subsets: draw d of row r is row d · count + r of ``out``, its indices if there are ``places`` for them.

    With a ``share`` a row is drawn once, and ``seed`` is the address of seeds, one for each share of the rows.
    """
    mode, zero = flush_subnormals(), zeros(layout)
    theta, k, shifts = table_at(theta, n, zero), table_at(k, 0, int64(0)), table_at(shifts, count, zero)
    blocks, lanes, items, indices = (n + 3) // 4, width(zero), table_at(out, n, zero), table_at(out, places, int64(0))
    ends, at = carve(scratch, 1, lanes, int64(0))
    work = workspace(at, 1, n, most, zero)
    for first in range(begin, stop, lanes):
        rows = min(lanes, stop - first)
        high, flipped = read(theta, first, rows, n, k, same, work, zero)
        start, shift = tilt(n, False, shifts, work, first, rows, zero)
        put_shifts(start, shift, work, shifts, first, rows)
        probabilities(n, start, shift, work, zero)
        inside(work.p, work.q, blocks, high, work.table, zero, full(zero, 1))
        odd = flipped or any_lane(shift != shift)
        for d in range(draws):
            if share:
                seed_streams_of_keys(table_at(seed, 0, int64(0)), share, first, rows, work.level, zero)
            else:
                seed_streams(seed, d * count + first, work.level)
            draw(work.p, work.q, n, high, work.table, load(work.target, 0, zero), work.level, work.chosen, zero)
            if odd:
                restore_side(work.chosen, n, shift, load(work.sign, 0, zero))
            if places > 0:
                write_indices_of_lanes(work.chosen, n, rows, indices, d * count + first, ends, 1, zero)
            else:
                write_rows(work.chosen, rows, items, d * count + first, zero)
    restore_mode(mode)


@inner
def restore_side(z, n, shift, sign):
    """1 − z where a row stands for its complement, NaN where it is infeasible."""
    base = (full(sign, 1) - sign) * full(sign, 0.5) + (shift - shift)
    for i in range(n):
        store(z, i, base + sign * load(z, i, sign))
