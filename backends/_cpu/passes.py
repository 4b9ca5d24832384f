"""Inside and outside for rows that choose few items: item after item, in blocks of four. On Lanes or on Dual numbers.

State j after a block is the probability that the items so far bring the count to j, 0 … ``width``; a table holds the
states after every block, ``stride(width)`` of them each. ``suffix[j]`` is the derivative of the answer by state j, going
down. Lanes are rows. States that a block reads again and again are kept in registers.
"""

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.memory import gather, item, load, load_numbers, put_item, store, store_numbers
from ksubset.backends._cpu.vectors import full, number, width

PAD = 4
"""A block of four items reads as many states beyond its own."""


@inlined
def stride(most):
    """States to a block, with zeros after them."""
    return most + 1 + PAD


@inlined
def place(b, most):
    """Where in a table the states after ``b`` blocks start."""
    return PAD + b * stride(most)


@inlined
def block(p, q, i, like):
    """The polynomials of items i, i + 1 and of items i + 2, i + 3."""
    p0, p1, p2, p3 = item(p, i, like), item(p, i + 1, like), item(p, i + 2, like), item(p, i + 3, like)
    q0, q1, q2, q3 = item(q, i, like), item(q, i + 1, like), item(q, i + 2, like), item(q, i + 3, like)
    return q0 * q1, q0 * p1 + p0 * q1, p0 * p1, q2 * q3, q2 * p3 + p2 * q3, p2 * p3


@inlined
def product(a0, a1, a2, b0, b1, b2):
    """The polynomial of all four items."""
    return a0 * b0, a0 * b1 + a1 * b0, a0 * b2 + a1 * b1 + a2 * b0, a1 * b2 + a2 * b1, a2 * b2


@inner
def inside(p, q, blocks, most, table, zero, one):
    """The states after every block."""
    for j in range(place(1, most)):
        store(table, j, zero)
    put_item(table, place(0, most), one)
    for b in range(blocks):
        a0, a1, a2, b0, b1, b2 = block(p, q, 4 * b, zero)
        w0, w1, w2, w3, w4 = product(a0, a1, a2, b0, b1, b2)
        before, after = place(b, most), place(b + 1, most)
        top = min(most, 4 * b + 4)
        x1, x2, x3, x4 = zero, zero, zero, zero
        for j in range(top + 1):
            x0 = load(table, before + j, zero)
            store(table, after + j, (w0 * x0 + w1 * x1) + (w2 * x2 + w3 * x3) + w4 * x4)
            x1, x2, x3, x4 = x0, x1, x2, x3
        for j in range(PAD):
            store(table, after + top + 1 + j, zero)
            store(table, after + most + 1 + j, zero)


@inner
def outside(p, q, blocks, most, table, suffix, chosen, unchosen, zero):
    """chosen[i] = p_i O_i[1] and unchosen[i] = q_i O_i[0], O_i the outside polynomial of item i."""
    for b in range(blocks - 1, -1, -1):
        a0, a1, a2, b0, b1, b2 = block(p, q, 4 * b, zero)
        w0, w1, w2, w3, w4 = product(a0, a1, a2, b0, b1, b2)
        here, o0, o1, o2, o3, o4 = place(b, most), zero, zero, zero, zero, zero
        s0, s1, s2, s3 = (load(suffix, 0, zero), load(suffix, 1, zero), load(suffix, 2, zero), load(suffix, 3, zero))
        for j in range(min(most, 4 * b) + 1):
            x, s4 = load(table, here + j, zero), load(suffix, j + 4, zero)
            o0, o1, o2, o3, o4 = o0 + x * s0, o1 + x * s1, o2 + x * s2, o3 + x * s3, o4 + x * s4
            store(suffix, j, (w0 * s0 + w1 * s1) + (w2 * s2 + w3 * s3) + w4 * s4)
            s0, s1, s2, s3 = s1, s2, s3, s4
        c0, c1, c2 = b0 * o0 + b1 * o1 + b2 * o2, b0 * o1 + b1 * o2 + b2 * o3, b0 * o2 + b1 * o3 + b2 * o4
        put_pair(p, q, 4 * b, c0, c1, c2, chosen, unchosen)
        c0, c1, c2 = a0 * o0 + a1 * o1 + a2 * o2, a0 * o1 + a1 * o2 + a2 * o3, a0 * o2 + a1 * o3 + a2 * o4
        put_pair(p, q, 4 * b + 2, c0, c1, c2, chosen, unchosen)


@inlined
def put_pair(p, q, i, c0, c1, c2, chosen, unchosen):
    """Both sides of two items from the outside polynomial of the pair."""
    p0, p1, q0, q1 = item(p, i, c0), item(p, i + 1, c0), item(q, i, c0), item(q, i + 1, c0)
    put_item(chosen, i, p0 * (q1 * c1 + p1 * c2))
    put_item(chosen, i + 1, p1 * (q0 * c1 + p0 * c2))
    put_item(unchosen, i, q0 * (q1 * c0 + p1 * c1))
    put_item(unchosen, i + 1, q1 * (q0 * c0 + p0 * c1))


@inlined
def seed_suffix(table, blocks, most, target, inverse, suffix, zero):
    """1/P at each lane's k, 0 elsewhere; returns P, the last state k."""
    for j in range(stride(most)):
        store(suffix, j, zero)
    like = number(zero)
    found = gather(table, place(blocks, most), load_numbers(target, 0, like))
    store_numbers(inverse, 0, full(like, 1) / found)
    for r in range(width(zero)):
        suffix[0, int(target[0, r]) * width(zero) + r] = inverse[0, r]
    return found


@inner
def seed_suffix_tangents(table, blocks, most, target, suffix, zero):
    """The derivative of what `seed_suffix` wrote."""
    lanes = width(zero)
    for r in range(lanes):
        k = int(target[0, r])
        inverse, change = suffix[0, k * lanes + r], table[1, (place(blocks, most) + k) * lanes + r]
        suffix[1, k * lanes + r] = -change * inverse * inverse


@inlined
def table_size(n, most):
    """States of a table for rows of n items."""
    return place((n + 3) // 4 + 1, most)
