"""The items of a row as Bernoulli variables, read from memory in every pass, and the sums a row starts from."""

from typing import Any, NamedTuple

import numpy as np

from ksubset.backends._cpu.compiling import apart, inlined
from ksubset.backends._cpu.kernels.team import board_of, chunk, meet, post, posted, posted_sum, section, sections
from ksubset.backends._cpu.simd.elementary import exp, reciprocal, total
from ksubset.backends._cpu.simd.memory import load_items, step
from ksubset.backends._cpu.simd.vectors import full, where

SCALE = 2.0**-40
"""A factor of large terms until their sum is known: some of them may overflow together where all of them do not."""


@inlined
def variable(y, start, shift):
    """Whether an item is likely, its odds e^−|t|, min(p, q), pq and q − p, for t = θ + λ."""
    one = full(y, 1)
    t = (y + start) + shift
    chosen = t > full(y, 0)
    w = exp(where(chosen, -t, t))
    likely = reciprocal(one + w)
    unlikely, lean = w * likely, (one - w) * likely
    return chosen, w, unlikely, unlikely * likely, where(chosen, -lean, lean)


@inlined
def pushed(v, spread, mean):
    """pq (v − mean), 0 for a certain item whatever v; v − mean overflows beside an item masked by the least float."""
    half = full(v, 0.5)
    v = where(spread > full(v, 0), v, mean)
    return (spread + spread) * (v * half - mean * half)


class Totals(NamedTuple):
    """Σpq, the number of likely items less k, Σp − k, and the mean of v weighted by pq."""

    spread: Any
    ahead: Any
    gap: Any
    mean: Any


@inlined
def row_totals(row, start, shift, k, like):
    """The sums that a row starts from; ``row.v`` may be the logits themselves where its mean is of no use."""
    board = board_of(row, like)
    s = row.team.rank
    while s < sections(row):
        post_totals(row, s, start, shift, board, like)
        s += row.team.size
    meet(row.team)
    excess, lost = posted(board, 0, 2, like), posted(board, 0, 3, like)
    weighted, missed = posted(board, 0, 4, like), posted(board, 0, 5, like)
    for s in range(1, sections(row)):
        excess, lost = added(excess, lost + posted(board, s, 3, like), posted(board, s, 2, like))
        weighted, missed = added(weighted, missed + posted(board, s, 5, like), posted(board, s, 4, like))
    spread, ahead, least = posted_sum(board, row, 0, like), posted_sum(board, row, 1, like) - k, full(like, 1e-37)
    gap = (ahead + excess) + lost
    return Totals(spread, ahead, gap, (weighted + missed) / where(spread < least, least, spread))


@inlined
def added(total, lost, x):
    """A sum and what roundings took from it, with one more term."""
    more = total + x
    shadow = more - total
    return more, lost + ((total - (more - shadow)) + (x - shadow))


@inlined
def post_totals(row, s, start, shift, board, like):
    """The same of a section: Σpq, likely items, Σ(p − likely) and Σpq v, these two with what roundings took."""
    zero = full(like, 0)
    spread, ahead, excess, lost, weighted, missed = zero, zero, zero, zero, zero, zero
    first, stop = section(row, s, like)
    for i in range(first, stop, chunk(like)):
        a, b, c, d = part_totals(row, i, min(i + chunk(like), stop), start, shift, like)
        spread, ahead = spread + a, ahead + b
        excess, lost = added(excess, lost, c)
        weighted, missed = added(weighted, missed, d)
    post(board, s, 0, spread)
    post(board, s, 1, ahead)
    post(board, s, 2, excess)
    post(board, s, 3, lost)
    post(board, s, 4, weighted)
    post(board, s, 5, missed)


@apart
def part_totals(row, first, stop, start, shift, like):
    """The same of some items."""
    zero, one = full(like, 0), full(like, 1)
    spread, ahead, excess, weighted = zero, zero, zero, zero
    for i in range(first, stop, step(like)):
        y = load_items(row.x, row.at, i, stop, full(like, -np.inf))
        chosen, _, unlikely, c, _ = variable(y, start, shift)
        spread, ahead = spread + c, ahead + where(chosen, one, zero)
        excess = excess + where(chosen, -unlikely, unlikely)
        weighted = weighted + c * where(c > zero, load_items(row.v, row.v_at, i, stop, zero), zero)
    return total(spread), total(ahead), total(excess), total(weighted)
