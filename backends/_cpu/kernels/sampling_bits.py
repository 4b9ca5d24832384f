"""Random bits for thirty-two items at a time, and the thresholds that they are compared with.

A Bernoulli variable of probability p is 1 if sixteen random bits are less than T = ⌊2¹⁶ p⌋. Where they are equal to T,
once in 2¹⁶ times, 53 further bits are compared with the remainder, 2¹⁶ p − T. Its outcome is one bit in memory.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.kernels.uniforms import GOLDEN, mix
from ksubset.backends._cpu.simd.lanes import I32, WIDTH, constant, vector
from ksubset.backends._cpu.simd.tables import data_of

ITEMS_AT_ONCE = 32
STREAMS = 16
WORDS_OF_STATE = 2 * STREAMS
"""64-bit words of sixteen streams of 32 bits."""

I1, I16, I64 = ir.IntType(1), ir.IntType(16), ir.IntType(64)
WORDS = ir.VectorType(I32, STREAMS)
HALVES = ir.VectorType(I16, ITEMS_AT_ONCE)
SURE = 65535
"""The largest threshold; where it is met, the remainder for p = 1 is 1."""


@inner
def seed_bits(seed, number, sections, state, single):
    """Start the streams of draw ``number`` for each section, and one for single numbers."""
    key = mix(mix(np.uint64(seed)) + GOLDEN * np.uint64(number + 1))
    for j in range(sections * WORDS_OF_STATE):
        state[j] = mix(key + GOLDEN * np.uint64(j + 1))
    single[0] = mix(key)


@inlined
def uniform(single):
    """A number in [0, 1), a multiple of 2⁻⁵³."""
    single[0] += GOLDEN
    return np.float64(mix(single[0]) >> np.uint64(11)) * 2.0**-53


@inlined
def hashed_uniform(key, i):
    """A number in [0, 1) for item ``i`` of a draw with a key."""
    return np.float64(mix(mix(key) + GOLDEN * np.uint64(i + 1)) >> np.uint64(11)) * 2.0**-53


def _rotated(builder: Any, x: Any, by: int) -> Any:
    return builder.or_(builder.shl(x, constant(x.type, by)), builder.lshr(x, constant(x.type, 32 - by)))


def _next(builder: Any, words: list[Any]) -> tuple[Any, list[Any]]:
    """32 random bits from every stream, and the streams afterwards: xoshiro128++."""
    a, b, c, d = words
    result = builder.add(_rotated(builder, builder.add(a, d), 7), a)
    t = builder.shl(b, constant(WORDS, 9))
    c, d = builder.xor(c, a), builder.xor(d, b)
    b, a, c, d = builder.xor(b, c), builder.xor(a, d), builder.xor(c, t), _rotated(builder, d, 11)
    return result, [a, b, c, d]


def _unaligned(builder: Any, address: Any, kind: Any) -> Any:
    """A vector from an address."""
    out = builder.load(builder.inttoptr(address, kind.as_pointer()))
    out.align = 1
    return out


@intrinsic
def draw_items(typingctx: Any, state: Any, thresholds: Any, bits: Any, groups: Any) -> Any:
    """Draw groups of thirty-two items: how many are chosen in all, and which of them tie, one word or-ed together.

    ``thresholds`` is where their thresholds are, ``bits`` where a word for each group goes. The streams go on.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = builder.bitcast(data_of(context, builder, sig.args[0], args[0]), WORDS.as_pointer())
        places = [builder.gep(data, [I32(i)]) for i in range(4)]
        streams = [cgutils.alloca_once(builder, WORDS) for _ in places]
        for place, stream in zip(places, streams, strict=True):
            word = builder.load(place)
            word.align = 8
            builder.store(word, stream)
        count, tied = cgutils.alloca_once_value(builder, I64(0)), cgutils.alloca_once_value(builder, I32(0))
        with cgutils.for_range(builder, args[3]) as loop:
            word, words = _next(builder, [builder.load(x) for x in streams])
            for x, stream in zip(words, streams, strict=True):
                builder.store(x, stream)
            word = builder.bitcast(word, HALVES)
            threshold = _unaligned(builder, builder.add(args[1], builder.shl(loop.index, I64(6))), HALVES)
            chosen = builder.bitcast(builder.icmp_unsigned("<", word, threshold), I32)
            ties = builder.bitcast(builder.icmp_unsigned("==", word, threshold), I32)
            target = builder.inttoptr(builder.add(args[2], builder.shl(loop.index, I64(2))), I32.as_pointer())
            builder.store(chosen, target).align = 1
            builder.store(builder.or_(builder.load(tied), ties), tied)
            some = builder.zext(builder.ctpop(chosen), I64)
            builder.store(builder.add(builder.load(count), some), count)
        for place, stream in zip(places, streams, strict=True):
            builder.store(builder.load(stream), place).align = 8
        pair = builder.load(count), builder.zext(builder.load(tied), I64)
        return context.make_tuple(builder, sig.return_type, pair)

    return types.UniTuple(types.int64, 2)(state, types.intp, types.intp, types.intp), codegen


@intrinsic
def ties(typingctx: Any, state: Any, thresholds: Any) -> Any:
    """Which of thirty-two items tie when they are drawn; the streams go on."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = builder.bitcast(data_of(context, builder, sig.args[0], args[0]), WORDS.as_pointer())
        places = [builder.gep(data, [I32(i)]) for i in range(4)]
        words = [builder.load(place) for place in places]
        for word in words:
            word.align = 8
        result, words = _next(builder, words)
        for word, place in zip(words, places, strict=True):
            builder.store(word, place).align = 8
        equal = builder.icmp_unsigned("==", builder.bitcast(result, HALVES), _unaligned(builder, args[1], HALVES))
        return builder.zext(builder.bitcast(equal, I32), I64)

    return types.int64(state, types.intp), codegen


@intrinsic
def put_thresholds(typingctx: Any, address: Any, i: Any, unlikely: Any, chosen: Any) -> Any:
    """Write the thresholds of a vector of items from an address on; min(p, q) and p > q are given."""
    dtype = unlikely.dtype

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind, whole = ir.VectorType(I16, WIDTH[dtype]), ir.VectorType(I32, WIDTH[dtype])
        scaled = builder.fmul(args[2], constant(args[2].type, 65536.0))
        rare = builder.fptosi(scaled, whole)
        above = builder.fcmp_ordered(">", scaled, builder.sitofp(rare, scaled.type))
        common = builder.sub(builder.sub(constant(whole, 65536), rare), builder.zext(above, whole))
        common = builder.select(builder.icmp_signed("<", common, constant(whole, SURE)), common, constant(whole, SURE))
        size = builder.trunc(builder.select(args[3], common, rare), kind)
        place = builder.inttoptr(builder.add(args[0], builder.shl(args[1], I64(1))), kind.as_pointer())
        builder.store(size, place).align = 1
        return context.get_dummy_value()

    return types.none(types.intp, types.intp, unlikely, chosen), codegen


@intrinsic
def word_at(typingctx: Any, address: Any) -> Any:
    """The 32 bits at an address."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.zext(_unaligned(builder, args[0], I32), I64)

    return types.int64(types.intp), codegen


@intrinsic
def put_word_at(typingctx: Any, address: Any, word: Any) -> Any:
    """Write 32 bits to an address."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store(builder.trunc(args[1], I32), builder.inttoptr(args[0], I32.as_pointer())).align = 1
        return context.get_dummy_value()

    return types.none(types.intp, types.int64), codegen


@intrinsic
def put_subset(typingctx: Any, table: Any, at: Any, bits: Any, left: Any) -> Any:
    """Write 32 bits, or only the first ``left`` of them, as 0 and 1 to a position of a table."""
    dtype = table.dtype

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        size = WIDTH[dtype]
        kind, data = vector(dtype), data_of(context, builder, sig.args[0], args[0])
        lanes = ir.Constant(ir.VectorType(I32, size), list(range(size)))
        store = ir.FunctionType(ir.VoidType(), [kind, kind.as_pointer(), I32, ir.VectorType(I1, size)])
        store = cgutils.get_or_insert_function(builder.module, store, f"llvm.masked.store.v{size}f{dtype.bitwidth}.p0")
        for first in range(0, ITEMS_AT_ONCE, size):
            part = builder.trunc(builder.lshr(args[2], I64(first)), ir.IntType(size))
            value = builder.select(
                builder.bitcast(part, ir.VectorType(I1, size)), constant(kind, 1.0), constant(kind, 0.0)
            )
            place = builder.bitcast(builder.gep(data, [builder.add(args[1], I64(first))]), kind.as_pointer())
            limit = builder.insert_element(ir.Constant(lanes.type, ir.Undefined), builder.trunc(args[3], I32), I32(0))
            limit = builder.shuffle_vector(limit, limit, constant(lanes.type, 0))
            limit = builder.sub(limit, constant(lanes.type, first))
            mask = builder.icmp_signed("<", lanes, limit)
            builder.call(store, [value, place, I32(dtype.bitwidth // 8), mask])
        return context.get_dummy_value()

    return types.none(table, types.intp, types.int64, types.intp), codegen
