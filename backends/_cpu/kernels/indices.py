"""Subsets in scratch memory to the indices of their items, (draws, places), with −1 after the last."""

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.simd.memory import load, load_items, step
from ksubset.backends._cpu.simd.vectors import full, lane_bits, lowest_bit


@inner
def write_indices_of_lanes(z, n, rows, target, first, ends, sign, like):
    """Lane r < ``rows`` of n items to row ``first + r``; the items that are 0 where ``sign`` is negative."""
    for r in range(rows):
        ends[r] = 0
    some, half, used = sign < 0, full(like, 0.5), (1 << rows) - 1
    for i in range(n):
        x = load(z, i, like)
        bits = lane_bits(x < half if some else x > half) & used
        while bits:
            r = lowest_bit(bits)
            bits &= bits - 1
            if ends[r] < target.pitch:
                target[first + r, ends[r]] = i
                ends[r] += 1
    for r in range(rows):
        fill_places(target, first + r, ends[r])


@inner
def write_indices_of_row(z, n, target, row, like):
    """One subset, n numbers in the order of the items, to a row."""
    end, half = 0, full(like, 0.5)
    for i in range(0, n, step(like)):
        bits = lane_bits(load_items(z, 0, i, n, full(like, 0)) > half)
        while bits and end < target.pitch:
            target[row, end] = i + lowest_bit(bits)
            bits &= bits - 1
            end += 1
    fill_places(target, row, end)


@inlined
def fill_places(target, row, end):
    """−1 in the places of a row from ``end`` on."""
    for j in range(end, target.pitch):
        target[row, j] = -1
