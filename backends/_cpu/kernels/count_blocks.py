"""The recursion of `counts`: groups of items are taken into blocks of counts, neighbours in the same lane."""

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.kernels.count_units import GROUP, VECTORS, put_odds, unit_of
from ksubset.backends._cpu.simd.elementary import exponent, floor, highest, power_of_two
from ksubset.backends._cpu.simd.memory import load, store
from ksubset.backends._cpu.simd.vectors import full, plus, shifted, where, width

STAGE = 64
"""Items between looks at the exponents."""


@inner
def take_in(begin, size, wide, work, like):
    """f of all items of a factor."""
    block = VECTORS * width(like)
    for j in range(size // block * VECTORS + VECTORS):
        store(work.f, j, full(like, 0))
    for b in range(size // block + 1):
        store(work.exponents, b, full(like, 0))
    work.f[0] = 1.0
    for first in range(0, size, GROUP):
        if first % STAGE == 0:
            for b in range(first // block + 1):
                rescale(b, work, like)
        for k in range(GROUP):
            store(work.carry, k, full(like, 0))
        before = load(work.exponents, 0, like)
        for b in range(min(first + GROUP, size) // block + 1):
            if wide:
                put_odds(begin, first, first + GROUP, size, unit_of(b, block, size, wide, work), work, like)
            here = load(work.exponents, b, like)
            take_group(first, b, before - here, work)
            before = here


@inner
def rescale(b, work, like):
    """Bring the largest number of a block to 1 … 2."""
    most = load(work.f, b * VECTORS, like)
    for j in range(b * VECTORS + 1, (b + 1) * VECTORS):
        x = load(work.f, j, like)
        most = where(x > most, x, most)
    e = exponent(highest(most))
    e = where(e > full(like, 0), e, full(like, 0))
    scale = power_of_two(-e)
    for j in range(b * VECTORS, (b + 1) * VECTORS):
        store(work.f, j, load(work.f, j, like) * scale)
    store(work.exponents, b, load(work.exponents, b, like) + e)


@inner
def take_group(first, b, gap, work):
    """Take the items of a group into a block, whose exponent is ``gap`` less than that of the block before."""
    half = floor(full(gap, 0.5) * gap)
    scale, rest, at = power_of_two(half), power_of_two(gap - half), b * VECTORS * width(gap)
    f0, f1, f2, f3, f4, f5, f6, f7 = vectors(work.f, b, gap)
    if work.u[at] == work.u[at + VECTORS * width(gap) - 1]:
        u = load(work.u, b * VECTORS, gap)
        for k in range(GROUP):
            w = full(gap, work.w[first + k]) * u
            below = shifted(load(work.carry, k, gap) * scale * rest, f7)
            store(work.carry, k, f7)
            f7, f6, f5, f4 = plus(f7, w, f6), plus(f6, w, f5), plus(f5, w, f4), plus(f4, w, f3)
            f3, f2, f1, f0 = plus(f3, w, f2), plus(f2, w, f1), plus(f1, w, f0), plus(f0, w, below)
    else:
        u0, u1, u2, u3, u4, u5, u6, u7 = vectors(work.u, b, gap)
        for k in range(GROUP):
            w = full(gap, work.w[first + k])
            below = shifted(load(work.carry, k, gap) * scale * rest, f7)
            store(work.carry, k, f7)
            f7, f6, f5, f4 = plus(f7, w * u7, f6), plus(f6, w * u6, f5), plus(f5, w * u5, f4), plus(f4, w * u4, f3)
            f3, f2, f1, f0 = plus(f3, w * u3, f2), plus(f2, w * u2, f1), plus(f1, w * u1, f0), plus(f0, w * u0, below)
    at = b * VECTORS
    store(work.f, at, f0)
    store(work.f, at + 1, f1)
    store(work.f, at + 2, f2)
    store(work.f, at + 3, f3)
    store(work.f, at + 4, f4)
    store(work.f, at + 5, f5)
    store(work.f, at + 6, f6)
    store(work.f, at + 7, f7)


@inlined
def vectors(table, b, like):
    """The vectors of a block."""
    at = b * VECTORS
    return (
        load(table, at, like),
        load(table, at + 1, like),
        load(table, at + 2, like),
        load(table, at + 3, like),
        load(table, at + 4, like),
        load(table, at + 5, like),
        load(table, at + 6, like),
        load(table, at + 7, like),
    )
