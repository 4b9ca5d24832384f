"""The kernels of the recursion that Python calls, on the rows start … stop − 1: for rows that choose few items.

Lanes are rows. Inputs and results are those of ``moments`` and ``sampling``. A row that chooses more than half of its
items is the row of the negated logits that chooses the others.
"""

from typing import NamedTuple

import numpy as np

from ksubset.backends._cpu.compiling import inlined, inner, kernel
from ksubset.backends._cpu.draw import draw
from ksubset.backends._cpu.memory import load, load_numbers, store, store_numbers
from ksubset.backends._cpu.passes import inside, outside, seed_suffix, seed_suffix_tangents, stride, table_size
from ksubset.backends._cpu.rows import carve, fill_items, matrix, orient, padded, read_rows, room, write_rows
from ksubset.backends._cpu.search import find_tilt
from ksubset.backends._cpu.subnormal import flush_subnormals, restore_mode
from ksubset.backends._cpu.uniforms import seed_streams
from ksubset.backends._cpu.variables import variable
from ksubset.backends._cpu.vectors import any_lane, dual, full, planes, tangent, where, width, zeros


class Work(NamedTuple):
    """Scratch memory: the items of a vector of rows, both their sides, the table of states."""

    x: np.ndarray
    p: np.ndarray
    q: np.ndarray
    chosen: np.ndarray
    unchosen: np.ndarray
    target: np.ndarray
    sign: np.ndarray
    level: np.ndarray
    suffix: np.ndarray
    table: np.ndarray


@inner
def workspace(at, count, n, most, layout, like):
    """Cut the scratch memory up; ``count`` planes for what has derivatives."""
    size, lanes = room(n, like), width(like)
    x, at = carve(at, 1, size, layout)
    p, at = carve(at, count, size, layout)
    q, at = carve(at, count, size, layout)
    chosen, at = carve(at, count, size, layout)
    unchosen, at = carve(at, count, size, layout)
    target, at = carve(at, 1, lanes, layout)
    sign, at = carve(at, 1, lanes, layout)
    level, at = carve(at, 1, 4 * lanes, layout)
    suffix, at = carve(at, count, stride(most) * lanes, layout)
    table, at = carve(at, count, table_size(n, most) * lanes, layout)
    return Work(x, p, q, chosen, unchosen, target, sign, level, suffix, table)


@inner
def read(theta, first, rows, n, k, same, work, like):
    """Bring rows into lanes and negate those that stand for their complement; the largest count, whether any does."""
    high, flipped = orient(k, same, first, rows, n, work.target, work.sign, like)
    read_rows(theta, first, rows, work.x, like)
    if flipped:
        sign = load_numbers(work.sign, 0, like)
        for i in range(n):
            store(work.x, i, load(work.x, i, like) * sign)
    return high, flipped


@inner
def put_shifts(start, shift, work, shifts, first, rows):
    """λ of the rows as they were given."""
    sign = load_numbers(work.sign, 0, start)
    store_numbers(work.level, 0, start * sign)
    for r in range(rows):
        shifts[0, first + r] = work.level[0, r]
    store_numbers(work.level, 0, shift * sign)
    for r in range(rows):
        shifts[1, first + r] = work.level[0, r]


@inner
def get_shift(kind, work, shifts, first, rows, like):
    """A part of λ of the rows as they are in lanes."""
    for r in range(width(like)):
        work.level[0, r] = shifts[kind, first + min(r, rows - 1)]
    return load_numbers(work.level, 0, like) * load_numbers(work.sign, 0, like)


@inner
def probabilities(n, start, shift, work, like):
    """p and q of every item; those that fill up the last block are never chosen."""
    for i in range(n):
        chosen, _, unlikely, _, _ = variable(load(work.x, i, like), start, shift)
        likely = full(like, 1) - unlikely
        store(work.p, i, where(chosen, likely, unlikely))
        store(work.q, i, where(chosen, unlikely, likely))
    fill_items(work.p, n, padded(n, like), full(like, 0))
    fill_items(work.q, n, padded(n, like), full(like, 1))


@kernel
def solve(theta_at, k_at, same, n, most, count, begin, stop, shifts, mu, rest, scratch, end, layout):
    """λ as start and shift, and on request the marginals."""
    mode, zero = flush_subnormals(), zeros(layout)
    theta, k = matrix(theta_at, count, n, layout), matrix(k_at, 1, count, begin)
    work, blocks = workspace(scratch, 1, n, most, layout, zero), (n + 3) // 4
    for first in range(begin, stop, width(zero)):
        rows = min(width(zero), stop - first)
        high, flipped = read(theta, first, rows, n, k, same, work, zero)
        start, shift = find_tilt(work.x, 0, n, lanes_of_target(work, zero), zero)
        put_shifts(start, shift, work, shifts, first, rows)
        if mu.size + rest.size > 0:
            probabilities(n, start, shift, work, zero)
            inside(work.p, work.q, blocks, high, work.table, zero, full(zero, 1))
            seed_suffix(work.table, blocks, high, work.target, work.level, work.suffix, zero)
            outside(work.p, work.q, blocks, high, work.table, work.suffix, work.chosen, work.unchosen, zero)
            settle(n, start, work)
        if mu.size:
            write_side(work.chosen, work.unchosen, n, work, flipped, mu, first, rows, zero)
        if rest.size:
            write_side(work.unchosen, work.chosen, n, work, flipped, rest, first, rows, zero)
    restore_mode(mode)


@inlined
def lanes_of_target(work, like):
    """The counts of the rows, NaN where they are out of range."""
    return load_numbers(work.target, 0, like) * load_numbers(work.sign, 0, like) * load_numbers(work.sign, 0, like)


@inner
def settle(n, start, work):
    """Take off what both sides of an item drifted by together; exactly 0 and 1 where one side has no probability.

    Hundreds of roundings change prefix and suffix by a factor that μ and 1 − μ share, and their sum shows it.
    """
    zero, nan = full(start, 0), start - start
    for i in range(n):
        p, q, m, rest = load(work.p, i, start), load(work.q, i, start), load(work.chosen, i, start), load(work.unchosen, i, start)
        forced, scale = (p == zero) | (q == zero), full(start, 1) / (m + rest)
        store(work.chosen, i, where(forced, p, m * scale) + nan)
        store(work.unchosen, i, where(forced, q, rest * scale) + nan)


@inner
def write_side(side, other, n, work, flipped, out, first, rows, like):
    """One of the marginals; the other one where a row stands for its complement."""
    if flipped:
        negative = load_numbers(work.sign, 0, like) < full(like, 0)
        for i in range(n):
            store(work.p, i, where(negative, load(other, i, like), load(side, i, like)))
        write_rows(work.p, width(like), rows, out, first, 1)
    else:
        write_rows(side, width(like), rows, out, first, 1)


@kernel
def jacobian_product(theta_at, k_at, same, n, most, count, begin, stop, shifts, v_at, out, scratch, end, layout):
    """J · v by tangents through both passes, read from the less likely side of each item."""
    mode, zero = flush_subnormals(), zeros(layout)
    theta, k, v = matrix(theta_at, count, n, layout), matrix(k_at, 1, count, begin), matrix(v_at, count, n, layout)
    none, one, blocks = dual(zero, zero), dual(full(zero, 1), zero), (n + 3) // 4
    work = workspace(scratch, planes(none), n, most, layout, zero)
    for first in range(begin, stop, width(zero)):
        rows = min(width(zero), stop - first)
        high, _ = read(theta, first, rows, n, k, same, work, zero)
        if shifts.size:
            start = get_shift(0, work, shifts, first, rows, zero)
            shift = get_shift(1, work, shifts, first, rows, zero)
        else:
            start, shift = find_tilt(work.x, 0, n, lanes_of_target(work, zero), zero)
        probabilities(n, start, shift, work, zero)
        read_rows(v, first, rows, work.chosen, zero)
        push(n, work, zero, none)
        inside(work.p, work.q, blocks, high, work.table, none, one)
        seed_suffix(work.table, blocks, high, work.target, work.level, work.suffix, none)
        seed_suffix_tangents(work.table, blocks, high, work.target, work.suffix, none)
        outside(work.p, work.q, blocks, high, work.table, work.suffix, work.chosen, work.unchosen, none)
        for i in range(n):
            rise, fall = tangent(load(work.chosen, i, none)), tangent(load(work.unchosen, i, none))
            store(work.x, i, where(load(work.q, i, zero) < load(work.p, i, zero), -fall, rise))
        write_rows(work.x, width(zero), rows, out, first, 1)
    restore_mode(mode)


@inner
def push(n, work, like, none):
    """Tangents ±pq (v − mean) beside p and q, the mean weighted by pq, which is returned; v is in work.chosen."""
    weights, weighted, half = full(like, 0), full(like, 0), full(like, 0.5)
    for i in range(n):
        weight = load(work.p, i, like) * load(work.q, i, like)
        weights, weighted = weights + weight, weighted + weight * load(work.chosen, i, like)
    mean = weighted / where(weights < full(like, 1e-37), full(like, 1e-37), weights)
    for i in range(n):
        p, q = load(work.p, i, like), load(work.q, i, like)
        change = (p + p) * q * (load(work.chosen, i, like) * half - mean * half)  # v − mean may overflow
        store(work.p, i, dual(p, change))
        store(work.q, i, dual(q, -change))
    fill_items(work.p, n, padded(n, like), none)
    fill_items(work.q, n, padded(n, like), dual(full(like, 1), full(like, 0)))
    return mean


@kernel
def sample(theta_at, k_at, same, n, most, count, begin, stop, shifts, seed, draws, out, scratch, end, layout):
    """λ, and subsets: draw d of row r is row d · count + r of ``out``."""
    mode, zero = flush_subnormals(), zeros(layout)
    theta, k, lanes = matrix(theta_at, count, n, layout), matrix(k_at, 1, count, begin), width(zero)
    work, blocks = workspace(scratch, 1, n, most, layout, zero), (n + 3) // 4
    for first in range(begin, stop, lanes):
        rows = min(lanes, stop - first)
        high, flipped = read(theta, first, rows, n, k, same, work, zero)
        start, shift = find_tilt(work.x, 0, n, lanes_of_target(work, zero), zero)
        put_shifts(start, shift, work, shifts, first, rows)
        probabilities(n, start, shift, work, zero)
        inside(work.p, work.q, blocks, high, work.table, zero, full(zero, 1))
        odd = flipped or any_lane(shift != shift)
        for d in range(draws):
            seed_streams(seed, d * count + first, 1, work.level, zero)
            draw(work.p, work.q, n, high, work.table, load_numbers(work.target, 0, zero), work.level, work.chosen, zero)
            if odd:
                restore_side(work.chosen, n, shift, load_numbers(work.sign, 0, zero))
            write_rows(work.chosen, lanes, rows, out, d * count + first, 1)
    restore_mode(mode)


@inner
def restore_side(z, n, shift, sign):
    """1 − z where a row stands for its complement, NaN where it is infeasible."""
    base = (full(sign, 1) - sign) * full(sign, 0.5) + (shift - shift)
    for i in range(n):
        store(z, i, base + sign * load(z, i, sign))

