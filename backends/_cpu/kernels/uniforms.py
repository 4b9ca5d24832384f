"""Uniform random numbers, a stream for each lane, resolved near 0 far below the spacing of floats near 1.

A lane's stream depends on the seed and on the number of its draw alone: neither the width of a vector nor the split of
the rows over threads changes a sample.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import float32, types
from numba.extending import intrinsic

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.simd.elementary import BIAS, MANTISSA
from ksubset.backends._cpu.simd.lanes import I32, constant, integers, splat, vector
from ksubset.backends._cpu.simd.memory import load, store
from ksubset.backends._cpu.simd.tables import data_of
from ksubset.backends._cpu.simd.vectors import any_lane, full, where, width

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIXING, LAST = (30, 27), 31
FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
WORD = 0x7FFF_FFFF_FFFF_FFFF
"""The bits of an integer seed that are used."""

SHIFTS = {32: (9, 11, 7), 64: (17, 45, 23)}  # of xoshiro128++ and xoshiro256++


@inlined
def mix(x):
    """A bijection of the 64-bit words that scatters counters (splitmix64)."""
    x = (x ^ (x >> np.uint64(MIXING[0]))) * FACTORS[0]
    x = (x ^ (x >> np.uint64(MIXING[1]))) * FACTORS[1]
    return x ^ (x >> np.uint64(LAST))


@intrinsic
def put_mixed(typingctx: Any, state: Any, j: Any, first: Any, step: Any) -> Any:
    """Write the upper bits of the mixed words first, first + step, … as vector ``j`` of a table."""
    kind, wide = integers(state.dtype), vector(state.dtype, ir.IntType(64))

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        lanes = ir.Constant(wide, list(range(wide.count)))
        x = builder.add(splat(builder, wide, args[2]), builder.mul(lanes, splat(builder, wide, args[3])))
        for shift, factor in zip(MIXING, FACTORS, strict=True):
            x = builder.mul(builder.xor(x, builder.lshr(x, constant(wide, shift))), constant(wide, int(factor)))
        x = builder.xor(x, builder.lshr(x, constant(wide, LAST)))
        if state.dtype.bitwidth == 32:
            x = builder.trunc(builder.lshr(x, constant(wide, 32)), kind)
        data = builder.bitcast(data_of(context, builder, state, args[0]), kind.as_pointer())
        builder.store(x, builder.gep(data, [args[1]])).align = 8
        return context.get_dummy_value()

    return types.none(state, types.intp, types.uint64, types.uint64), codegen


@inner
def seed_streams(seed, first, state):
    """Start the streams first, first + 1, …, one for each lane."""
    key = mix(np.uint64(seed))
    for j in range(4):
        start = key + GOLDEN * (np.uint64(4) * np.uint64(first) + np.uint64(j + 1))
        put_mixed(state, j, start, np.uint64(4) * GOLDEN)


@intrinsic
def put_word(typingctx: Any, state: Any, place: Any, word: Any) -> Any:
    """Write the upper bits of a word as a number of a table."""
    bits = state.dtype.bitwidth

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        x = builder.lshr(args[2], ir.Constant(args[2].type, 32)) if bits == 32 else args[2]
        kind = ir.IntType(bits)
        data = builder.bitcast(data_of(context, builder, state, args[0]), kind.as_pointer())
        builder.store(builder.trunc(x, kind) if bits == 32 else x, builder.gep(data, [args[1]])).align = bits // 8
        return context.get_dummy_value()

    return types.none(state, types.intp, types.uint64), codegen


@inner
def seed_streams_of_keys(keys, share, first, rows, state, like):
    """Start the streams of the rows first, first + 1, …, of which ``share`` have a seed in common.

    A row gets the stream that `seed_streams` gives it if the rows of its seed are alone.
    """
    lanes = width(like)
    for r in range(lanes):
        row = first + min(r, rows - 1)
        key = mix(np.uint64(keys[row // share]))
        for j in range(4):
            counter = np.uint64(4) * np.uint64(row % share) + np.uint64(j + 1)
            put_word(state, j * lanes + r, mix(key + GOLDEN * counter))


@intrinsic
def next_words(typingctx: Any, state: Any, like: Any) -> Any:
    """Advance every stream: numbers in [0, 1), multiples of 2^−31 (float32) or 2^−52 (float64)."""
    dtype, bits = like.dtype, like.dtype.bitwidth
    shift, rotation, scramble = SHIFTS[bits]

    def rotate(builder: Any, x: Any, by: int) -> Any:
        left, right = builder.shl(x, constant(x.type, by)), builder.lshr(x, constant(x.type, bits - by))
        return builder.or_(left, right)

    def unit(builder: Any, word: Any) -> Any:
        kind = vector(dtype)
        if bits == 32:
            small = builder.sitofp(builder.lshr(word, constant(word.type, 1)), kind)
            return builder.fmul(small, constant(kind, 2.0**-31))
        low = builder.lshr(word, constant(word.type, bits - MANTISSA[bits]))
        low = builder.or_(low, constant(word.type, BIAS[bits] << MANTISSA[bits]))
        return builder.fsub(builder.bitcast(low, kind), constant(kind, 1.0))

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = integers(dtype)
        data = data_of(context, builder, state, args[0])
        data = builder.bitcast(data, kind.as_pointer())
        places = [builder.gep(data, [I32(i)]) for i in range(4)]
        a, b, c, d = words = [builder.load(p) for p in places]
        for word in words:
            word.align = bits // 8
        result = builder.add(rotate(builder, builder.add(a, d), scramble), a)
        t = builder.shl(b, constant(kind, shift))
        c, d = builder.xor(c, a), builder.xor(d, b)
        b, a, c, d = builder.xor(b, c), builder.xor(a, d), builder.xor(c, t), rotate(builder, d, rotation)
        for word, place in zip((a, b, c, d), places, strict=True):
            builder.store(word, place).align = bits // 8
        return unit(builder, result)

    return like(state, like), codegen


@intrinsic
def resolution(typingctx: Any, like: Any) -> Any:
    """The spacing of `next_words`."""
    spacing = 2.0**-31 if like.dtype == float32 else 2.0**-52
    return like(like), lambda context, builder, sig, args: constant(vector(like.dtype), spacing)


@inlined
def uniform(state, like):
    """Uniform on [0, 1]; the lanes that come out small are refined by a second word, which they alone use up."""
    u = next_words(state, like)
    small = u < full(like, 2.0**-7)
    if any_lane(small):
        u = u + refinement(small, state, like)
    return u


@inner
def refinement(small, state, like):
    """The refinement of the lanes marked ``small`` by a second word; the streams of the others stay where they are."""
    a, b, c, d = load(state, 0, like), load(state, 1, like), load(state, 2, like), load(state, 3, like)
    more = next_words(state, like) * resolution(like)
    store(state, 0, where(small, load(state, 0, like), a))
    store(state, 1, where(small, load(state, 1, like), b))
    store(state, 2, where(small, load(state, 2, like), c))
    store(state, 3, where(small, load(state, 3, like), d))
    return where(small, more, full(like, 0))
