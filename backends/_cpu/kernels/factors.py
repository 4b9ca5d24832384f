"""Rows of any variance on Lanes: the integrand and its derivative by the factors themselves.

See ``ksubset._engine.factors`` and ``ksubset._engine.direct``. Products are kept for each node in the table of nodes.
"""

import numpy as np

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.kernels.nodes import (
    ANGLE,
    DIM,
    DRE,
    FALL,
    FIM,
    FLOOR,
    FRE,
    IM,
    MOST,
    RE,
    SINE,
    ZIM,
    ZRE,
    add,
    put_integrand,
)
from ksubset.backends._cpu.kernels.team import (
    add_to_posts,
    board_of,
    chunk,
    clear_posts,
    meet,
    post,
    posted,
    posted_sum,
    section,
    sections,
)
from ksubset.backends._cpu.kernels.variables import pushed, variable
from ksubset.backends._cpu.simd.elementary import reciprocal, total
from ksubset.backends._cpu.simd.memory import load, load_items, step, store
from ksubset.backends._cpu.simd.vectors import any_lane, full, where, width

EVEN = 0.125


@inlined
def multiply_less_one(nodes, j, re, im):
    """Z ← (1 + Z)(1 + x) − 1 at a node."""
    a, b = load(nodes, ZRE * MOST + j, re), load(nodes, ZIM * MOST + j, re)
    store(nodes, ZRE * MOST + j, a + (re + (a * re - b * im)))
    store(nodes, ZIM * MOST + j, b + (im + (a * im + b * re)))


@inlined
def multiply(nodes, j, re, im):
    """F ← F · x at a node."""
    a, b = load(nodes, FRE * MOST + j, re), load(nodes, FIM * MOST + j, re)
    store(nodes, FRE * MOST + j, a * re - b * im)
    store(nodes, FIM * MOST + j, a * im + b * re)


@inner
def multiply_factors(row, first, stop, start, shift, nodes, size, like):
    """Products over some items, lane by lane: of the others less 1, of nearly even ones as they are."""
    zero, one = full(like, 0), full(like, 1)
    for j in range(size):
        store(nodes, ZRE * MOST + j, zero)
        store(nodes, ZIM * MOST + j, zero)
    for i in range(first, stop, step(like)):
        y = load_items(row.x, row.at, i, stop, full(like, -np.inf))
        chosen, _, unlikely, c, lean = variable(y, start, shift)
        even = c > full(like, EVEN)
        small = where(even, zero, unlikely)
        signed = where(chosen, -small, small)
        for j in range(size):
            fall, sine = load(nodes, FALL * MOST + j, like), load(nodes, SINE * MOST + j, like)
            multiply_less_one(nodes, j, small * fall, signed * sine)
        if any_lane(even):
            half = where(even, unlikely, zero)
            signed, lean = where(chosen, -half, half), where(even, where(chosen, -lean, lean), one)
            for j in range(size):
                floor, sine = load(nodes, FLOOR * MOST + j, like), load(nodes, SINE * MOST + j, like)
                multiply(nodes, j, lean + (half + half) * floor, signed * sine)


@inner
def integrand_by_factors(row, start, shift, ahead, nodes, size, spare, like):
    """F e^−ikφ at the nodes."""
    one, board = full(like, 1), board_of(row, like)
    s = row.team.rank
    while s < sections(row):
        post_products(row, s, start, shift, nodes, size, spare, board, like)
        s += row.team.size
    meet(row.team)
    for j in range(size):
        for kind in range(4):
            store(nodes, (ZRE + kind) * MOST + j, posted(board, 0, kind * MOST + j, like))
        for s in range(1, sections(row)):
            multiply_less_one(nodes, j, posted(board, s, j, like), posted(board, s, MOST + j, like))
            multiply(nodes, j, posted(board, s, 2 * MOST + j, like), posted(board, s, 3 * MOST + j, like))
    if step(like) > 1:
        join_lanes(nodes, size, like)
    for j in range(size):
        a, b = one + load(nodes, ZRE * MOST + j, like), load(nodes, ZIM * MOST + j, like)
        c, d = load(nodes, FRE * MOST + j, like), load(nodes, FIM * MOST + j, like)
        angle = ahead * load(nodes, ANGLE * MOST + j, like)
        put_integrand(nodes, j, one, angle, a * c - b * d, a * d + b * c)


@inner
def post_products(row, s, start, shift, nodes, size, spare, board, like):
    """Products over the items of a section; products less 1 are added up in chunks."""
    for j in range(size):
        store(nodes, FRE * MOST + j, full(like, 1))
        store(nodes, FIM * MOST + j, full(like, 0))
        store(spare, j, full(like, 0))
        store(spare, MOST + j, full(like, 0))
    first, stop = section(row, s, like)
    for i in range(first, stop, chunk(like)):
        multiply_factors(row, i, min(i + chunk(like), stop), start, shift, nodes, size, like)
        for j in range(size):
            multiply_less_one(nodes, j, load(spare, j, like), load(spare, MOST + j, like))
            store(spare, j, load(nodes, ZRE * MOST + j, like))
            store(spare, MOST + j, load(nodes, ZIM * MOST + j, like))
    for j in range(size):
        post(board, s, j, load(spare, j, like))
        post(board, s, MOST + j, load(spare, MOST + j, like))
        post(board, s, 2 * MOST + j, load(nodes, FRE * MOST + j, like))
        post(board, s, 3 * MOST + j, load(nodes, FIM * MOST + j, like))


@inner
def join_lanes(nodes, size, like):
    """Combine the products of all lanes; every lane holds the result."""
    lanes = width(like)
    for j in range(size):
        for kind in (ZRE, FRE):
            base, other = (kind * MOST + j) * lanes, ((kind + 1) * MOST + j) * lanes
            half = lanes // 2
            while half > 0:
                for r in range(half):
                    a, b, c, d = nodes[base + r], nodes[other + r], nodes[base + half + r], nodes[other + half + r]
                    re, im = a * c - b * d, a * d + b * c
                    if kind == ZRE:
                        re, im = re + (a + c), im + (b + d)
                    nodes[base + r], nodes[other + r] = re, im
                half //= 2
            for r in range(1, lanes):
                nodes[base + r], nodes[other + r] = nodes[base], nodes[other]


@inner
def log_derivative(row, start, shift, mean, nodes, size, spare, like):
    """The derivative of log F at the nodes: Σ u (q − p)/|f|² and Σ u/|f|², times cos φ − 1 and sin φ."""
    board = board_of(row, like)
    s = row.team.rank
    while s < sections(row):
        clear_posts(board, s, 0, MOST + size, like)
        first, stop = section(row, s, like)
        for i in range(first, stop, chunk(like)):
            sum_changes(row, i, min(i + chunk(like), stop), start, shift, mean, nodes, size, spare, like)
            add_to_posts(board, s, spare, 0, size, like)
            add_to_posts(board, s, spare, MOST, MOST + size, like)
        s += row.team.size
    meet(row.team)
    for j in range(size):
        re, im = total(posted_sum(board, row, j, like)), total(posted_sum(board, row, MOST + j, like))
        store(nodes, DRE * MOST + j, re * load(nodes, FALL * MOST + j, like))
        store(nodes, DIM * MOST + j, im * load(nodes, SINE * MOST + j, like))


@inner
def sum_changes(row, first, stop, start, shift, mean, nodes, size, spare, like):
    """Both sums of some items."""
    for j in range(size):
        store(spare, j, full(like, 0))
        store(spare, MOST + j, full(like, 0))
    for i in range(first, stop, step(like)):
        _, _, _, c, lean = variable(load_items(row.x, row.at, i, stop, full(like, -np.inf)), start, shift)
        u = pushed(load_items(row.v, row.v_at, i, stop, full(like, 0)), c, mean)
        square, c = lean * lean, full(like, 4) * c
        for j in range(size):
            part = u * reciprocal(square + c * load(nodes, FLOOR * MOST + j, like))
            add(spare, j, part * lean)
            add(spare, MOST + j, part)


@inlined
def deviation(nodes, size, spread, lean):
    """Δ of an item."""
    square, c, out = lean * lean, full(spread, 4) * spread, full(spread, 0)
    for j in range(size):
        a = load(nodes, RE * MOST + j, spread) * load(nodes, FALL * MOST + j, spread)
        b = load(nodes, IM * MOST + j, spread) * load(nodes, SINE * MOST + j, spread)
        out = out + (lean * a - b) * reciprocal(square + c * load(nodes, FLOOR * MOST + j, spread))
    return out


@inlined
def deviation_and_derivative(nodes, size, spread, lean, u):
    """Δ of an item, and dΔ; the item's own push u is taken from the change before both are multiplied."""
    square, c, value, derivative = lean * lean, full(spread, 4) * spread, full(spread, 0), full(spread, 0)
    for j in range(size):
        inverse = reciprocal(square + c * load(nodes, FLOOR * MOST + j, spread))
        a = lean * load(nodes, FALL * MOST + j, spread) * inverse
        b = load(nodes, SINE * MOST + j, spread) * inverse
        re, im = load(nodes, RE * MOST + j, spread), load(nodes, IM * MOST + j, spread)
        x, y = re * a - im * b, re * b + im * a
        value = value + x
        p, q = load(nodes, DRE * MOST + j, spread) - u * x, load(nodes, DIM * MOST + j, spread) - u * y
        derivative = derivative + (a * p - b * q)
    return value, derivative
