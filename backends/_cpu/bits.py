"""Random bits in sixteen lanes, and the thresholds they are compared with.

A Bernoulli variable is drawn by comparing 31 random bits with the first 31 of the smaller of p and q; where they are
equal, which happens once in 2³¹ times, 53 further bits are compared with what is left of it. Its threshold is a 32-bit
integer, T = ⌊2³¹ min(p, q)⌋, or −1 − T for an item that is likely, whose draw is turned round.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.uniforms import GOLDEN, mix
from ksubset.backends._cpu.vectors import I32, WIDTH, constant, vector

LANES = 16
WORDS = ir.VectorType(I32, LANES)
MASK = ir.VectorType(ir.IntType(1), LANES)
I16 = ir.IntType(16)


WORDS_OF_STATE = 2 * LANES
"""64-bit words of the sixteen streams; one more holds the stream of what is drawn one at a time."""


@inner
def seed_bits(seed, number, state, single):
    """Start the streams of draw ``number``."""
    key = mix(mix(np.uint64(seed)) + GOLDEN * np.uint64(number + 1))
    for j in range(WORDS_OF_STATE):
        state[j] = mix(key + GOLDEN * np.uint64(j + 1))
    single[0] = mix(key)


@inlined
def uniform(single):
    """A number in [0, 1), a multiple of 2⁻⁵³."""
    single[0] += GOLDEN
    return np.float64(mix(single[0]) >> np.uint64(11)) * 2.0**-53


@inlined
def hashed_uniform(key, i):
    """The like, for item ``i`` of a draw with a key."""
    return np.float64(mix(mix(key) + GOLDEN * np.uint64(i + 1)) >> np.uint64(11)) * 2.0**-53


def _vector_at(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


def _rotated(builder: Any, x: Any, by: int) -> Any:
    return builder.or_(builder.shl(x, constant(x.type, by)), builder.lshr(x, constant(x.type, 32 - by)))


def _words(builder: Any, data: Any) -> list[Any]:
    """The state of the streams."""
    words = [builder.load(builder.gep(data, [I32(i)])) for i in range(4)]
    for word in words:
        word.align = 8
    return words


def _put_words(builder: Any, words: list[Any], data: Any) -> None:
    for i, word in enumerate(words):
        builder.store(word, builder.gep(data, [I32(i)])).align = 8


def _next(builder: Any, words: list[Any]) -> tuple[Any, list[Any]]:
    """31 random bits in every lane, and the state of the streams afterwards: xoshiro128++."""
    a, b, c, d = words
    result = builder.add(_rotated(builder, builder.add(a, d), 7), a)
    t = builder.shl(b, constant(WORDS, 9))
    c, d = builder.xor(c, a), builder.xor(d, b)
    b, a, c, d = builder.xor(b, c), builder.xor(a, d), builder.xor(c, t), _rotated(builder, d, 11)
    return builder.lshr(result, constant(WORDS, 1)), [a, b, c, d]


def _first(builder: Any, count: Any) -> Any:
    """A mask of the lanes before ``count``."""
    lanes = ir.Constant(WORDS, list(range(LANES)))
    limit = builder.insert_element(ir.Constant(WORDS, ir.Undefined), builder.trunc(count, I32), I32(0))
    limit = builder.shuffle_vector(limit, limit, constant(WORDS, 0))
    return builder.icmp_signed("<", lanes, limit)


def _compared(builder: Any, word: Any, threshold: Any) -> tuple[Any, Any]:
    """Who is chosen, and who ties."""
    zero = constant(WORDS, 0)
    size = builder.xor(threshold, builder.ashr(threshold, constant(WORDS, 31)))
    chosen = builder.xor(builder.icmp_signed("<", word, size), builder.icmp_signed("<", threshold, zero))
    return chosen, builder.icmp_signed("==", word, size)


def _masked_thresholds(builder: Any, place: Any, exists: Any) -> Any:
    """Those of lanes that exist, 0 for the others."""
    kind = ir.FunctionType(WORDS, [place.type, I32, MASK, WORDS])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.load.v{LANES}i32.p0")
    return builder.call(function, [place, I32(4), exists, constant(WORDS, 0)])


@intrinsic
def draw_sixteen(typingctx: Any, state: Any, thresholds: Any, left: Any) -> Any:
    """Draw sixteen items, ``left`` of which exist, by thresholds at an address: who is chosen, and 2¹⁶ times who ties."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = builder.bitcast(context.make_array(sig.args[0])(context, builder, args[0]).data, WORDS.as_pointer())
        word, words = _next(builder, _words(builder, data))
        _put_words(builder, words, data)
        exists = _first(builder, args[2])
        chosen, ties = _compared(builder, word, _masked_thresholds(builder, _vector_at(builder, args[1], WORDS), exists))
        low, high = (
            builder.zext(builder.bitcast(builder.and_(x, exists), I16), ir.IntType(64)) for x in (chosen, ties)
        )
        return builder.or_(low, builder.shl(high, ir.Constant(high.type, 16)))

    return types.int64(state, types.intp, types.intp), codegen


@intrinsic
def count_chosen(typingctx: Any, before: Any, after: Any, thresholds: Any, n: Any) -> Any:
    """Draw n items by thresholds at an address: how many are chosen, −1 if any ties. The streams go on in ``after``."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        start, end = (
            builder.bitcast(context.make_array(kind)(context, builder, x).data, WORDS.as_pointer())
            for kind, x in zip(sig.args[:2], args[:2], strict=True)
        )
        zero = constant(WORDS, 0)
        streams = [cgutils.alloca_once_value(builder, word) for word in _words(builder, start)]
        count, tied = cgutils.alloca_once_value(builder, zero), cgutils.alloca_once_value(builder, zero)

        def draw(i: Any, exists: Any) -> None:
            word, words = _next(builder, [builder.load(x) for x in streams])
            for x, place in zip(words, streams, strict=True):
                builder.store(x, place)
            place = _vector_at(builder, builder.add(args[2], builder.shl(i, ir.Constant(i.type, 6))), WORDS)
            if exists is None:
                threshold = builder.load(place)
                threshold.align = 4
            else:
                threshold = _masked_thresholds(builder, place, exists)
            chosen, ties = _compared(builder, word, threshold)
            if exists is not None:
                chosen, ties = builder.and_(chosen, exists), builder.and_(ties, exists)
            for total, mask in ((count, chosen), (tied, ties)):
                builder.store(builder.sub(builder.load(total), builder.sext(mask, WORDS)), total)

        whole = builder.lshr(args[3], ir.Constant(args[3].type, 4))
        with cgutils.for_range(builder, whole) as loop:
            draw(loop.index, None)
        rest = builder.and_(args[3], ir.Constant(args[3].type, LANES - 1))
        with builder.if_then(builder.icmp_signed("!=", rest, ir.Constant(rest.type, 0))):
            draw(whole, _first(builder, rest))
        _put_words(builder, [builder.load(x) for x in streams], end)
        totals = [_reduced(builder, builder.load(x)) for x in (count, tied)]
        minus = ir.Constant(ir.IntType(64), -1)
        clean = builder.icmp_signed("==", totals[1], ir.Constant(totals[1].type, 0))
        return builder.select(clean, builder.sext(totals[0], minus.type), minus)

    return types.int64(before, after, types.intp, types.intp), codegen


def _reduced(builder: Any, x: Any) -> Any:
    """The sum of all lanes."""
    kind = ir.FunctionType(I32, [WORDS])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.add.v{LANES}i32")
    return builder.call(function, [x])


@intrinsic
def put_sixteen(typingctx: Any, table: Any, at: Any, chosen: Any, left: Any) -> Any:
    """Write sixteen items, ``left`` of which exist, as 0 and 1 to a position of a table."""
    dtype = table.dtype

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.VectorType(vector(dtype).element, LANES)
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        place = builder.bitcast(builder.gep(data, [args[1]]), kind.as_pointer())
        mask = builder.bitcast(builder.trunc(args[2], I16), MASK)
        value = builder.select(mask, constant(kind, 1.0), constant(kind, 0.0))
        call = ir.FunctionType(ir.VoidType(), [kind, place.type, I32, MASK])
        name = f"llvm.masked.store.v{LANES}f{dtype.bitwidth}.p0"
        function = cgutils.get_or_insert_function(builder.module, call, name)
        builder.call(function, [value, place, I32(dtype.bitwidth // 8), _first(builder, args[3])])
        return context.get_dummy_value()

    return types.none(table, types.intp, types.int64, types.intp), codegen


@intrinsic
def put_thresholds(typingctx: Any, address: Any, i: Any, left: Any, unlikely: Any, chosen: Any) -> Any:
    """Write the thresholds of a vector of items, ``left`` of which exist, as integers i, i + 1, … from an address on."""
    dtype = unlikely.dtype

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.VectorType(I32, WIDTH[dtype])
        scaled = builder.fmul(args[3], constant(args[3].type, 2.0**31))
        size = builder.fptosi(scaled, kind)
        size = builder.select(args[4], builder.xor(size, constant(kind, -1)), size)
        start = builder.add(args[0], builder.mul(args[1], ir.Constant(args[1].type, 4)))
        place = _vector_at(builder, start, kind)
        lanes = ir.Constant(kind, list(range(kind.count)))
        limit = builder.insert_element(ir.Constant(kind, ir.Undefined), builder.trunc(args[2], I32), I32(0))
        mask = builder.icmp_signed("<", lanes, builder.shuffle_vector(limit, limit, constant(kind, 0)))
        call = ir.FunctionType(ir.VoidType(), [kind, place.type, I32, mask.type])
        name = f"llvm.masked.store.v{kind.count}i32.p0"
        function = cgutils.get_or_insert_function(builder.module, call, name)
        builder.call(function, [size, place, I32(4), mask])
        return context.get_dummy_value()

    return types.none(types.intp, types.intp, types.intp, unlikely, chosen), codegen


@inlined
def population(x):
    """The number of bits that are set."""
    count = 0
    while x:
        x &= x - 1
        count += 1
    return count


@intrinsic
def address_of_numbers(typingctx: Any, table: Any, at: Any) -> Any:
    """Where a position of a table is in memory."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(builder.gep(data, [args[1]]), context.get_value_type(types.intp))

    return types.intp(table, types.intp), codegen

