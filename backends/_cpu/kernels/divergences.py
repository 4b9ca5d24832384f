"""The kernels of divergences that Python calls: from the distribution of a row to that of another row, a number each.

Arguments are as in ``scalars``; ``other`` holds the second logits, (count, n). Either distribution has a tilted row
t, a log partition L, and for each item a less likely side, of which m is the probability under the first distribution:
KL = L′ + Σ |t′| m′ − (L + Σ |t| m). The sum is of differences, so that a distribution diverges from itself by 0.
"""

import numpy as np
from numba import int64

from ksubset.backends._cpu.compiling import inlined, inner, kernel
from ksubset.backends._cpu.kernels.answers import both_marginals, log_partition
from ksubset.backends._cpu.kernels.moments import brought, counts_of, solve_rows, tilted_rows, workspace
from ksubset.backends._cpu.kernels.power_sums import deviation_polynomials
from ksubset.backends._cpu.kernels.recursion import settle
from ksubset.backends._cpu.kernels.recursion import workspace as recursion_workspace
from ksubset.backends._cpu.kernels.recursion_passes import outside, seed_suffix
from ksubset.backends._cpu.kernels.rows import carve, put_lanes, room
from ksubset.backends._cpu.kernels.scalars import weighed_rows
from ksubset.backends._cpu.kernels.team import Row, board_of, meet, post, posted, section, sections, team_of
from ksubset.backends._cpu.kernels.tilt import find_tilt
from ksubset.backends._cpu.kernels.variables import SCALE, added
from ksubset.backends._cpu.simd.elementary import total
from ksubset.backends._cpu.simd.memory import load, load_items, rows_at_once, step, store
from ksubset.backends._cpu.simd.subnormal import flush_subnormals, restore_mode
from ksubset.backends._cpu.simd.tables import table_at
from ksubset.backends._cpu.simd.vectors import full, minus, where, width, zeros


@kernel
def contour(theta, k, same, n, count, begin, stop, other, out, scratch, end, rank, size, shared, layout):
    """By the contour."""
    mode, zero = flush_subnormals(), zeros(layout)
    theta, k, other, out = (
        table_at(theta, n, zero),
        table_at(k, 0, int64(0)),
        table_at(other, n, zero),
        table_at(out, count, zero),
    )
    group, work = rows_at_once(zero), workspace(scratch, n, zero)
    team = team_of(rank, size, shared, work.board)
    for first in range(begin, stop, group):
        rows = min(group, stop - first)
        source, at = brought(other, first, rows, n, work.v, zero)
        there = Row(source, at, source, at, n, team)
        start, shift, totals = find_tilt(there, counts_of(k, same, first, rows, n, work.level, zero), zero)
        level = log_partition(there, solve_rows(there, start, shift, totals, work, False, zero), zero)
        row, _, a, b, totals = tilted_rows(theta, k, same, first, rows, n, work, team, zero)
        found = solve_rows(row, a, b, totals, work, False, zero)
        level = minus(level, log_partition(row, found, zero))
        if found.terms:
            deviation_polynomials(work.nodes, found.size, found.terms, work.poly, zero)
        pair = Row(row.x, row.at, source, at, n, team)
        put_lanes(level + surplus(pair, found, start, shift, work, zero), work.level, out, 0, first, rows)
    restore_mode(mode)


@kernel
def recursion(theta, k, same, n, most, count, begin, stop, other, out, scratch, end, layout):
    """By recursion, for rows that choose few items, or leave out few."""
    mode, zero = flush_subnormals(), zeros(layout)
    theta, k, other, out = (
        table_at(theta, n, zero),
        table_at(k, 0, int64(0)),
        table_at(other, n, zero),
        table_at(out, count, zero),
    )
    tilted, at = carve(scratch, 1, room(n, zero), zero)
    work, blocks = recursion_workspace(at, 1, n, most, zero), (n + 3) // 4
    for first in range(begin, stop, width(zero)):
        rows = min(width(zero), stop - first)
        _, start, shift, level = weighed_rows(other, k, same, first, rows, n, work, zero)
        for i in range(n):
            store(tilted, i, (load(work.x, i, zero) + start) + shift)
        high, start, shift, own = weighed_rows(theta, k, same, first, rows, n, work, zero)
        seed_suffix(work.table, blocks, high, work.target, work.suffix, zero)
        outside(work.p, work.q, blocks, high, work.table, work.suffix, work.chosen, work.unchosen, zero)
        settle(n, start, work)
        put_lanes(minus(level, own) + surplus_of_sides(n, start, shift, tilted, work), work.level, out, 0, first, rows)
    restore_mode(mode)


@inner
def surplus(row, found, start, shift, work, like):
    """Σ |t′| m′ − |t| m for rows on the contour; ``row.v`` has the second logits, with λ = ``start`` + ``shift``."""
    board, zero = board_of(row, like), full(like, 0)
    s = row.team.rank
    while s < sections(row):
        post_surplus(row, s, found, start, shift, work, board, like)
        s += row.team.size
    meet(row.team)
    cost, lost, never = zero, zero, zero
    for s in range(sections(row)):
        cost, lost = added(cost, lost + posted(board, s, 1, like), posted(board, s, 0, like))
        never = never + posted(board, s, 2, like)
    return unscaled(cost + lost, never)


@inlined
def post_surplus(row, s, found, start, shift, work, board, like):
    """The sum of a section, its roundings, and how many items the second distribution rules out."""
    zero, outer = full(like, 0), full(like, -np.inf)
    cost, lost, never = zero, zero, zero
    first, stop = section(row, s, like)
    for i in range(first, stop, step(like)):
        y = load_items(row.x, row.at, i, stop, outer)
        _, mu, rest = both_marginals(y, found, work, like)
        there = (load_items(row.v, row.v_at, i, stop, outer) + start) + shift
        more, excluded = difference((y + found.start) + found.shift, there, mu, rest)
        cost, lost = added(cost, lost, more)
        never = never + excluded
    post(board, s, 0, total(cost))
    post(board, s, 1, total(lost))
    post(board, s, 2, total(never))


@inner
def surplus_of_sides(n, start, shift, tilted, work):
    """The same by the sides in scratch memory."""
    zero = full(start, 0)
    cost, lost, never = zero, zero, zero
    for i in range(n):
        t, mu, rest = load(work.x, i, start), load(work.chosen, i, start), load(work.unchosen, i, start)
        more, excluded = difference((t + start) + shift, load(tilted, i, start), mu, rest)
        cost, lost = added(cost, lost, more)
        never = never + excluded
    return unscaled(cost + lost, never)


@inlined
def difference(t, there, mu, rest):
    """|t′| m′ − |t| m of an item, scaled; and 1 if the second distribution rules out a side that the first one has."""
    (own, _), (cost, excluded) = weighed(t, mu, rest), weighed(there, mu, rest)
    return minus(cost, own), where(excluded, full(t, 1), full(t, 0))


@inlined
def weighed(t, mu, rest):
    """|t| m, scaled, m the marginal of an item's less likely side; and whether that is ruled out but has one."""
    zero, infinite, likely = full(t, 0), full(t, np.inf), t > full(t, 0)
    m, size = where(likely, rest, mu), where(likely, t, -t)
    return where((m > zero) & (size < infinite), m * (size * full(t, SCALE)), zero), (m > zero) & (size == infinite)


@inlined
def unscaled(cost, never):
    """The sum, and ∞ where some item is ruled out."""
    return where(never > full(cost, 0), full(cost, np.inf), cost * full(cost, 1 / SCALE))
