"""What every kernel does with a vector of rows before its own work: read, orient, tilt, place windows, go inside."""

from typing import NamedTuple

import numpy as np

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.memory import load, load_numbers, rows_at_once, step, store
from ksubset.backends._cpu.passes import forward, segments
from ksubset.backends._cpu.rows import carve, carve_counts, fill_items, grown, padded, read_rows, room
from ksubset.backends._cpu.tilt import probabilities, tilt
from ksubset.backends._cpu.vectors import full, number, planes, width
from ksubset.backends._cpu.window import PAD, Band, Rule, place_window

WHOLE = 6 << 20
"""A table of more bytes is computed twice, in segments."""

SEGMENT = 3 << 18
"""Bytes of a segment: about a third of a core's cache."""


class Block(NamedTuple):
    """The items of a vector of rows, as tables, and their windows."""

    x: np.ndarray
    p: np.ndarray
    q: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    target: np.ndarray
    sign: np.ndarray
    level: np.ndarray
    suffix: np.ndarray
    band: Band


@inner
def new_block(at, count, n, layout, like):
    """A `Block` for rows of n items, cut from an address, and the address after it."""
    group, lanes, blocks = rows_at_once(like), width(like), (n + 3) // 4
    size, ends = room(n, like), (blocks + 1) * group
    x, at = carve(at, planes(like), size, layout)
    p, at = carve(at, count, size, layout)
    q, at = carve(at, count, size, layout)
    mean, at = carve(at, planes(like), ends, layout)
    spread, at = carve(at, planes(like), ends, layout)
    target, at = carve(at, planes(like), lanes, layout)
    sign, at = carve(at, planes(like), lanes, layout)
    level, at = carve(at, planes(like), lanes, layout)
    suffix, at = carve(at, count, (n // 2 + PAD + 1 + 4 * step(like)) * group, layout)
    low, at = carve_counts(at, blocks + 1)
    high, at = carve_counts(at, blocks + 1)
    offset, at = carve_counts(at, blocks + 1)
    return Block(x, p, q, mean, spread, target, sign, level, suffix, Band(low, high, offset)), at


@inlined
def read_block(theta, first, rows, n, flipped, block, like):
    """Read rows and, if there are any, negate those that stand for their complement."""
    read_rows(theta, first, rows, block.x, like)
    if flipped:
        sign = load_numbers(block.sign, 0, like)
        for i in range(0, padded(n, like), step(like)):
            store(block.x, i, load(block.x, i, like) * sign)


@inlined
def tilt_block(n, block, like):
    """λ and the probabilities."""
    shift = tilt(block.x, n, block.target, block.p, like)
    probabilities(block.x, n, shift, block.p, block.q, like)
    return shift


@inner
def tilt_block_by(shifts, first, rows, n, block, like):
    """The probabilities from λ found before."""
    for r in range(width(like)):
        block.level[0, r] = shifts[0, first + min(r, rows - 1)]
    shift = load_numbers(block.level, 0, like) * load_numbers(block.sign, 0, like)
    fill_items(block.x, n, padded(n, like), full(like, -np.inf))
    probabilities(block.x, n, shift, block.p, block.q, like)
    return shift


@inlined
def inside_block(n, low, high, rule, block, table, saved, zero, one):
    """Place the windows and go inside: the table, what was saved of it, how much, and blocks per segment."""
    blocks, state = (n + 3) // 4, table.itemsize * table.shape[0] * rows_at_once(zero)
    bounds = Rule(rule[0], rule[1], rule[2])
    like = number(zero)
    place_window(block.p, block.q, blocks, low, high, block.target, bounds, block.mean, block.spread, block.band, like)
    parts = segments(block.band, blocks, WHOLE // state, SEGMENT // state, like)
    table = grown(table, parts.size * rows_at_once(zero))
    saved = grown(saved, parts.saved * rows_at_once(zero))
    at = forward(block.p, block.q, blocks, parts.pace, block.band, table, saved, zero, one)
    return table, saved, at, parts.pace
