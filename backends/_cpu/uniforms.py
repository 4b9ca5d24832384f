"""Uniform random numbers, a stream for each lane, resolved near 0 far below the spacing of floats near 1.

A lane's stream depends on the seed and on the number of its draw alone: neither the width of a vector nor the split of
the rows over threads changes a sample.
"""

from typing import Any

import numpy as np
from numba import float32, types
from numba.extending import intrinsic

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.elementary import BIAS, MANTISSA
from ksubset.backends._cpu.memory import load_numbers, store_numbers
from ksubset.backends._cpu.vectors import I32, any_lane, constant, full, integers, vector, where, width

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
SHIFTS = {32: (9, 11, 7), 64: (17, 45, 23)}  # of xoshiro128++ and xoshiro256++


@inlined
def mix(x):
    """A bijection of the 64-bit words that scatters counters (splitmix64)."""
    x = (x ^ (x >> np.uint64(30))) * FACTORS[0]
    x = (x ^ (x >> np.uint64(27))) * FACTORS[1]
    return x ^ (x >> np.uint64(31))


@intrinsic
def put_word(typingctx: Any, table: Any, i: Any, word: Any) -> Any:
    """Write the upper bits of a 64-bit word as number ``i`` of a table."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data, bits = context.make_array(table)(context, builder, args[0]).data, table.dtype.bitwidth
        number = integers(table.dtype).element
        top = builder.lshr(args[2], args[2].type(64 - bits))
        top = builder.trunc(top, number) if bits < 64 else top
        builder.store(top, builder.bitcast(builder.gep(data, [args[1]]), number.as_pointer()))
        return context.get_dummy_value()

    return types.none(table, types.intp, types.uint64), codegen


@inner
def seed_streams(seed, first, jump, state, like):
    """Start the streams first, first + jump, …, one for each lane."""
    lanes, key = width(like), mix(np.uint64(seed))
    for j in range(4):
        for r in range(lanes):
            counter = np.uint64(4) * np.uint64(first + r * jump) + np.uint64(j + 1)
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
        data = context.make_array(state)(context, builder, args[0]).data
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
    """What a second word adds to the lanes marked ``small``; the streams of the others stay where they are."""
    lanes = width(like)
    a, b = load_numbers(state, 0, like), load_numbers(state, lanes, like)
    c, d = load_numbers(state, 2 * lanes, like), load_numbers(state, 3 * lanes, like)
    more = next_words(state, like) * resolution(like)
    store_numbers(state, 0, where(small, load_numbers(state, 0, like), a))
    store_numbers(state, lanes, where(small, load_numbers(state, lanes, like), b))
    store_numbers(state, 2 * lanes, where(small, load_numbers(state, 2 * lanes, like), c))
    store_numbers(state, 3 * lanes, where(small, load_numbers(state, 3 * lanes, like), d))
    return where(small, more, full(like, 0))
