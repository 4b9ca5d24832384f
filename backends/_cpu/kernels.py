"""The kernels that Python calls, on the rows start … stop − 1.

Inputs are given by their addresses: one compiled version per dtype and layout serves read-only memory too. Results are
arrays (1, rows) and (rows, n), empty where one is not wanted. ``scratch`` … ``end`` is the calling thread's memory.
"""

import numpy as np

from ksubset.backends._cpu.block import inside_block, new_block, read_block, tilt_block, tilt_block_by
from ksubset.backends._cpu.compiling import inner, kernel
from ksubset.backends._cpu.draw import draw
from ksubset.backends._cpu.elementary import log, total
from ksubset.backends._cpu.memory import load, load_numbers, rows_at_once, step, store, store_numbers
from ksubset.backends._cpu.passes import last_segment, outside, seed_suffix, seed_suffix_tangents
from ksubset.backends._cpu.rows import carve, grown, matrix, orient, padded, read_rows, room, write_lanes, write_rows
from ksubset.backends._cpu.subnormal import flush_subnormals, restore_mode
from ksubset.backends._cpu.uniforms import seed_streams
from ksubset.backends._cpu.vectors import any_lane, dual, full, planes, tangent, where, width, zeros
from ksubset.backends._cpu.window import add_exactly


@inner
def two_sides(at, count, n, layout, like):
    """Memory for both marginals of every item, in so many planes."""
    chosen, at = carve(at, count, room(n, like), layout)
    unchosen, at = carve(at, count, room(n, like), layout)
    return chosen, unchosen, at


@inner
def tables(at, end, count, layout, like):
    """What is left of the scratch memory as a table, and a small one for the windows that are saved."""
    saved, at = carve(at, count, 4 * width(like), layout)
    rest = (end - at) // (saved.itemsize * count)
    return carve(at, count, rest, layout)[0], saved


@kernel
def solve(
    theta_at,
    k_at,
    same,
    n,
    count,
    start,
    stop,
    shifts,
    volumes,
    mu,
    rest,
    cut,
    skew,
    margin,
    scratch,
    end,
    layout,
):
    """λ, and on request the log-volume and both marginals."""
    mode, zero = flush_subnormals(), zeros(layout)
    theta, k = matrix(theta_at, count, n, layout), matrix(k_at, 1, count, start)
    group, blocks = rows_at_once(zero), (n + 3) // 4
    block, at = new_block(scratch, planes(zero), n, layout, zero)
    chosen, unchosen, at = two_sides(at, planes(zero), n, layout, zero)
    table, saved = tables(at, end, planes(zero), layout, zero)
    low, high, flipped = 0, 0, False
    for first in range(start, stop, group):
        rows = min(group, stop - first)
        if same < 0 or first == start:
            low, high, flipped = orient(k, same, first, rows, n, block.target, block.sign, zero)
        read_block(theta, first, rows, n, flipped, block, zero)
        shift = tilt_block(n, block, zero)
        table, saved, kept, pace = inside_block(
            n, low, high, (cut, skew, margin), block, table, saved, zero, full(zero, 1)
        )
        found = seed_suffix(table, block.band, blocks, high, block.target, block.level, block.suffix, zero)
        put_lanes(shift * load_numbers(block.sign, 0, zero), block.level, shifts, first, rows)
        if volumes.size:
            put_lanes(log(found) - log_likely(n, block, zero), block.level, volumes, first, rows)
        if mu.size + rest.size > 0:
            p, q, suffix = block.p, block.q, block.suffix
            outside(p, q, blocks, pace, kept, block.band, table, saved, suffix, chosen, unchosen, zero)
            settle(n, shift, block, chosen, unchosen)
        if mu.size:
            write_side(chosen, unchosen, n, block, flipped, mu, first, rows, zero)
        if rest.size:
            write_side(unchosen, chosen, n, block, flipped, rest, first, rows, zero)
    restore_mode(mode)


@inner
def put_lanes(x, level, target, first, rows):
    """One number of every row."""
    store_numbers(level, 0, x)
    write_lanes(level, rows, target, first)


@inner
def settle(n, shift, block, chosen, unchosen):
    """Take off what both sides of an item drifted by together; exactly 0 and 1 where a logit is infinite.

    Thousands of roundings change prefix and suffix by a factor that μ and 1 − μ share, and their sum shows it.
    """
    infinite = full(shift, np.inf)
    for i in range(0, padded(n, shift), step(shift)):
        t, m, rest = load(block.x, i, shift) + shift, load(chosen, i, shift), load(unchosen, i, shift)
        forced, scale = (t == infinite) | (t == -infinite), full(shift, 1) / (m + rest)
        store(chosen, i, where(forced, load(block.p, i, shift), m * scale))
        store(unchosen, i, where(forced, load(block.q, i, shift), rest * scale))


@inner
def log_likely(n, block, like):
    """Σ log max(p, q), of the p and q that entered P: so their rounding cancels in the log-volume."""
    out, lost = full(like, 0), full(like, 0)
    for i in range(0, padded(n, like), step(like)):
        p, q = load(block.p, i, like), load(block.q, i, like)
        out, lost = add_exactly(out, log(where(p > q, p, q)), lost)
    return total(out)


@inner
def write_side(side, other, n, block, flipped, out, first, rows, like):
    """One of the marginals; the other one where a row stands for its complement."""
    if flipped:
        negative = load_numbers(block.sign, 0, like) < full(like, 0)
        for i in range(0, padded(n, like), step(like)):
            store(block.p, i, where(negative, load(other, i, like), load(side, i, like)))
        write_rows(block.p, rows_at_once(like), rows, out, first, 1)
    else:
        write_rows(side, rows_at_once(like), rows, out, first, 1)


@kernel
def jacobian_product(
    theta_at, k_at, same, n, count, start, stop, shifts, v_at, out, cut, skew, margin, scratch, end, layout
):
    """J · v by tangents through both passes, read from the less likely side of each item."""
    mode, zero = flush_subnormals(), zeros(layout)
    theta, k = matrix(theta_at, count, n, layout), matrix(k_at, 1, count, start)
    v, group, blocks = matrix(v_at, count, n, layout), rows_at_once(zero), (n + 3) // 4
    none, one = dual(zero, zero), dual(full(zero, 1), zero)
    block, at = new_block(scratch, planes(none), n, layout, zero)
    chosen, unchosen, at = two_sides(at, planes(none), n, layout, zero)
    table, saved = tables(at, end, planes(none), layout, zero)
    low, high, flipped = 0, 0, False
    for first in range(start, stop, group):
        rows = min(group, stop - first)
        if same < 0 or first == start:
            low, high, flipped = orient(k, same, first, rows, n, block.target, block.sign, zero)
        read_block(theta, first, rows, n, flipped, block, zero)
        if shifts.size:
            tilt_block_by(shifts, first, rows, n, block, zero)
        else:
            tilt_block(n, block, zero)
        read_rows(v, first, rows, chosen, zero)
        push(n, chosen, block, zero)
        table, saved, kept, pace = inside_block(n, low, high, (cut, skew, margin), block, table, saved, none, one)
        seed_suffix(table, block.band, blocks, high, block.target, block.level, block.suffix, none)
        seed_suffix_tangents(table, block.band, blocks, block.target, block.suffix, none)
        outside(block.p, block.q, blocks, pace, kept, block.band, table, saved, block.suffix, chosen, unchosen, none)
        for i in range(0, padded(n, zero), step(zero)):
            rise, fall = tangent(load(chosen, i, none)), tangent(load(unchosen, i, none))
            store(block.x, i, where(load(block.q, i, zero) < load(block.p, i, zero), -fall, rise))
        write_rows(block.x, group, rows, out, first, 1)
    restore_mode(mode)


@inner
def push(n, v, block, like):
    """Tangents ±pq (v − mean) beside p and q, the mean weighted by pq; 0 at the items that ±∞ decides. The mean."""
    zero, infinite, weights, weighted = full(like, 0), full(like, np.inf), full(like, 0), full(like, 0)
    for i in range(0, padded(n, like), step(like)):
        x, weight = load(block.x, i, like), load(block.p, i, like) * load(block.q, i, like)
        y = where((x == infinite) | (x == -infinite), zero, load(v, i, like))
        store(v, i, y)
        weights, weighted = weights + weight, weighted + weight * y
    weights, weighted = total(weights), total(weighted)
    half, mean = full(like, 0.5), weighted / where(weights < full(like, 1e-37), full(like, 1e-37), weights)
    for i in range(0, padded(n, like), step(like)):
        p, q = load(block.p, i, like), load(block.q, i, like)
        change = (p + p) * q * (load(v, i, like) * half - mean * half)  # v − mean overflows beside the least float
        store(block.p, i, dual(p, change))
        store(block.q, i, dual(q, -change))
    return mean


@kernel
def sample(
    theta_at, k_at, same, n, count, start, stop, shifts, seed, draws, out, cut, skew, margin, scratch, end, layout
):
    """λ, and subsets: draw d of row r is row d · count + r of ``z``."""
    mode, zero = flush_subnormals(), zeros(layout)
    theta, k = matrix(theta_at, count, n, layout), matrix(k_at, 1, count, start)
    group, lanes, blocks = rows_at_once(zero), width(zero), (n + 3) // 4
    block, at = new_block(scratch, planes(zero), n, layout, zero)
    state, at = carve(at, planes(zero), 4 * lanes, layout)
    z, at = carve(at, planes(zero), room(n, zero), layout)
    table, saved = tables(at, end, planes(zero), layout, zero)
    z = grown(z, (padded(n, zero) + lanes) * lanes)
    together, jump = (1, 1) if group > 1 else (lanes, count)
    low, high, flipped = 0, 0, False
    for first in range(start, stop, group):
        rows = min(group, stop - first)
        if same < 0 or first == start:
            low, high, flipped = orient(k, same, first, rows, n, block.target, block.sign, zero)
        read_block(theta, first, rows, n, flipped, block, zero)
        shift = tilt_block(n, block, zero)
        put_lanes(shift * load_numbers(block.sign, 0, zero), block.level, shifts, first, rows)
        table, saved, kept, pace = inside_block(
            n, low, high, (cut, skew, margin), block, table, saved, zero, full(zero, 1)
        )
        resident, odd = last_segment(blocks, pace), flipped or any_lane(shift != shift)
        for d in range(0, draws, together):
            seed_streams(seed, d * count + first, jump, state, zero)
            draw(block.p, block.q, blocks, pace, resident, kept, block.band, table, saved, block.target, state, z, zero)
            resident = 0 if resident == 0 else -1  # several segments overwrite each other in every draw
            if odd:
                restore_side(z, n, shift, load_numbers(block.sign, 0, zero))
            used = rows if group > 1 else min(lanes, draws - d)
            write_rows(z, lanes, used, out, d * count + first, jump)
    restore_mode(mode)


@inner
def restore_side(z, n, shift, sign):
    """1 − z where a row stands for its complement, NaN where it is infeasible."""
    lanes, base = width(sign), (full(sign, 1) - sign) * full(sign, 0.5) + (shift - shift)
    for i in range(n):
        store_numbers(z, i * lanes, base + sign * load_numbers(z, i * lanes, sign))
