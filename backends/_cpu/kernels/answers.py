"""The results of rows on the contour, written once all sums are known: log-partitions, marginals, J · v."""

import numpy as np

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.kernels.exchange import exchange_product, exchange_side
from ksubset.backends._cpu.kernels.factors import deviation, deviation_and_derivative
from ksubset.backends._cpu.kernels.power_sums import polynomial, sides
from ksubset.backends._cpu.kernels.rows import write_rows
from ksubset.backends._cpu.kernels.team import board_of, chunk, meet, post, posted_sum, section, sections
from ksubset.backends._cpu.kernels.variables import added, pushed, variable
from ksubset.backends._cpu.simd.elementary import log, total
from ksubset.backends._cpu.simd.memory import load_items, rows_at_once, step, store_items
from ksubset.backends._cpu.simd.vectors import any_lane, full, where


@inner
def write_marginals(row, found, work, out, first, rows, chosen_side, like):
    """μ, or 1 − μ, of a vector of rows."""
    table, place = target_of(row, work, out, first, like)
    s = row.team.rank
    while s < sections(row):
        write_some_marginals(row, s, found, work, table, place, chosen_side, like)
        s += row.team.size
    if rows_at_once(like) > 1:
        write_rows(work.y, rows, out, first, like)


@inlined
def target_of(row, work, out, first, like):
    """Where results go: to their place, or to lanes that are brought there later."""
    if rows_at_once(like) > 1:
        return work.y, 0
    return out, first * row.n


@inner
def write_some_marginals(row, s, found, work, table, place, chosen_side, like):
    """The marginals of a section."""
    first, stop = section(row, s, like)
    for i in range(first, stop, step(like)):
        y = load_items(row.x, row.at, i, stop, full(like, -np.inf))
        _, mu, rest = both_marginals(y, found, work, like)
        store_items(table, place, i, stop, mu if chosen_side else rest)


@inlined
def both_marginals(y, found, work, like):
    """Whether items are likely, μ and 1 − μ."""
    one = full(like, 1)
    chosen, w, unlikely, c, lean = variable(y, found.start, found.shift)
    mu, rest = unlikely, unlikely
    if found.size > 0:
        if found.terms:
            change = lean * polynomial(work.poly, 0, found.terms, c)
            change = change - polynomial(work.poly, found.terms, found.terms, c)
        else:
            change = deviation(work.nodes, found.size, c, lean)
        mu, rest = sides(chosen, unlikely, c, change)
    if any_lane(found.few):
        m = exchange_side(work.series, found.whole, chosen, w)
        mu = where(found.few, where(chosen, one - m, m), mu)
        rest = where(found.few, where(chosen, m, one - m), rest)
    return chosen, mu, rest


@inner
def unlikely_cost(row, found, work, like):
    """Σ |t| m, m the marginal of an item's less likely side, 0 where that is 0."""
    board, zero = board_of(row, like), full(like, 0)
    s = row.team.rank
    while s < sections(row):
        (first, stop), cost, lost = section(row, s, like), zero, zero
        for i in range(first, stop, chunk(like)):
            cost, lost = added(cost, lost, total(some_cost(row, i, min(i + chunk(like), stop), found, work, like)))
        post(board, s, 0, cost + lost)
        s += row.team.size
    meet(row.team)
    return posted_sum(board, row, 0, like)


@inner
def some_cost(row, first, stop, found, work, like):
    """The same of some items, lane by lane."""
    zero = full(like, 0)
    cost = zero
    for i in range(first, stop, step(like)):
        y = load_items(row.x, row.at, i, stop, full(like, -np.inf))
        chosen, mu, rest = both_marginals(y, found, work, like)
        t, m = (y + found.start) + found.shift, where(chosen, rest, mu)
        cost = cost + where(m == zero, zero, where(chosen, t, -t)) * m
    return cost


@inner
def log_partition(row, found, like):
    """log ΣAB, or log P + Σ log(1 + w)."""
    zero, one, board = full(like, 0), full(like, 1), board_of(row, like)
    s = row.team.rank
    while s < sections(row):
        (first, stop), outcome, lost = section(row, s, like), zero, zero
        for i in range(first, stop, chunk(like)):
            outcome, lost = added(outcome, lost, total(volume_of(row, i, min(i + chunk(like), stop), found, like)))
        post(board, s, 0, outcome + lost)
        s += row.team.size
    meet(row.team)
    outcome = posted_sum(board, row, 0, like)
    return where(found.few, log_of_more(found.whole - one), outcome + log(found.total))


@inner
def volume_of(row, first, stop, found, like):
    """Σ log(1 + w) of some items, lane by lane."""
    out = full(like, 0)
    for i in range(first, stop, step(like)):
        y = load_items(row.x, row.at, i, stop, full(like, -np.inf))
        out = out + log_of_more(variable(y, found.start, found.shift)[1])
    return out


@inlined
def log_of_more(w):
    """log(1 + w) for w ≥ 0, with relative accuracy."""
    one = full(w, 1)
    u = one + w
    return log(u) + (w - (u - one)) / u


@inner
def write_product(row, found, work, out, first, rows, like):
    """J · v of a vector of rows."""
    table, place = target_of(row, work, out, first, like)
    s = row.team.rank
    while s < sections(row):
        write_some_products(row, s, found, work, table, place, like)
        s += row.team.size
    if rows_at_once(like) > 1:
        write_rows(work.y, rows, out, first, like)


@inner
def write_some_products(row, s, found, work, table, place, like):
    """J · v of a section."""
    some, others, span = any_lane(found.few), found.size > 0, found.terms + 2
    first, stop = section(row, s, like)
    for i in range(first, stop, step(like)):
        y = load_items(row.x, row.at, i, stop, full(like, -np.inf))
        chosen, w, _, c, lean = variable(y, found.start, found.shift)
        direction = load_items(row.v, row.v_at, i, stop, full(like, 0))
        u = pushed(direction, c, found.mean)
        x = u
        if others:
            if found.terms:
                x = u * (polynomial(work.poly, 0, span, c) + lean * polynomial(work.poly, span, span, c))
                x = x + c * (
                    lean * polynomial(work.poly, 2 * span, found.terms, c)
                    - polynomial(work.poly, 3 * span, found.terms, c)
                )
            else:
                value, derivative = deviation_and_derivative(work.nodes, found.size, c, lean, u)
                x = u + u * lean * value + c * derivative
        if some:
            x = where(
                found.few, exchange_product(work.series, found.whole, chosen, w, pushed(direction, w, found.mean)), x
            )
        store_items(table, place, i, stop, x)
