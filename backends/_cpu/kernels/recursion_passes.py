"""Inside and outside for rows that choose few items: item after item, in blocks of four. On Lanes or on Dual numbers.

State j after a block is the probability that the items so far bring the count to j, 0 … ``width``; a table holds the
states after every block, ``stride(width)`` each. ``suffix[j]`` is the derivative of the answer by state j, going
down. Lanes are rows. States that a block reads again and again are kept in registers.
"""

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.simd.memory import load, store
from ksubset.backends._cpu.simd.vectors import plus, width

PAD = 4
"""A block of four items reads four states beyond its own."""


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
    p0, p1, p2, p3 = load(p, i, like), load(p, i + 1, like), load(p, i + 2, like), load(p, i + 3, like)
    q0, q1, q2, q3 = load(q, i, like), load(q, i + 1, like), load(q, i + 2, like), load(q, i + 3, like)
    return q0 * q1, plus(q0 * p1, p0, q1), p0 * p1, q2 * q3, plus(q2 * p3, p2, q3), p2 * p3


@inlined
def product(a0, a1, a2, b0, b1, b2):
    """The polynomial of all four items."""
    return a0 * b0, plus(a0 * b1, a1, b0), plus(plus(a0 * b2, a1, b1), a2, b0), plus(a1 * b2, a2, b1), a2 * b2


@inlined
def row_of_three(a0, a1, a2, b0, b1, b2):
    """The sum of three products."""
    return plus(plus(a0 * b0, a1, b1), a2, b2)


@inlined
def advanced(w0, w1, w2, w3, w4, x0, x1, x2, x3, x4):
    """A state after four items, from five before them."""
    return plus(plus(plus(plus(w0 * x0, w1, x1), w2, x2), w3, x3), w4, x4)


@inner
def inside(p, q, blocks, most, table, zero, one):
    """The states after every block."""
    for j in range(place(1, most)):
        store(table, j, zero)
    store(table, place(0, most), one)
    for b in range(blocks):
        a0, a1, a2, b0, b1, b2 = block(p, q, 4 * b, zero)
        w0, w1, w2, w3, w4 = product(a0, a1, a2, b0, b1, b2)
        before, after = place(b, most), place(b + 1, most)
        top = min(most, 4 * b + 4)
        x1, x2, x3, x4 = zero, zero, zero, zero
        for j in range(top + 1):
            x0 = load(table, before + j, zero)
            store(table, after + j, advanced(w0, w1, w2, w3, w4, x0, x1, x2, x3, x4))
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
            o0, o1, o2, o3, o4 = plus(o0, x, s0), plus(o1, x, s1), plus(o2, x, s2), plus(o3, x, s3), plus(o4, x, s4)
            store(suffix, j, advanced(w0, w1, w2, w3, w4, s0, s1, s2, s3, s4))
            s0, s1, s2, s3 = s1, s2, s3, s4
        put_pair(p, q, 4 * b, b0, b1, b2, o0, o1, o2, o3, o4, chosen, unchosen)
        put_pair(p, q, 4 * b + 2, a0, a1, a2, o0, o1, o2, o3, o4, chosen, unchosen)


@inlined
def put_pair(p, q, i, r0, r1, r2, o0, o1, o2, o3, o4, chosen, unchosen):
    """Both sides of two items, from the polynomial of the other pair and the outside polynomial of their block."""
    c0, c1, c2 = (
        row_of_three(r0, r1, r2, o0, o1, o2),
        row_of_three(r0, r1, r2, o1, o2, o3),
        row_of_three(r0, r1, r2, o2, o3, o4),
    )
    p0, p1, q0, q1 = load(p, i, c0), load(p, i + 1, c0), load(q, i, c0), load(q, i + 1, c0)
    store(chosen, i, p0 * plus(q1 * c1, p1, c2))
    store(chosen, i + 1, p1 * plus(q0 * c1, p0, c2))
    store(unchosen, i, q0 * plus(q1 * c0, p1, c1))
    store(unchosen, i + 1, q1 * plus(q0 * c0, p0, c1))


@inlined
def seed_suffix(table, blocks, most, target, suffix, zero):
    """1/P at each lane's k, P the last state k; 0 elsewhere."""
    for j in range(stride(most)):
        store(suffix, j, zero)
    root, lanes = place(blocks, most), width(zero)
    for r in range(lanes):
        k = int(target[r])
        suffix[k * lanes + r] = 1 / table[(root + k) * lanes + r]


@inner
def seed_suffix_tangents(table, blocks, most, target, suffix, zero):
    """The derivative of the numbers that `seed_suffix` wrote."""
    lanes = width(zero)
    for r in range(lanes):
        k = int(target[r])
        inverse, change = suffix[k * lanes + r], table[1, (place(blocks, most) + k) * lanes + r]
        suffix[1, k * lanes + r] = -change * inverse * inverse


@inlined
def table_size(n, most):
    """States of a table for rows of n items."""
    return place((n + 3) // 4 + 1, most)
