"""The kernels for cardinality potentials, p(z) ∝ exp(θ · z + ω(Σz)), on the rows start … stop − 1.

They compute the rows that one tilt serves, as `weights` says, and mark the other rows with 0 in ``served``: these, and
rows without a possible count, are left to the core. Arrays are given by their addresses, as in `moments`; log-weights
and results for the counts are (count, high + 1), log-weights −∞ below ``low``. Lanes are rows.
"""

from typing import Any, NamedTuple

from numba import int64

from ksubset.backends._cpu.compiling import inlined, inner, kernel
from ksubset.backends._cpu.kernels.answers import log_of_more
from ksubset.backends._cpu.kernels.indices import write_indices_of_lanes
from ksubset.backends._cpu.kernels.recursion import probabilities, push, settle, workspace
from ksubset.backends._cpu.kernels.recursion_draw import draw
from ksubset.backends._cpu.kernels.recursion_passes import PAD, inside, outside, place
from ksubset.backends._cpu.kernels.rows import carve, put_lanes, read_rows, room, write_rows
from ksubset.backends._cpu.kernels.team import alone
from ksubset.backends._cpu.kernels.tilt import find_tilt
from ksubset.backends._cpu.kernels.uniforms import seed_streams, seed_streams_of_keys, uniform
from ksubset.backends._cpu.kernels.variables import variable
from ksubset.backends._cpu.kernels.weights import (
    TURNS,
    aim,
    aim_again,
    read_counts,
    spread_tangents,
    spread_weights,
    weigh,
)
from ksubset.backends._cpu.simd.elementary import log
from ksubset.backends._cpu.simd.memory import load, store
from ksubset.backends._cpu.simd.subnormal import flush_subnormals, restore_mode
from ksubset.backends._cpu.simd.tables import table_at
from ksubset.backends._cpu.simd.vectors import any_lane, dual, full, number, planes, tangent, where, width, zeros


class Counts(NamedTuple):
    """Tables with a number per count: log-weights, weights, probabilities, a direction; where the way back starts."""

    omega: Any
    weights: Any
    chances: Any
    u: Any
    suffix: Any


class Inside(NamedTuple):
    """The results of the inside pass: λ, the scale and total of the weights, whether they serve, the mean of v."""

    start: Any
    shift: Any
    peak: Any
    mass: Any
    good: Any
    middle: Any


@inlined
def count_tables(at, high, count, like):
    """Cut them from scratch memory; ``count`` planes for the tables that have derivatives."""
    size = room(high + 6 * PAD, like)
    omega, at = carve(at, 1, size, like)
    weights, at = carve(at, 1, size, like)
    chances, at = carve(at, 1, size, like)
    u, at = carve(at, 1, size, like)
    suffix, at = carve(at, count, size, like)
    return Counts(omega, weights, chances, u, suffix), at


@inlined
def go_inside(n, low, high, work, counts, zero, like, one):
    """Tilt and go inside, as often as it takes. Where ``like`` has a derivative, it is that along work.chosen."""
    start, shift, peak, mass, good, middle = zero, zero, zero, zero, zero, zero
    aim(n, high, work, counts.omega, zero)
    for turn in range(TURNS):
        start, shift, _ = find_tilt(alone(work.x, n, work.board), load(work.target, 0, zero), zero)
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


@kernel
def solve(
    theta,
    _k,
    high,
    n,
    count,
    begin,
    stop,
    omega,
    low,
    served,
    shifts,
    targets,
    partitions,
    mu,
    rest,
    pi,
    scratch,
    end,
    layout,
):
    """λ and the count that it is for; on request log-partitions relative to that count, marginals, and π."""
    mode, zero = flush_subnormals(), zeros(layout)
    theta, omega = table_at(theta, n, zero), table_at(omega, high + 1, zero)
    served, shifts, targets = (
        table_at(served, count, zero),
        table_at(shifts, count, zero),
        table_at(targets, count, zero),
    )
    counts, at = count_tables(scratch, high, 1, zero)
    work, lanes, blocks = workspace(at, 1, n, high, zero), width(zero), (n + 3) // 4
    for first in range(begin, stop, lanes):
        rows = min(lanes, stop - first)
        read_rows(theta, first, rows, work.x, zero)
        read_counts(omega, first, rows, counts.omega, zero)
        found = go_inside(n, low, high, work, counts, zero, zero, full(zero, 1))
        put_lanes(found.good, work.level, served, 0, first, rows)
        put_lanes(found.start, work.level, shifts, 0, first, rows)
        put_lanes(found.shift, work.level, shifts, 1, first, rows)
        put_lanes(load(work.target, 0, zero), work.level, targets, 0, first, rows)
        if partitions:
            x = found.peak + log(found.mass) + outcome(n, found, work, zero)
            put_lanes(x, work.level, table_at(partitions, count, zero), 0, first, rows)
        spread_weights(low, high, place(blocks, high), work.table, counts, found.mass, zero)
        write_rows(counts.chances, rows, table_at(pi, high + 1, zero), first, zero)
        if mu | rest:
            outside(work.p, work.q, blocks, high, work.table, counts.suffix, work.chosen, work.unchosen, zero)
            settle(n, found.start, work)
        if mu:
            write_rows(work.chosen, rows, table_at(mu, n, zero), first, zero)
        if rest:
            write_rows(work.unchosen, rows, table_at(rest, n, zero), first, zero)
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
def jacobian_product(theta, _k, high, n, count, begin, stop, omega, low, served, v, u, out, pi, scratch, end, layout):
    """J · (v, u): the covariances of v · z + u(Σz) with the items, ``out``, and with each count's indicator, ``pi``."""
    mode, zero = flush_subnormals(), zeros(layout)
    theta, omega, served = table_at(theta, n, zero), table_at(omega, high + 1, zero), table_at(served, count, zero)
    v, u, out, pi = (
        table_at(v, n, zero),
        table_at(u, high + 1, zero),
        table_at(out, n, zero),
        table_at(pi, high + 1, zero),
    )
    lanes, blocks, none, one = width(zero), (n + 3) // 4, dual(zero, zero), dual(full(zero, 1), zero)
    counts, at = count_tables(scratch, high, planes(none), zero)
    work = workspace(at, planes(none), n, high, zero)
    for first in range(begin, stop, lanes):
        rows = min(lanes, stop - first)
        read_rows(theta, first, rows, work.x, zero)
        read_counts(omega, first, rows, counts.omega, zero)
        read_rows(v, first, rows, work.chosen, zero)
        read_rows(u, first, rows, counts.u, zero)
        found = go_inside(n, low, high, work, counts, zero, none, one)
        put_lanes(found.good, work.level, served, 0, first, rows)
        root = place(blocks, high)
        spread_weights(low, high, root, work.table, counts, found.mass, none)
        spread_tangents(low, high, root, work.table, counts, found.middle, none)
        write_rows(counts.weights, rows, pi, first, zero)
        outside(work.p, work.q, blocks, high, work.table, counts.suffix, work.chosen, work.unchosen, none)
        for i in range(n):
            x, y = load(work.chosen, i, none), load(work.unchosen, i, none)
            store(work.x, i, where(number(x) > number(y), -tangent(y), tangent(x)))
        write_rows(work.x, rows, out, first, zero)
    restore_mode(mode)


@kernel
def sample(
    theta,
    _k,
    high,
    n,
    count,
    begin,
    stop,
    omega,
    low,
    served,
    seed,
    share,
    draws,
    places,
    side,
    out,
    scratch,
    end,
    layout,
):
    """Subsets: draw d of row r is row d · count + r of ``out``. Each has its size first, then its items.

    With a ``share`` a row is drawn once, and ``seed`` is the address of seeds, one for each share of the rows.
    If there are ``places`` for them, the indices are written of the items that are chosen, or with ``side`` −1 of the
    other items.
    """
    mode, zero = flush_subnormals(), zeros(layout)
    theta, omega, served = table_at(theta, n, zero), table_at(omega, high + 1, zero), table_at(served, count, zero)
    items, indices = table_at(out, n, zero), table_at(out, places, int64(0))
    ends, at = carve(scratch, 1, width(zero), int64(0))
    counts, at = count_tables(at, high, 1, zero)
    work, lanes = workspace(at, 1, n, high, zero), width(zero)
    for first in range(begin, stop, lanes):
        rows = min(lanes, stop - first)
        read_rows(theta, first, rows, work.x, zero)
        read_counts(omega, first, rows, counts.omega, zero)
        found = go_inside(n, low, high, work, counts, zero, zero, full(zero, 1))
        put_lanes(found.good, work.level, served, 0, first, rows)
        spread_weights(low, high, place((n + 3) // 4, high), work.table, counts, found.mass, zero)
        for d in range(draws):
            if share:
                seed_streams_of_keys(table_at(seed, 0, int64(0)), share, first, rows, work.level, zero)
            else:
                seed_streams(seed, d * count + first, work.level)
            size = draw_count(low, high, counts.chances, work.level, zero)
            draw(work.p, work.q, n, high, work.table, size, work.level, work.chosen, zero)
            if places > 0:
                write_indices_of_lanes(work.chosen, n, rows, indices, d * count + first, ends, side, zero)
            else:
                write_rows(work.chosen, rows, items, d * count + first, zero)
    restore_mode(mode)


@inner
def draw_count(low, high, chances, state, like):
    """A count in every lane: from below or from above, whichever a coin says, so that both tails are resolved."""
    half, one = full(like, 0.5), full(like, 1)
    below, u = uniform(state, like) < half, uniform(state, like) * half
    up, rising, down, falling = full(like, low), full(like, 0), full(like, high), full(like, 0)
    for j in range(low, high + 1):
        rising = rising + load(chances, j, like)
        up = up + where(rising <= u, one, full(like, 0))
    for j in range(high, low - 1, -1):
        falling = falling + load(chances, j, like)
        down = down - where(falling <= u, one, full(like, 0))
    return where(below, up, down)
