"""Rows of small variance on Lanes, by how many items a subset exchanges with the likeliest; see `_engine.exchange`.

Series are vectors in a table, one after the other: first the unlikely items' series, then the likely items'.
"""

import numpy as np

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.kernels.nodes import add
from ksubset.backends._cpu.kernels.team import (
    add_to_posts,
    board_of,
    chunk,
    clear_posts,
    meet,
    posted_sum,
    section,
    sections,
)
from ksubset.backends._cpu.kernels.variables import pushed, variable
from ksubset.backends._cpu.simd.elementary import total
from ksubset.backends._cpu.simd.memory import load, load_items, step, store
from ksubset.backends._cpu.simd.vectors import full, where

BELOW = 1.0
SINGLE, DOUBLE = 6, 10
SPAN = 12
"""Places for a series."""

SUMS, CHANGES, SERIES, MOVED, ONE_OUT, WEIGHTED, OTHERS = range(0, 14, 2)
"""Σ w^j and Σ dw w^(j−1), A and dA, and these less an item, for the unlikely items; + 1 for the likely."""
KINDS = 14


@inlined
def exchanged(table):
    """How many items are exchanged at most."""
    return SINGLE if table.itemsize == 4 else DOUBLE


@inner
def sum_odds(row, start, shift, mean, few, part, table, like):
    """Σ w^j, and Σ w^(j−1) dw for dw = ± w (v − mean), of the items on either side; no odds where not ``few``."""
    board = board_of(row, like)
    s = row.team.rank
    while s < sections(row):
        clear_posts(board, s, 0, 4 * SPAN, like)
        first, stop = section(row, s, like)
        for i in range(first, stop, chunk(like)):
            sum_some_odds(row, i, min(i + chunk(like), stop), start, shift, mean, few, part, exchanged(table), like)
            add_to_posts(board, s, part, 0, 4 * SPAN, like)
        s += row.team.size
    meet(row.team)
    for j in range(4 * SPAN):
        store(table, j, total(posted_sum(board, row, j, like)))


@inner
def sum_some_odds(row, first, stop, start, shift, mean, few, part, most, like):
    """The same of some items."""
    zero = full(like, 0)
    for j in range(4 * SPAN):
        store(part, j, zero)
    for i in range(first, stop, step(like)):
        chosen, w, _, _, _ = variable(load_items(row.x, row.at, i, stop, full(like, -np.inf)), start, shift)
        w = where(few, w, zero)
        u = pushed(load_items(row.v, row.v_at, i, stop, zero), w, mean)
        x, dx = where(chosen, zero, w), where(chosen, zero, u)
        y, dy = where(chosen, w, zero), where(chosen, -u, zero)
        for j in range(most):
            add(part, SUMS * SPAN + j, x)
            add(part, (SUMS + 1) * SPAN + j, y)
            add(part, CHANGES * SPAN + j, dx)
            add(part, (CHANGES + 1) * SPAN + j, dy)
            x, y, dx, dy = x * w, y * w, dx * w, dy * w


@inner
def find_series(table, side, like):
    """A_0 … A_S by s A_s = Σ_j (−1)^(j−1) A_{s−j} Σ w^j, and dA_s = Σ_j (−1)^(j−1) A_{s−j} Σ w^(j−1) dw."""
    most, a, da = exchanged(table), (SERIES + side) * SPAN, (MOVED + side) * SPAN
    store(table, a, full(like, 1))
    store(table, da, full(like, 0))
    for s in range(1, most + 1):
        x, dx, sign = full(like, 0), full(like, 0), 1.0
        for j in range(s):
            before = full(like, sign) * load(table, a + s - 1 - j, like)
            x = x + before * load(table, (SUMS + side) * SPAN + j, like)
            dx = dx + before * load(table, (CHANGES + side) * SPAN + j, like)
            sign = -sign
        store(table, a + s, x * full(like, 1 / s))
        store(table, da + s, dx)


@inner
def leave_one_out(table, side, like):
    """The coefficients of (−w)^j when an item of a side is left out, j + 1 times these, and the change of these.

    Returns Σ A_s B_s; its relative change, times the coefficients, has been subtracted from the change.
    """
    most, a, b = exchanged(table), (SERIES + side) * SPAN, (SERIES + 1 - side) * SPAN
    da, db = (MOVED + side) * SPAN, (MOVED + 1 - side) * SPAN
    whole, change = full(like, 1), full(like, 0)
    for s in range(1, most + 1):
        x, y = load(table, a + s, like), load(table, b + s, like)
        whole, change = whole + x * y, change + load(table, da + s, like) * y + x * load(table, db + s, like)
    change = change / whole
    for j in range(most):
        x, dx = full(like, 0), full(like, 0)
        for s in range(j + 1, most + 1):
            y, z = load(table, b + s, like), load(table, a + s - 1 - j, like)
            x = x + y * z
            dx = dx + load(table, db + s, like) * z + y * load(table, da + s - 1 - j, like)
        store(table, (ONE_OUT + side) * SPAN + j, x)
        store(table, (WEIGHTED + side) * SPAN + j, full(like, j + 1) * x)
        store(table, (OTHERS + side) * SPAN + j, dx - change * x)
    return whole


@inner
def exchange(row, start, shift, mean, few, part, table, like):
    """All series of the rows; returns Σ A_s B_s."""
    sum_odds(row, start, shift, mean, few, part, table, like)
    find_series(table, 0, like)
    find_series(table, 1, like)
    leave_one_out(table, 1, like)
    return leave_one_out(table, 0, like)


@inlined
def series_at(table, kind, chosen, w):
    """A polynomial in −w, with coefficients of its own for either side."""
    x = full(w, 0)
    for j in range(exchanged(table) - 1, -1, -1):
        x = where(chosen, load(table, (kind + 1) * SPAN + j, w), load(table, kind * SPAN + j, w)) - w * x
    return x


@inlined
def exchange_side(table, whole, chosen, w):
    """The marginal of an item's less likely side."""
    return w * series_at(table, ONE_OUT, chosen, w) / whole


@inlined
def exchange_product(table, whole, chosen, w, u):
    """J · v of an item, u = w (v − mean)."""
    x = u * series_at(table, WEIGHTED, chosen, w)
    y = w * series_at(table, OTHERS, chosen, w)
    return (x + where(chosen, -y, y)) / whole
