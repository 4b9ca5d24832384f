"""The items of a row as Bernoulli variables, read from memory in every pass, and the sums a row starts from."""

from typing import Any, NamedTuple

import numpy as np

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.elementary import exp, reciprocal, total
from ksubset.backends._cpu.memory import load_items, step
from ksubset.backends._cpu.vectors import full, where

CHUNK = 64
"""Vectors of items added up before their sum is added to that of others: float32 loses digits in sums of many."""


@inlined
def chunk(like):
    """Items added up in one go."""
    return CHUNK * step(like)


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


@inner
def row_totals(source, at, v, v_at, n, start, shift, k, like):
    """What a row starts from; ``v`` may be the logits themselves where its mean is of no use."""
    spread, ahead, excess, weighted, least = full(like, 0), -k, full(like, 0), full(like, 0), full(like, 1e-37)
    lost, missed = full(like, 0), full(like, 0)
    for first in range(0, n, chunk(like)):
        a, b, c, d = part_totals(source, at, v, v_at, first, min(first + chunk(like), n), start, shift, like)
        spread, ahead = spread + a, ahead + b
        excess, lost = added(excess, lost, c)
        weighted, missed = added(weighted, missed, d)
    gap = (ahead + excess) + lost
    return Totals(spread, ahead, gap, (weighted + missed) / where(spread < least, least, spread))


@inlined
def added(total, lost, x):
    """A sum and what roundings took from it, with one more term."""
    more = total + x
    shadow = more - total
    return more, lost + ((total - (more - shadow)) + (x - shadow))


@inner
def part_totals(source, at, v, v_at, first, stop, start, shift, like):
    """The same of some items, counts and sums not yet less k, and Σ pq v."""
    zero, one = full(like, 0), full(like, 1)
    spread, ahead, excess, weighted = zero, zero, zero, zero
    for i in range(first, stop, step(like)):
        chosen, _, unlikely, c, _ = variable(load_items(source, at, i, stop, full(like, -np.inf)), start, shift)
        spread, ahead = spread + c, ahead + where(chosen, one, zero)
        excess = excess + where(chosen, -unlikely, unlikely)
        weighted = weighted + c * where(c > zero, load_items(v, v_at, i, stop, zero), zero)
    return total(spread), total(ahead), total(excess), total(weighted)
