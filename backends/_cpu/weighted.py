"""The kernels for cardinality potentials, p(z) ∝ exp(θ · z + ω(Σz)), on the rows start … stop − 1.

They compute what one tilt serves, as `weights` says, and mark the other rows with 0 in ``served``: those, and rows
without a possible count, are left to the core. As in `kernels` inputs are addresses: logits (count, n) and log-weights
(count, high + 1), −∞ below ``low``.
"""

from ksubset.backends._cpu.block import inside_block, new_block, read_block, tilt_block
from ksubset.backends._cpu.compiling import inlined, inner, kernel
from ksubset.backends._cpu.draw import draw
from ksubset.backends._cpu.elementary import log
from ksubset.backends._cpu.kernels import log_likely, push, put_lanes, settle, tables, two_sides
from ksubset.backends._cpu.memory import item, load, load_numbers, rows_at_once, step, store, store_numbers
from ksubset.backends._cpu.passes import last_segment, outside
from ksubset.backends._cpu.rows import carve, grown, matrix, padded, read_rows, room, write_rows
from ksubset.backends._cpu.subnormal import flush_subnormals, restore_mode
from ksubset.backends._cpu.uniforms import seed_streams, uniform
from ksubset.backends._cpu.vectors import any_lane, dual, full, number, planes, tangent, where, width, zeros
from ksubset.backends._cpu.weights import (
    TURNS,
    aim,
    aim_again,
    read_counts,
    spread_tangents,
    spread_weights,
    weigh,
)
from ksubset.backends._cpu.window import PAD


@inner
def count_tables(at, high, count, layout, like):
    """Tables with a number for each count: log-weights, weights, probabilities; what the outside pass starts from."""
    size = room(high + PAD + 1 + 4 * max(PAD, step(like)), like)
    omega, at = carve(at, planes(like), size, layout)
    weights, at = carve(at, planes(like), size, layout)
    chances, at = carve(at, planes(like), size, layout)
    suffix, at = carve(at, count, size, layout)
    return omega, weights, chances, suffix, at


@inlined
def go_inside(n, low, high, rule, block, omega, weights, table, saved, v, zero, like, one):
    """Tilt and go inside, as often as it takes; what `inside_block` and `weigh` return of the last time.

    Where ``like`` has a derivative, it is that along ``v``, and the mean of ``v`` comes last.
    """
    shift, peak, mass, good, middle, kept, pace = zero, zero, zero, zero, zero, 0, 0
    aim(n, high, block, omega, zero)
    for turn in range(TURNS):
        shift = tilt_block(n, block, zero)
        if planes(like) > 1:
            middle = push(n, v, block, zero)
        table, saved, kept, pace = inside_block(n, low, high, rule, block, table, saved, like, one)
        root = block.band.offset[(n + 3) // 4]
        peak, mass, good, gap = weigh(low, high, root, table, omega, weights, n, block, shift, zero)
        if turn == TURNS - 1 or not any_lane(gap != zero):
            break
        aim_again(block, gap, zero)
    return table, saved, kept, pace, shift, peak, mass, good, middle


@kernel
def solve(
    theta_at,
    _k_at,
    high,
    n,
    count,
    start,
    stop,
    omega_at,
    low,
    served,
    shifts,
    targets,
    volumes,
    mu,
    rest,
    pi,
    cut,
    skew,
    margin,
    scratch,
    end,
    layout,
):
    """λ and the count that it is for; on request log-volumes relative to that count, marginals, and those of counts."""
    mode, zero = flush_subnormals(), zeros(layout)
    theta, log_weights = matrix(theta_at, count, n, layout), matrix(omega_at, count, high + 1, layout)
    group, blocks = rows_at_once(zero), (n + 3) // 4
    block, at = new_block(scratch, planes(zero), n, layout, zero)
    chosen, unchosen, at = two_sides(at, planes(zero), n, layout, zero)
    omega, weights, chances, suffix, at = count_tables(at, high, planes(zero), layout, zero)
    table, saved = tables(at, end, planes(zero), layout, zero)
    for first in range(start, stop, group):
        rows = min(group, stop - first)
        read_block(theta, first, rows, n, False, block, zero)
        read_counts(log_weights, first, rows, omega, zero)
        table, saved, kept, pace, shift, peak, mass, good, _ = go_inside(
            n, low, high, (cut, skew, margin), block, omega, weights, table, saved, chosen, zero, zero, full(zero, 1)
        )
        put_lanes(good, block.level, served, first, rows)
        put_lanes(shift, block.level, shifts, first, rows)
        put_lanes(load_numbers(block.target, 0, zero), block.level, targets, first, rows)
        if volumes.size:
            put_lanes(peak + log(mass) - log_likely(n, block, zero), block.level, volumes, first, rows)
        spread_weights(low, high, block.band.offset[blocks], table, weights, mass, chances, suffix, zero)
        if pi.size:
            write_rows(chances, group, rows, pi, first, 1)
        if mu.size + rest.size > 0:
            p, q, band = block.p, block.q, block.band
            outside(p, q, blocks, pace, kept, band, table, saved, suffix, chosen, unchosen, zero)
            settle(n, shift, block, chosen, unchosen)
        if mu.size:
            write_rows(chosen, group, rows, mu, first, 1)
        if rest.size:
            write_rows(unchosen, group, rows, rest, first, 1)
    restore_mode(mode)


@kernel
def jacobian_product(
    theta_at,
    _k_at,
    high,
    n,
    count,
    start,
    stop,
    omega_at,
    low,
    served,
    v_at,
    u_at,
    out,
    pi,
    cut,
    skew,
    margin,
    scratch,
    end,
    layout,
):
    """J · (v, u): the covariances of v · z + u(Σz) with the items, ``out``, and with each count's indicator, ``pi``."""
    mode, zero = flush_subnormals(), zeros(layout)
    theta, log_weights = matrix(theta_at, count, n, layout), matrix(omega_at, count, high + 1, layout)
    v, given = matrix(v_at, count, n, layout), matrix(u_at, count, high + 1, layout)
    group, blocks, none, one = rows_at_once(zero), (n + 3) // 4, dual(zero, zero), dual(full(zero, 1), zero)
    block, at = new_block(scratch, planes(none), n, layout, zero)
    chosen, unchosen, at = two_sides(at, planes(none), n, layout, zero)
    omega, weights, chances, suffix, at = count_tables(at, high, planes(none), layout, zero)
    u, at = carve(at, planes(zero), room(high + 1 + 4 * max(PAD, step(zero)), zero), layout)
    table, saved = tables(at, end, planes(none), layout, zero)
    for first in range(start, stop, group):
        rows = min(group, stop - first)
        read_block(theta, first, rows, n, False, block, zero)
        read_counts(log_weights, first, rows, omega, zero)
        read_rows(v, first, rows, chosen, zero)
        read_rows(given, first, rows, u, zero)
        table, saved, kept, pace, _, _, mass, good, middle = go_inside(
            n, low, high, (cut, skew, margin), block, omega, weights, table, saved, chosen, zero, none, one
        )
        put_lanes(good, block.level, served, first, rows)
        root = block.band.offset[blocks]
        spread_weights(low, high, root, table, weights, mass, chances, suffix, none)
        spread_tangents(low, high, root, table, weights, u, middle, chances, suffix, none)
        write_rows(weights, group, rows, pi, first, 1)
        outside(block.p, block.q, blocks, pace, kept, block.band, table, saved, suffix, chosen, unchosen, none)
        for i in range(0, padded(n, zero), step(zero)):
            x, y = load(chosen, i, none), load(unchosen, i, none)
            store(block.x, i, where(number(x) > number(y), -tangent(y), tangent(x)))
        write_rows(block.x, group, rows, out, first, 1)
    restore_mode(mode)


@kernel
def sample(
    theta_at,
    _k_at,
    high,
    n,
    count,
    start,
    stop,
    omega_at,
    low,
    served,
    seed,
    draws,
    out,
    cut,
    skew,
    margin,
    scratch,
    end,
    layout,
):
    """Subsets: draw d of row r is row d · count + r of ``out``. Each has its size first, then its items."""
    mode, zero = flush_subnormals(), zeros(layout)
    theta, log_weights = matrix(theta_at, count, n, layout), matrix(omega_at, count, high + 1, layout)
    group, lanes, blocks = rows_at_once(zero), width(zero), (n + 3) // 4
    block, at = new_block(scratch, planes(zero), n, layout, zero)
    state, at = carve(at, planes(zero), 4 * lanes, layout)
    z, at = carve(at, planes(zero), room(n, zero), layout)
    omega, weights, chances, suffix, at = count_tables(at, high, planes(zero), layout, zero)
    table, saved = tables(at, end, planes(zero), layout, zero)
    z = grown(z, (padded(n, zero) + lanes) * lanes)
    together, jump = (1, 1) if group > 1 else (lanes, count)
    for first in range(start, stop, group):
        rows = min(group, stop - first)
        read_block(theta, first, rows, n, False, block, zero)
        read_counts(log_weights, first, rows, omega, zero)
        table, saved, kept, pace, _, _, mass, good, _ = go_inside(
            n, low, high, (cut, skew, margin), block, omega, weights, table, saved, z, zero, zero, full(zero, 1)
        )
        put_lanes(good, block.level, served, first, rows)
        spread_weights(low, high, block.band.offset[blocks], table, weights, mass, chances, suffix, zero)
        resident = last_segment(blocks, pace)
        for d in range(0, draws, together):
            seed_streams(seed, d * count + first, jump, state, zero)
            store_numbers(block.target, 0, draw_count(low, high, chances, state, zero))
            draw(block.p, block.q, blocks, pace, resident, kept, block.band, table, saved, block.target, state, z, zero)
            resident = 0 if resident == 0 else -1  # several segments overwrite each other in every draw
            used = rows if group > 1 else min(lanes, draws - d)
            write_rows(z, lanes, used, out, d * count + first, jump)
    restore_mode(mode)


@inner
def draw_count(low, high, chances, state, like):
    """A count in every lane: from below or from above, whichever a coin says, so that both tails are resolved."""
    half, one = full(like, 0.5), full(like, 1)
    below, u = uniform(state, like) < half, uniform(state, like) * half
    up, rising, down, falling = full(like, low), full(like, 0), full(like, high), full(like, 0)
    for j in range(low, high + 1):
        rising = rising + item(chances, j, like)
        up = up + where(rising <= u, one, full(like, 0))
    for j in range(high, low - 1, -1):
        falling = falling + item(chances, j, like)
        down = down - where(falling <= u, one, full(like, 0))
    return where(below, up, down)
