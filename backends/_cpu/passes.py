"""Inside and outside: item after item, in blocks of four, through the table of windows. On Lanes or on Dual numbers.

``table[b, j]`` is the probability that the first 4b items bring the count to j; ``suffix[j]`` the derivative of the
answer by it, going down. A table too large for the cache is kept in segments: the window after every ``pace`` blocks is
saved, and each segment is computed a second time when its turn comes.
"""

from typing import NamedTuple

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.elementary import total
from ksubset.backends._cpu.memory import (
    gather,
    item,
    load,
    load_numbers,
    put_item,
    rows_at_once,
    step,
    store,
    store_numbers,
)
from ksubset.backends._cpu.vectors import full, number, width
from ksubset.backends._cpu.window import PAD, end_of, gap, lay_out


class Segments(NamedTuple):
    """How a table is cut up: blocks per segment, states of the largest segment, states saved."""

    pace: int
    size: int
    saved: int


@inlined
def segments(band, blocks, whole, part, like):
    """One segment if the table has at most ``whole`` states, else segments of about ``part`` states or 16 blocks."""
    size = lay_out(band, 0, blocks, like)
    if size <= whole:
        return Segments(blocks, size, end_of(band, 0, like) - band.low[0])
    pace = max(16, blocks * part // size)
    largest, saved = 0, 0
    for start in range(0, blocks, pace):
        largest = max(largest, lay_out(band, start, min(start + pace, blocks), like))
        saved += end_of(band, start, like) - band.low[start]
    return Segments(pace, largest, saved)


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


@inlined
def clear(table, start, stop, zero):
    """Put 0 into at least the states start … stop − 1."""
    for j in range(start, stop, step(zero)):
        store(table, j, zero)


@inner
def inside(p, q, start, stop, band, table, zero):
    """The windows after blocks start + 1 … stop, from the one after block ``start``."""
    for b in range(start, stop):
        a0, a1, a2, b0, b1, b2 = block(p, q, 4 * b, zero)
        w0, w1, w2, w3, w4 = product(a0, a1, a2, b0, b1, b2)
        above, here, end = band.offset[b], band.offset[b + 1], end_of(band, b + 1, number(zero))
        for j in range(band.low[b + 1], end, step(zero)):
            x = w0 * load(table, above + j, zero) + w1 * load(table, above + j - 1, zero)
            x = x + w2 * load(table, above + j - 2, zero) + w3 * load(table, above + j - 3, zero)
            store(table, here + j, x + w4 * load(table, above + j - 4, zero))
        clear(table, here + end, here + end + PAD, zero)
        store(table, here + end + PAD, zero)


@inner
def begin_segment(band, start, stop, table, saved, at, zero):
    """Lay a segment out and copy its first window in."""
    lay_out(band, start, stop, number(zero))
    low, end, here = band.low[start], end_of(band, start, number(zero)), band.offset[start]
    clear(table, 0, gap(number(zero)), zero)
    for j in range(low, end, step(zero)):
        store(table, here + j, load(saved, at + j - low, zero))
    clear(table, here + end, here + end + PAD, zero)
    store(table, here + end + PAD, zero)
    return end - low


@inlined
def forward(p, q, blocks, pace, band, table, saved, zero, one):
    """Every segment in turn; the last one stays in the table. Returns how many states were saved."""
    clear(saved, 0, step(zero), zero)
    put_item(saved, 0, one)
    at = 0
    for start in range(0, blocks, pace):
        if start:
            save_window(band, start, table, saved, at, zero)
        stop = min(start + pace, blocks)
        used = begin_segment(band, start, stop, table, saved, at, zero)
        inside(p, q, start, stop, band, table, zero)
        at += used
    return at


@inner
def save_window(band, b, table, saved, at, zero):
    """Keep the window after block ``b``."""
    low, here = band.low[b], band.offset[b]
    for j in range(low, end_of(band, b, number(zero)), step(zero)):
        store(saved, at + j - low, load(table, here + j, zero))


@inner
def last_segment(blocks, pace):
    """The first block of the last segment."""
    return (blocks - 1) // pace * pace


@inner
def replay(p, q, blocks, start, pace, resident, band, table, saved, at, zero):
    """Bring the segment from ``start`` back into the table unless it is ``resident``; returns its end."""
    stop = min(start + pace, blocks)
    if start != resident:
        begin_segment(band, start, stop, table, saved, at, zero)
        inside(p, q, start, stop, band, table, zero)
    return stop


@inner
def outside(p, q, blocks, pace, at, band, table, saved, suffix, chosen, unchosen, zero):
    """chosen[i] = p_i O_i[1] and unchosen[i] = q_i O_i[0], O_i the outside polynomial of item i."""
    last = last_segment(blocks, pace)
    for start in range(last, -1, -pace):
        at -= end_of(band, start, number(zero)) - band.low[start]
        stop = replay(p, q, blocks, start, pace, last, band, table, saved, at, zero)
        for b in range(stop - 1, start - 1, -1):
            outside_block(p, q, b, band, table, suffix, chosen, unchosen, zero)


@inlined
def outside_block(p, q, b, band, table, suffix, chosen, unchosen, zero):
    """One block: correlate the window before it with the suffix, spread the sums over four items, move the suffix."""
    a0, a1, a2, b0, b1, b2 = block(p, q, 4 * b, zero)
    first, end, here = band.low[b], end_of(band, b, number(zero)), band.offset[b]
    o0, o1, o2, o3, o4 = zero, zero, zero, zero, zero
    for j in range(first, end, step(zero)):
        x = load(table, here + j, zero)
        o0, o1 = o0 + x * load(suffix, j, zero), o1 + x * load(suffix, j + 1, zero)
        o2, o3 = o2 + x * load(suffix, j + 2, zero), o3 + x * load(suffix, j + 3, zero)
        o4 = o4 + x * load(suffix, j + 4, zero)
    w0, w1, w2, w3, w4 = product(a0, a1, a2, b0, b1, b2)
    for j in range(first, end, step(zero)):
        x = w0 * load(suffix, j, zero) + w1 * load(suffix, j + 1, zero) + w2 * load(suffix, j + 2, zero)
        store(suffix, j, x + w3 * load(suffix, j + 3, zero) + w4 * load(suffix, j + 4, zero))
    clear(suffix, end, end_of(band, b + 1, number(zero)), zero)
    o0, o1, o2, o3, o4 = total(o0), total(o1), total(o2), total(o3), total(o4)
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
def position(j, r, like):
    """Where in a plane state ``j`` of lane ``r`` is."""
    return j if rows_at_once(like) == 1 else j * rows_at_once(like) + r


@inlined
def seed_suffix(table, band, blocks, high, target, inverse, suffix, zero):
    """1/P at each lane's k, 0 elsewhere; returns P, the last window at k."""
    clear(suffix, 0, high + PAD + 2 * step(zero), zero)
    like = number(zero)
    found = gather(table, band.offset[blocks], load_numbers(target, 0, like))
    store_numbers(inverse, 0, full(like, 1) / found)
    for r in range(width(zero)):
        suffix[0, position(int(target[0, r]), r, zero)] = inverse[0, r]
    return found


@inner
def seed_suffix_tangents(table, band, blocks, target, suffix, zero):
    """The derivative of what `seed_suffix` wrote."""
    for r in range(width(zero)):
        k = int(target[0, r])
        inverse = suffix[0, position(k, r, zero)]
        change = table[1, position(band.offset[blocks] + k, r, zero)]
        suffix[1, position(k, r, zero)] = -change * inverse * inverse
