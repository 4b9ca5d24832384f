"""Rows in and out of lanes, per-row counts with their complements, and where scratch memory is cut from."""

import numpy as np
from numba import carray

from ksubset.backends._cpu.compiling import inner
from ksubset.backends._cpu.memory import item, pointer, put_item, rows_at_once, step, transpose
from ksubset.backends._cpu.vectors import full, width

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
def grown(table, numbers):
    """``table`` if its planes hold so many numbers, else a new one."""
    if numbers <= table.shape[1]:
        return table
    return np.empty((table.shape[0], numbers), table.dtype)


@inner
def padded(n, like):
    """The number of items with those that fill up the last block of four and the last vector."""
    size = max(4, step(like))
    return (n + size - 1) // size * size


@inner
def orient(k, first, rows, n, target, sign, like):
    """k of every lane, n − k with sign −1 where that is less; the least, the greatest, and whether a sign is −1."""
    low, high, flipped = n, 0, False
    for r in range(width(like)):
        count = k[0, first + min(r, rows - 1)]
        flips = 2 * count > n
        count = n - count if flips else count
        target[0, r], sign[0, r] = count, -1 if flips else 1
        low, high, flipped = min(low, count), max(high, count), flipped or flips
    return low, high, flipped


@inner
def read_rows(source, first, rows, x, like):
    """Rows first, … of a matrix: lanes beyond the last row repeat it, items beyond the last repeat that."""
    lanes, n, done = rows_at_once(like), source.shape[1], 0
    if lanes > 1 and rows == lanes:
        done = n // lanes * lanes
        for i in range(0, done, lanes):
            transpose(source, first * n + i, n, x, i * lanes, lanes)
    for i in range(done, n):
        for r in range(lanes):
            x[0, i * lanes + r] = source[first + min(r, rows - 1), i]
    fill_items(x, n, padded(n, like), item(x, n - 1, like))


@inner
def fill_items(x, first, stop, value):
    """Give the items first … stop − 1 one value."""
    for i in range(first, stop):
        put_item(x, i, value)


@inner
def write_rows(x, lanes, used, target, first, jump):
    """Lane r < ``used`` of every item to row ``first + r · jump`` of a matrix."""
    n, done = target.shape[1], 0
    if lanes > 1 and used == lanes:
        done = n // lanes * lanes
        for i in range(0, done, lanes):
            transpose(x, i * lanes, lanes, target, first * n + i, jump * n)
    for i in range(done, n):
        for r in range(used):
            target[first + r * jump, i] = x[0, i * lanes + r]


@inner
def write_lanes(x, used, target, first):
    """Lane r of a vector to number ``first + r`` of a row vector."""
    for r in range(used):
        target[0, first + r] = x[0, r]
