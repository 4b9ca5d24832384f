"""Rows in and out of lanes, per-row counts with their complements, and where scratch memory is cut from."""

import numpy as np

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.simd.memory import load, read_tile, rows_at_once, store, write_tile
from ksubset.backends._cpu.simd.tables import table_at
from ksubset.backends._cpu.simd.vectors import width

LINE = 64  # bytes in a cache line
BLOCK = 4  # items that `recursion_passes` takes together


@inlined
def carve(address, planes, numbers, like):
    """A table at an address, and the address after it, which starts a cache line."""
    table = table_at(address, numbers, like)
    used = planes * numbers * table.itemsize
    return table, address + (used + LINE - 1) // LINE * LINE


@inlined
def padded(n):
    """The number of items with those that fill up the last block."""
    return (n + BLOCK - 1) // BLOCK * BLOCK


@inlined
def room(n, like):
    """The numbers that the items of a vector of rows take, the last tile filled up."""
    size = width(like)
    return (n + size - 1) // size * size * rows_at_once(like)


@inner
def orient(k, same, first, rows, n, target, sign, like):
    """k of every lane, n − k with sign −1 where that is less; the greatest, and whether a sign is −1.

    k is ``same`` for all rows unless that is negative. A row whose k is not in 0 … n gets the sign NaN, and so is NaN.
    """
    high, flipped = 0, False
    for r in range(width(like)):
        count = k[first + min(r, rows - 1)] if same < 0 else same
        flips, wrong = 2 * count > n, count < 0 or count > n
        count = 0 if wrong else (n - count if flips else count)
        target[r], sign[r] = count, np.nan if wrong else (-1.0 if flips else 1.0)
        high, flipped = max(high, count), flipped or flips or wrong
    return high, flipped


@inner
def read_rows(source, first, rows, x, like):
    """Rows first, … of a matrix: lanes beyond the last row repeat it, items beyond the last repeat that."""
    n = source.pitch
    for i in range(0, n, width(like)):
        read_tile(source, first * n + i, n, rows - 1, n - i, x, i)
    fill_items(x, n, padded(n), load(x, n - 1, like))


@inlined
def fill_items(x, first, stop, value):
    """Give the items first … stop − 1 one value."""
    for i in range(first, stop):
        store(x, i, value)


@inner
def write_rows(x, used, target, first, like):
    """Lane r < ``used`` of every item to row ``first + r`` of a matrix."""
    n, lanes = target.pitch, width(like)
    if used == lanes:
        for i in range(0, n, lanes):
            write_tile(x, i, target, first * n + i, n, n - i)
    else:
        for i in range(n):
            for r in range(used):
                target[first + r, i] = x[i * lanes + r]


@inlined
def put_lanes(x, level, target, kind, first, rows):
    """One number of every row, to a row of a matrix (kinds, rows)."""
    store(level, 0, x)
    for r in range(rows):
        target[kind, first + r] = level[r]


@inlined
def lanes_of(source, kind, first, rows, level, like):
    """A number of every lane's row; lanes beyond the last row repeat it."""
    for r in range(width(like)):
        level[r] = source[kind, first + min(r, rows - 1)]
    return load(level, 0, like)
