"""Log-normalisers: log partition + Σ θ of the likely items + (L − k) λ, L how many items are likely.

Large logits may cancel here. Their sum is kept in two numbers for each lane, and ended row by row in float64.
"""

import numpy as np
from numba import float64

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.kernels.team import POSTS, board_of, meet, post, section, sections
from ksubset.backends._cpu.kernels.variables import SCALE, added
from ksubset.backends._cpu.simd.memory import load_items, step
from ksubset.backends._cpu.simd.vectors import full, where, width

WHOLE, LOST, LIKELY, ENDLESS, LEVEL, START, SHIFT, COUNT = range(8)
"""Posts: of each section the sum of finite θ, what roundings took from it, L, the sum of infinite θ; of the rows the
log-partition, λ and k.
"""


@inner
def put_normalizers(row, level, start, shift, k, sign, out, first, rows, like):
    """Write a vector of rows' log-normalisers, from log-partitions; where ``sign`` is −1, of the negated items."""
    board, s = board_of(row, like), row.team.rank
    while s < sections(row):
        post_likely(row, s, start, shift, sign, board, like)
        s += row.team.size
    post(board, 0, LEVEL, level)
    post(board, 0, START, start)
    post(board, 0, SHIFT, shift)
    post(board, 0, COUNT, k)
    meet(row.team)
    for r in range(rows):
        out[0, first + r] = ended(board, r, sections(row), like)


@inlined
def post_likely(row, s, start, shift, sign, board, like):
    """The sums of a section, lanes of a row apart from each other."""
    zero, one, scale, infinite = full(like, 0), full(like, 1), full(like, SCALE), full(like, np.inf)
    whole, lost, likely, endless = zero, zero, zero, zero
    first, stop = section(row, s, like)
    for i in range(first, stop, step(like)):
        y = load_items(row.x, row.at, i, stop, full(like, -np.inf))
        chosen = (y + start) + shift > zero
        x = where(sign > zero, where(chosen, y, zero), where(chosen, zero, -y))
        whole, lost = added(whole, lost, where(x == infinite, zero, x * scale))
        likely, endless = likely + where(chosen, one, zero), where(x == infinite, x, endless)
    post(board, s, WHOLE, whole)
    post(board, s, LOST, lost)
    post(board, s, LIKELY, likely)
    post(board, s, ENDLESS, endless)


@inner
def ended(board, r, count, like):
    """The log-normaliser of row ``r`` of a vector, whose lanes begin with lane r."""
    whole, lost, beyond = 0.0, 0.0, float64(posted_number(board, 0, LEVEL, r, like))
    ahead = -float64(posted_number(board, 0, COUNT, r, like))
    for s in range(count):
        for i in range(r, r + step(like)):
            x, y = posted_number(board, s, WHOLE, i, like), posted_number(board, s, LOST, i, like)
            whole, lost = added(whole, lost + float64(y), float64(x))
            ahead += float64(posted_number(board, s, LIKELY, i, like))
            beyond += float64(posted_number(board, s, ENDLESS, i, like))
    for kind in (START, SHIFT):
        whole, lost = added(whole, lost, ahead * float64(posted_number(board, 0, kind, r, like)) * SCALE)
    return (whole + lost) / SCALE + beyond


@inlined
def posted_number(board, s, kind, lane, like):
    """One lane of a post."""
    return board[(s * POSTS + kind) * width(like) + lane]
