"""The kernels of log-probabilities that Python calls: of draws of every row, (draws · count, n), a number each.

Arguments are as in ``scalars``; ``z`` holds 0 and 1. Draw d of row r is row d · count + r of it and of ``out``. A
row is tilted once for all its draws. A subset of another size has −∞, and one with entries other than 0 and 1 NaN.
"""

import numpy as np
from numba import int64

from ksubset.backends._cpu.compiling import inlined, inner, kernel
from ksubset.backends._cpu.kernels.answers import log_partition
from ksubset.backends._cpu.kernels.moments import brought, solve_rows, tilted_rows, workspace
from ksubset.backends._cpu.kernels.recursion import workspace as recursion_workspace
from ksubset.backends._cpu.kernels.rows import put_lanes, read_rows
from ksubset.backends._cpu.kernels.scalars import weighed_rows
from ksubset.backends._cpu.kernels.team import Row, Team, board_of, meet, post, posted, section, sections, team_of
from ksubset.backends._cpu.kernels.variables import SCALE, added
from ksubset.backends._cpu.simd.elementary import total
from ksubset.backends._cpu.simd.memory import load, load_items, rows_at_once, step
from ksubset.backends._cpu.simd.subnormal import flush_subnormals, restore_mode
from ksubset.backends._cpu.simd.tables import table_at
from ksubset.backends._cpu.simd.vectors import full, where, width, zeros


@kernel
def contour(theta, k, same, n, count, begin, stop, z, draws, out, scratch, end, rank, size, shared, layout):
    """−(log partition + Σ |t| of the items on their less likely side)."""
    mode, zero = flush_subnormals(), zeros(layout)
    theta, k, z, out = (
        table_at(theta, n, zero),
        table_at(k, 0, int64(0)),
        table_at(z, n, zero),
        table_at(out, 0, zero),
    )
    group, work = rows_at_once(zero), workspace(scratch, n, zero)
    team = team_of(rank, size, shared, work.board)
    for first in range(begin, stop, group):
        rows = min(group, stop - first)
        row, target, start, shift, totals = tilted_rows(theta, k, same, first, rows, n, work, team, zero)
        level = log_partition(row, solve_rows(row, start, shift, totals, work, False, zero), zero)
        for d in range(draws):
            drawn, place = brought(z, d * count + first, rows, n, work.v, zero)
            subset = Row(row.x, row.at, drawn, place, n, team)
            answer = score(subset, start, shift, full(zero, 1), level, target, zero)
            put_lanes(answer, work.level, out, 0, d * count + first, rows)
    restore_mode(mode)


@kernel
def recursion(theta, k, same, n, most, count, begin, stop, z, draws, out, scratch, end, layout):
    """The same for rows that choose few items, or leave out few."""
    mode, zero = flush_subnormals(), zeros(layout)
    theta, k, z, out = (
        table_at(theta, n, zero),
        table_at(k, 0, int64(0)),
        table_at(z, n, zero),
        table_at(out, 0, zero),
    )
    work = recursion_workspace(scratch, 1, n, most, zero)
    for first in range(begin, stop, width(zero)):
        rows = min(width(zero), stop - first)
        _, start, shift, level = weighed_rows(theta, k, same, first, rows, n, work, zero)
        team, sign, target = Team(0, 1, work.board), load(work.sign, 0, zero), load(work.target, 0, zero)
        target = where(sign < zero, full(zero, n) - target, target)
        for d in range(draws):
            read_rows(z, d * count + first, rows, work.chosen, zero)
            subset = Row(work.x, 0, work.chosen, 0, n, team)
            answer = score(subset, start, shift, sign, level, target, zero)
            put_lanes(answer, work.level, out, 0, d * count + first, rows)
    restore_mode(mode)


@inner
def score(row, start, shift, sign, level, k, like):
    """The log-probabilities of ``row.v``; where ``sign`` is −1, of the row whose items were negated."""
    board, zero = board_of(row, like), full(like, 0)
    s = row.team.rank
    while s < sections(row):
        post_score(row, s, start, shift, sign, board, like)
        s += row.team.size
    meet(row.team)
    cost, lost, chosen, never, strange = zero, zero, zero, zero, zero
    for s in range(sections(row)):
        cost, lost = added(cost, lost + posted(board, s, 1, like), posted(board, s, 0, like))
        chosen, never = chosen + posted(board, s, 2, like), never + posted(board, s, 3, like)
        strange = strange + posted(board, s, 4, like)
    answer = -((cost + lost) * full(like, 1 / SCALE) + level)
    impossible = (never > zero) | (chosen != k)
    answer = where(impossible & (level == level), full(like, -np.inf), answer)
    return where(strange > zero, full(like, np.nan), answer)


@inlined
def post_score(row, s, start, shift, sign, board, like):
    """Σ |t| of the items on their less likely side, with its roundings, and the three counts, of a section."""
    zero, one, infinite = full(like, 0), full(like, 1), full(like, np.inf)
    cost, lost, chosen, never, strange = zero, zero, zero, zero, zero
    first, stop = section(row, s, like)
    for i in range(first, stop, step(like)):
        t = ((load_items(row.x, row.at, i, stop, -infinite) + start) + shift) * sign
        z, likely = load_items(row.v, row.v_at, i, stop, zero), t > zero
        size, share = where(likely, t, -t), where(likely, one - z, z)
        counts = share > zero
        cost, lost = added(cost, lost, where(counts & (size < infinite), share * (size * full(like, SCALE)), zero))
        chosen, never = chosen + z, never + where(counts & (size == infinite), one, zero)
        strange = strange + where((z == zero) | (z == one), zero, one)
    post(board, s, 0, total(cost))
    post(board, s, 1, total(lost))
    post(board, s, 2, total(chosen))
    post(board, s, 3, total(never))
    post(board, s, 4, total(strange))
