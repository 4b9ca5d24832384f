"""The kernels of one number to a row that Python calls: entropies and log-normalisers, in O(n) or by recursion.

Arguments are as in ``moments`` and ``recursion``; ``out`` has a number for each row, (count,): the entropy, or the
log-normaliser where ``normaliser`` is 1. The recursion runs on odds. Its last state is Π(1 + w) P, whose logarithm is
the log-partition, and at most e^41 for subsets of 12 items: about 12 items are likely, and the odds of the others add
up to about 12.
"""

from numba import int64

from ksubset.backends._cpu.compiling import inlined, inner, kernel
from ksubset.backends._cpu.kernels.answers import log_partition, unlikely_cost
from ksubset.backends._cpu.kernels.moments import solve_rows, tilted_rows, workspace
from ksubset.backends._cpu.kernels.normalizers import put_normalizers
from ksubset.backends._cpu.kernels.power_sums import deviation_polynomials
from ksubset.backends._cpu.kernels.recursion import read, settle, tilt
from ksubset.backends._cpu.kernels.recursion import workspace as recursion_workspace
from ksubset.backends._cpu.kernels.recursion_passes import inside, outside, place, seed_suffix
from ksubset.backends._cpu.kernels.rows import fill_items, padded, put_lanes
from ksubset.backends._cpu.kernels.team import alone, team_of
from ksubset.backends._cpu.kernels.variables import added, variable
from ksubset.backends._cpu.simd.elementary import log
from ksubset.backends._cpu.simd.memory import load, rows_at_once, store
from ksubset.backends._cpu.simd.subnormal import flush_subnormals, restore_mode
from ksubset.backends._cpu.simd.tables import table_at
from ksubset.backends._cpu.simd.vectors import full, where, width, zeros


@kernel
def contour(theta, k, same, n, count, begin, stop, normaliser, out, scratch, end, rank, size, shared, layout):
    """The entropy: log partition + Σ |t| m. The log-normaliser: log partition + Σ θ of the likely items + (L − k) λ."""
    mode, zero = flush_subnormals(), zeros(layout)
    theta, k, out = table_at(theta, n, zero), table_at(k, 0, int64(0)), table_at(out, count, zero)
    group, work = rows_at_once(zero), workspace(scratch, n, zero)
    team = team_of(rank, size, shared, work.board)
    for first in range(begin, stop, group):
        rows = min(group, stop - first)
        row, target, a, b, totals = tilted_rows(theta, k, same, first, rows, n, work, team, zero)
        found = solve_rows(row, a, b, totals, work, False, zero)
        level = log_partition(row, found, zero)
        if normaliser:
            put_normalizers(row, level, a, b, target, full(zero, 1), out, first, rows, zero)
        else:
            if found.terms:
                deviation_polynomials(work.nodes, found.size, found.terms, work.poly, zero)
            put_lanes(level + unlikely_cost(row, found, work, zero), work.level, out, 0, first, rows)
    restore_mode(mode)


@kernel
def recursion(theta, k, same, n, most, count, begin, stop, normaliser, out, scratch, end, layout):
    """The same for rows that choose few items, or leave out few."""
    mode, zero = flush_subnormals(), zeros(layout)
    theta, k, out = table_at(theta, n, zero), table_at(k, 0, int64(0)), table_at(out, count, zero)
    work, blocks = recursion_workspace(scratch, 1, n, most, zero), (n + 3) // 4
    for first in range(begin, stop, width(zero)):
        rows = min(width(zero), stop - first)
        high, start, shift, level = weighed_rows(theta, k, same, first, rows, n, work, zero)
        if normaliser:
            row, sign, target = alone(work.x, n, work.board), load(work.sign, 0, zero), load(work.target, 0, zero)
            put_normalizers(row, level, start, shift, target, sign, out, first, rows, zero)
        else:
            seed_suffix(work.table, blocks, high, work.target, work.suffix, zero)
            outside(work.p, work.q, blocks, high, work.table, work.suffix, work.chosen, work.unchosen, zero)
            settle(n, start, work)
            put_lanes(level + cost_of_sides(n, start, shift, work), work.level, out, 0, first, rows)
    restore_mode(mode)


@inlined
def weighed_rows(theta, k, same, first, rows, n, work, like):
    """The greatest count of rows that are brought into lanes, their tilt, and their log-partitions."""
    high, _ = read(theta, first, rows, n, k, same, work, like)
    start, shift = tilt(n, False, theta, work, first, rows, like)
    blocks = (n + 3) // 4
    odds(n, start, shift, work, like)
    inside(work.p, work.q, blocks, high, work.table, full(like, 0), full(like, 1))
    return high, start, shift, log(last_state(blocks, high, work, like)) + (start - start)


@inner
def odds(n, start, shift, work, like):
    """The odds of choosing and of leaving out every item, the greater one 1; items that fill up the last block: 0."""
    one = full(like, 1)
    for i in range(n):
        chosen, w, _, _, _ = variable(load(work.x, i, like), start, shift)
        store(work.p, i, where(chosen, one, w))
        store(work.q, i, where(chosen, w, one))
    fill_items(work.p, n, padded(n), full(like, 0))
    fill_items(work.q, n, padded(n), one)


@inlined
def last_state(blocks, most, work, like):
    """The state at each lane's k after all items."""
    lanes, root = width(like), place(blocks, most)
    for r in range(lanes):
        work.level[r] = work.table[(root + int(work.target[r])) * lanes + r]
    return load(work.level, 0, like)


@inner
def cost_of_sides(n, start, shift, work):
    """Σ |t| m, m the marginal of an item's less likely side, 0 where that is 0."""
    zero = full(start, 0)
    cost, lost = zero, zero
    for i in range(n):
        t = (load(work.x, i, start) + start) + shift
        chosen = t > zero
        m = where(chosen, load(work.unchosen, i, start), load(work.chosen, i, start))
        cost, lost = added(cost, lost, where(m == zero, zero, where(chosen, t, -t)) * m)
    return cost + lost
