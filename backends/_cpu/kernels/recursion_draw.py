"""Exact samples of rows that choose few items: from last to first, each given how many are still to come.

An item is chosen with probability p P_i[c − 1] / P_{i+1}[c]. Only the states after every fourth item are in the table;
those between are rebuilt from five of them. Lanes are rows.
"""

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.kernels.recursion_passes import PAD, place
from ksubset.backends._cpu.kernels.uniforms import uniform
from ksubset.backends._cpu.simd.memory import load, store
from ksubset.backends._cpu.simd.vectors import any_lane, full, where


@inner
def draw(p, q, n, most, table, count, state, z, zero):
    """One subset in every lane of ``z``."""
    for b in range((n + 3) // 4 - 1, -1, -1):
        if any_lane(count > zero):
            count = draw_block(p, q, b, n, most, table, count, state, z, zero)
        else:
            put_block(z, b, zero, zero, zero, zero)


@inlined
def choose(chosen, unchosen, i, n, count, state, zero):
    """Whether to choose item ``i``, from the weights of both sides; u is compared with the smaller one.

    However the weights are rounded, exactly the required number of items is chosen in the end.
    """
    rare = where(chosen < unchosen, chosen, unchosen)
    picked = (uniform(state, zero) * (chosen + unchosen) < rare) ^ (unchosen <= chosen)
    return (count > zero) & (picked | (count > full(zero, i))) & (full(zero, i) < full(zero, n))


@inlined
def draw_block(p, q, b, n, most, table, count, state, z, zero):
    """Items 4b + 3 … 4b; returns how many are still to choose.

    x are the states before the block, y, v and t those after one, two and three of its items; each is counted downwards
    from the number still to choose, so that choosing an item moves every list up by one.
    """
    i, here, one = 4 * b, place(b, most), full(zero, 1)
    x0, x1, x2, x3, x4 = states_down(table, here, min(most, i), count, zero)
    p0, p1, p2, p3 = load(p, i, zero), load(p, i + 1, zero), load(p, i + 2, zero), load(p, i + 3, zero)
    q0, q1, q2, q3 = load(q, i, zero), load(q, i + 1, zero), load(q, i + 2, zero), load(q, i + 3, zero)
    y0, y1, y2, y3 = q0 * x0 + p0 * x1, q0 * x1 + p0 * x2, q0 * x2 + p0 * x3, q0 * x3 + p0 * x4
    v0, v1, v2 = q1 * y0 + p1 * y1, q1 * y1 + p1 * y2, q1 * y2 + p1 * y3
    t0, t1 = q2 * v0 + p2 * v1, q2 * v1 + p2 * v2

    last = choose(p3 * t1, q3 * t0, i + 3, n, count, state, zero)
    z3 = where(last, one, zero)
    v0, v1 = where(last, v1, v0), where(last, v2, v1)
    y0, y1, y2 = where(last, y1, y0), where(last, y2, y1), where(last, y3, y2)
    x0, x1, x2, x3 = where(last, x1, x0), where(last, x2, x1), where(last, x3, x2), where(last, x4, x3)
    third = choose(p2 * v1, q2 * v0, i + 2, n, count - z3, state, zero)
    z2 = where(third, one, zero)
    y0, y1 = where(third, y1, y0), where(third, y2, y1)
    x0, x1, x2 = where(third, x1, x0), where(third, x2, x1), where(third, x3, x2)
    second = choose(p1 * y1, q1 * y0, i + 1, n, count - z3 - z2, state, zero)
    z1 = where(second, one, zero)
    x0, x1 = where(second, x1, x0), where(second, x2, x1)
    first = choose(p0 * x1, q0 * x0, i, n, count - z3 - z2 - z1, state, zero)
    z0 = where(first, one, zero)
    put_block(z, b, z0, z1, z2, z3)
    return count - (z0 + z1 + z2 + z3)


@inlined
def states_down(table, here, most, count, zero):
    """The states ``count`` … ``count`` − 4 of every lane, 0 beyond ``most``: seven times as fast as gathering."""
    x0, x1, x2, x3, x4 = zero, zero, zero, zero, zero
    s0, s1, s2, s3, s4 = load(table, here, zero), zero, zero, zero, zero
    level, one = zero, full(zero, 1)
    for j in range(most + PAD + 1):
        found = count == level
        x0, x1, x2, x3, x4 = (
            where(found, s0, x0),
            where(found, s1, x1),
            where(found, s2, x2),
            where(found, s3, x3),
            where(found, s4, x4),
        )
        level = level + one
        s0, s1, s2, s3, s4 = load(table, here + j + 1, zero), s0, s1, s2, s3
    return x0, x1, x2, x3, x4


@inlined
def put_block(z, b, z0, z1, z2, z3):
    """Four items of every lane."""
    store(z, 4 * b, z0)
    store(z, 4 * b + 1, z1)
    store(z, 4 * b + 2, z2)
    store(z, 4 * b + 3, z3)
