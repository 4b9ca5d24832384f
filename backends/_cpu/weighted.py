"""The kernels for cardinality potentials, p(z) ∝ exp(θ · z + ω(Σz)), on the rows start … stop − 1.

They compute what one tilt serves, as `weights` says, and mark the other rows with 0 in ``served``: those, and rows
without a possible count, are left to the core. As in `recursion` inputs are addresses: logits (count, n) and log-weights
(count, high + 1), −∞ below ``low``. Lanes are rows.
"""

from typing import NamedTuple

import numpy as np

from ksubset.backends._cpu.compiling import inlined, inner, kernel
from ksubset.backends._cpu.draw import draw
from ksubset.backends._cpu.elementary import log
from ksubset.backends._cpu.memory import item, load, load_numbers, store, store_numbers
from ksubset.backends._cpu.moments import log_of_more
from ksubset.backends._cpu.passes import PAD, inside, outside, place
from ksubset.backends._cpu.recursion import probabilities, push, settle, workspace
from ksubset.backends._cpu.rows import carve, matrix, read_rows, room, write_rows
from ksubset.backends._cpu.search import find_tilt
from ksubset.backends._cpu.subnormal import flush_subnormals, restore_mode
from ksubset.backends._cpu.uniforms import seed_streams, uniform
from ksubset.backends._cpu.variables import variable
from ksubset.backends._cpu.vectors import any_lane, dual, full, number, planes, tangent, where, width, zeros
from ksubset.backends._cpu.weights import TURNS, aim, aim_again, read_counts, spread_tangents, spread_weights, weigh


class Counts(NamedTuple):
    """Tables with a number for each count: log-weights, weights, probabilities, a direction; where the way back starts."""

    omega: np.ndarray
    weights: np.ndarray
    chances: np.ndarray
    u: np.ndarray
    suffix: np.ndarray


class Inside(NamedTuple):
    """What going inside ends with: λ, the scale and total of the weights, whether they serve, the mean of v."""

    start: object
    shift: object
    peak: object
    mass: object
    good: object
    middle: object


@inner
def count_tables(at, high, count, layout, like):
    """Cut them from scratch memory; ``count`` planes for what has derivatives."""
    size = room(high + 6 * PAD, like)
    omega, at = carve(at, 1, size, layout)
    weights, at = carve(at, 1, size, layout)
    chances, at = carve(at, 1, size, layout)
    u, at = carve(at, 1, size, layout)
    suffix, at = carve(at, count, size, layout)
    return Counts(omega, weights, chances, u, suffix), at


@inlined
def go_inside(n, low, high, work, counts, zero, like, one):
    """Tilt and go inside, as often as it takes. Where ``like`` has a derivative, it is that along work.chosen."""
    start, shift, peak, mass, good, middle = zero, zero, zero, zero, zero, zero
    aim(n, high, work, counts.omega, zero)
    for turn in range(TURNS):
        start, shift = find_tilt(work.x, 0, n, load_numbers(work.target, 0, zero), zero)
        probabilities(n, start, shift, work, zero)
        if planes(like) > 1:
            middle = push(n, work, zero, like)
        inside(work.p, work.q, (n + 3) // 4, high, work.table, like, one)
        root = place((n + 3) // 4, high)
        peak, mass, good, gap = weigh(low, high, root, n, work, counts, shift, start, zero)
        if turn == TURNS - 1 or not any_lane(gap != zero):
            break
        aim_again(work, gap, zero)
    return Inside(start, shift, peak, mass, good, middle)


@inlined
def put_lanes(x, work, target, kind, first, rows):
    """One number of every row."""
    store_numbers(work.level, 0, x)
    for r in range(rows):
        target[kind, first + r] = work.level[0, r]


@kernel
def solve(
    theta_at,
    _k_at,
    high,
    n,
    count,
    begin,
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
    scratch,
    end,
    layout,
):
    """λ and the count that it is for; on request log-volumes relative to that count, marginals, and those of counts."""
    mode, zero = flush_subnormals(), zeros(layout)
    theta, log_weights = matrix(theta_at, count, n, layout), matrix(omega_at, count, high + 1, layout)
    counts, at = count_tables(scratch, high, 1, layout, zero)
    work, lanes, blocks = workspace(at, 1, n, high, layout, zero), width(zero), (n + 3) // 4
    for first in range(begin, stop, lanes):
        rows = min(lanes, stop - first)
        read_rows(theta, first, rows, work.x, zero)
        read_counts(log_weights, first, rows, counts.omega, zero)
        found = go_inside(n, low, high, work, counts, zero, zero, full(zero, 1))
        put_lanes(found.good, work, served, 0, first, rows)
        put_lanes(found.start, work, shifts, 0, first, rows)
        put_lanes(found.shift, work, shifts, 1, first, rows)
        put_lanes(load_numbers(work.target, 0, zero), work, targets, 0, first, rows)
        if volumes.size:
            put_lanes(found.peak + log(found.mass) + outcome(n, found, work, zero), work, volumes, 0, first, rows)
        spread_weights(low, high, place(blocks, high), work.table, counts, found.mass, zero)
        if pi.size:
            write_rows(counts.chances, lanes, rows, pi, first, 1)
        if mu.size + rest.size > 0:
            outside(work.p, work.q, blocks, high, work.table, counts.suffix, work.chosen, work.unchosen, zero)
            settle(n, found.start, work)
        if mu.size:
            write_rows(work.chosen, lanes, rows, mu, first, 1)
        if rest.size:
            write_rows(work.unchosen, lanes, rows, rest, first, 1)
    restore_mode(mode)


@inner
def outcome(n, found, work, like):
    """−log of the probability of the likeliest outcome, Σ log(1 + e^−|t|)."""
    out = full(like, 0)
    for i in range(n):
        _, w, _, _, _ = variable(load(work.x, i, like), found.start, found.shift)
        out = out + log_of_more(w)
    return out


@kernel
def jacobian_product(
    theta_at,
    _k_at,
    high,
    n,
    count,
    begin,
    stop,
    omega_at,
    low,
    served,
    v_at,
    u_at,
    out,
    pi,
    scratch,
    end,
    layout,
):
    """J · (v, u): the covariances of v · z + u(Σz) with the items, ``out``, and with each count's indicator, ``pi``."""
    mode, zero = flush_subnormals(), zeros(layout)
    theta, log_weights = matrix(theta_at, count, n, layout), matrix(omega_at, count, high + 1, layout)
    v, given = matrix(v_at, count, n, layout), matrix(u_at, count, high + 1, layout)
    lanes, blocks, none, one = width(zero), (n + 3) // 4, dual(zero, zero), dual(full(zero, 1), zero)
    counts, at = count_tables(scratch, high, planes(none), layout, zero)
    work = workspace(at, planes(none), n, high, layout, zero)
    for first in range(begin, stop, lanes):
        rows = min(lanes, stop - first)
        read_rows(theta, first, rows, work.x, zero)
        read_counts(log_weights, first, rows, counts.omega, zero)
        read_rows(v, first, rows, work.chosen, zero)
        read_rows(given, first, rows, counts.u, zero)
        found = go_inside(n, low, high, work, counts, zero, none, one)
        put_lanes(found.good, work, served, 0, first, rows)
        root = place(blocks, high)
        spread_weights(low, high, root, work.table, counts, found.mass, none)
        spread_tangents(low, high, root, work.table, counts, found.middle, none)
        write_rows(counts.weights, lanes, rows, pi, first, 1)
        outside(work.p, work.q, blocks, high, work.table, counts.suffix, work.chosen, work.unchosen, none)
        for i in range(n):
            x, y = load(work.chosen, i, none), load(work.unchosen, i, none)
            store(work.x, i, where(number(x) > number(y), -tangent(y), tangent(x)))
        write_rows(work.x, lanes, rows, out, first, 1)
    restore_mode(mode)


@kernel
def sample(
    theta_at,
    _k_at,
    high,
    n,
    count,
    begin,
    stop,
    omega_at,
    low,
    served,
    seed,
    draws,
    out,
    scratch,
    end,
    layout,
):
    """Subsets: draw d of row r is row d · count + r of ``out``. Each has its size first, then its items."""
    mode, zero = flush_subnormals(), zeros(layout)
    theta, log_weights = matrix(theta_at, count, n, layout), matrix(omega_at, count, high + 1, layout)
    counts, at = count_tables(scratch, high, 1, layout, zero)
    work, lanes = workspace(at, 1, n, high, layout, zero), width(zero)
    for first in range(begin, stop, lanes):
        rows = min(lanes, stop - first)
        read_rows(theta, first, rows, work.x, zero)
        read_counts(log_weights, first, rows, counts.omega, zero)
        found = go_inside(n, low, high, work, counts, zero, zero, full(zero, 1))
        put_lanes(found.good, work, served, 0, first, rows)
        spread_weights(low, high, place((n + 3) // 4, high), work.table, counts, found.mass, zero)
        for d in range(draws):
            seed_streams(seed, d * count + first, 1, work.level, zero)
            size = draw_count(low, high, counts.chances, work.level, zero)
            draw(work.p, work.q, n, high, work.table, size, work.level, work.chosen, zero)
            write_rows(work.chosen, lanes, rows, out, d * count + first, 1)
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

