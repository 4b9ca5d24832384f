"""Rows in and out of lanes, per-row counts with their complements, and where scratch memory is cut from."""

import numpy as np
from numba import carray

from ksubset.backends._cpu.compiling import inner
from ksubset.backends._cpu.memory import item, pointer, put_item, read_tile, rows_at_once, step, write_tile
from ksubset.backends._cpu.vectors import width

LINE = 64  # bytes in a cache line


@inner
def matrix(address, rows, columns, layout):
    """A C-contiguous array at an address."""
    return carray(pointer(address, layout), (rows, columns))


@inner
def carve(address, planes, numbers, layout):
    """A table at an address, and the address after it, which starts a cache line."""
    table = matrix(address, planes, numbers, layout)
    used = planes * numbers * table.itemsize
    return table, address + (used + LINE - 1) // LINE * LINE


@inner
def carve_counts(address, size):
    """Integers at an address, and the address after them."""
    return carray(pointer(address, size), (size,)), address + (8 * size + LINE - 1) // LINE * LINE


@inner
def padded(n, like):
    """The number of items with those that fill up the last block of four and the last vector."""
    size = max(4, step(like))
    return (n + size - 1) // size * size


@inner
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
        count = k[0, first + min(r, rows - 1)] if same < 0 else same
        flips, wrong = 2 * count > n, count < 0 or count > n
        count = 0 if wrong else (n - count if flips else count)
        target[0, r], sign[0, r] = count, np.nan if wrong else (-1.0 if flips else 1.0)
        high, flipped = max(high, count), flipped or flips or wrong
    return high, flipped


@inner
def read_rows(source, first, rows, x, like):
    """Rows first, … of a matrix: lanes beyond the last row repeat it, items beyond the last repeat that."""
    lanes, n = width(like), source.shape[1]
    if rows_at_once(like) == 1:
        for i in range(n):
            x[0, i] = source[first, i]
    else:
        for i in range(0, n, lanes):
            read_tile(source, first * n + i, n, rows - 1, n - i, x, i)
    fill_items(x, n, padded(n, like), item(x, n - 1, like))


@inner
def fill_items(x, first, stop, value):
    """Give the items first … stop − 1 one value."""
    for i in range(first, stop):
        put_item(x, i, value)


@inner
def write_rows(x, lanes, used, target, first, jump):
    """Lane r < ``used`` of every item to row ``first + r · jump`` of a matrix."""
    n = target.shape[1]
    if lanes > 1 and used == lanes:
        for i in range(0, n, lanes):
            write_tile(x, i, target, first * n + i, jump * n, n - i)
    else:
        for i in range(n):
            for r in range(used):
                target[first + r * jump, i] = x[0, i * lanes + r]


@inner
def write_lanes(x, used, target, first):
    """Lane r of a vector to number ``first + r`` of a row vector."""
    for r in range(used):
        target[0, first + r] = x[0, r]
