"""Exact samples: items from last to first, each chosen with its probability given how many are still to choose.

An item is chosen with probability p P_i[c − 1] / P_{i+1}[c]. Only every fourth window is in the table; those between
are rebuilt from five of its states. Lanes are rows, or, where there is one row, independent draws from it.
"""

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.memory import gather, item, load_numbers, store_numbers
from ksubset.backends._cpu.passes import last_segment, replay
from ksubset.backends._cpu.uniforms import uniform
from ksubset.backends._cpu.vectors import any_lane, full, where, width
from ksubset.backends._cpu.window import end_of


@inner
def draw(p, q, blocks, pace, resident, at, band, table, saved, target, state, z, zero):
    """One subset in every lane of ``z``; the segment left in the table is the first one."""
    count = load_numbers(target, 0, zero)
    for start in range(last_segment(blocks, pace), -1, -pace):
        at -= end_of(band, start, zero) - band.low[start]
        stop = replay(p, q, blocks, start, pace, resident, band, table, saved, at, zero)
        for b in range(stop - 1, start - 1, -1):
            if any_lane(count > zero):
                count = draw_block(p, q, b, band, table, count, state, z, zero)
            else:
                put_block(z, b, zero, zero, zero, zero)


@inlined
def choose(chosen, unchosen, state, zero):
    """Whether to choose an item, from the weights of both sides; u is compared with the smaller one."""
    rare = where(chosen < unchosen, chosen, unchosen)
    return (uniform(state, zero) * (chosen + unchosen) < rare) ^ (unchosen <= chosen)


@inlined
def draw_block(p, q, b, band, table, count, state, z, zero):
    """Items 4b + 3 … 4b; returns how many are still to choose.

    x are the states of the window before the block, y, v and t those after one, two and three of its items; each is
    counted downwards from what is still to choose, so that choosing an item moves every list up by one.
    """
    i, here, one = 4 * b, band.offset[b], full(zero, 1)
    least, most = full(zero, band.low[b]), full(zero, band.high[b] + 4)
    c = where(count < least, least, count)  # differs from count only where a row is infeasible
    c = where(c > most, most, c)
    x0, x1, x2 = gather(table, here, c), gather(table, here - 1, c), gather(table, here - 2, c)
    x3, x4 = gather(table, here - 3, c), gather(table, here - 4, c)
    p0, p1, p2, p3 = item(p, i, zero), item(p, i + 1, zero), item(p, i + 2, zero), item(p, i + 3, zero)
    q0, q1, q2, q3 = item(q, i, zero), item(q, i + 1, zero), item(q, i + 2, zero), item(q, i + 3, zero)
    y0, y1, y2, y3 = q0 * x0 + p0 * x1, q0 * x1 + p0 * x2, q0 * x2 + p0 * x3, q0 * x3 + p0 * x4
    v0, v1, v2 = q1 * y0 + p1 * y1, q1 * y1 + p1 * y2, q1 * y2 + p1 * y3
    t0, t1 = q2 * v0 + p2 * v1, q2 * v1 + p2 * v2

    last = choose(p3 * t1, q3 * t0, state, zero)
    v0, v1 = where(last, v1, v0), where(last, v2, v1)
    y0, y1, y2 = where(last, y1, y0), where(last, y2, y1), where(last, y3, y2)
    x0, x1, x2, x3 = where(last, x1, x0), where(last, x2, x1), where(last, x3, x2), where(last, x4, x3)
    third = choose(p2 * v1, q2 * v0, state, zero)
    y0, y1 = where(third, y1, y0), where(third, y2, y1)
    x0, x1, x2 = where(third, x1, x0), where(third, x2, x1), where(third, x3, x2)
    second = choose(p1 * y1, q1 * y0, state, zero)
    x0, x1 = where(second, x1, x0), where(second, x2, x1)
    first = choose(p0 * x1, q0 * x0, state, zero)

    z0, z1, z2 = where(first, one, zero), where(second, one, zero), where(third, one, zero)
    z3 = where(last, one, zero)
    put_block(z, b, z0, z1, z2, z3)
    return count - (z0 + z1 + z2 + z3)


@inlined
def put_block(z, b, z0, z1, z2, z3):
    """Four items of every lane."""
    lanes = width(z0)
    at = 4 * b * lanes
    store_numbers(z, at, z0)
    store_numbers(z, at + lanes, z1)
    store_numbers(z, at + 2 * lanes, z2)
    store_numbers(z, at + 3 * lanes, z3)
