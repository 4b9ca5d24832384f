"""Operations on SIMD values: operators, which become single LLVM instructions, and functions that make vectors."""

import operator
from typing import Any

from llvmlite import ir
from numba import float64, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin

from ksubset.backends._cpu.simd.lanes import (
    I32,
    ITEMS,
    WIDTH,
    Dual,
    Lanes,
    LayoutType,
    Mask,
    constant,
    make_dual,
    splat,
    split_dual,
    vector,
)

FLAGS = ("contract",)  # fused multiply-add; infinities and NaN keep their meaning


def _define(op: Any, kinds: tuple[type, ...], result: Any) -> None:
    """Give ``op`` a meaning for operands of the same kind."""

    @infer_global(op)
    class _Template(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            same = all(arg == args[0] for arg in args)
            return signature(result(args[0]), *args) if same and isinstance(args[0], kinds) else None


def _lower_arithmetic(op: Any, name: str) -> None:
    _define(op, (Lanes, Dual), lambda kind: kind)

    @lower_builtin(op, Lanes, Lanes)
    def _lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, name)(*args, flags=FLAGS)


def _lower_comparison(op: Any, symbol: str, *, ordered: bool) -> None:
    _define(op, (Lanes,), lambda kind: Mask(kind.dtype))

    @lower_builtin(op, Lanes, Lanes)
    def _lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return (builder.fcmp_ordered if ordered else builder.fcmp_unordered)(symbol, *args)


def _lower_logic(op: Any, name: str) -> None:
    _define(op, (Mask,), lambda kind: kind)

    @lower_builtin(op, Mask, Mask)
    def _lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, name)(*args)


for _op, _name in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul"), (operator.truediv, "fdiv")):
    _lower_arithmetic(_op, _name)
COMPARISONS = {operator.lt: "<", operator.le: "<=", operator.gt: ">", operator.ge: ">=", operator.eq: "=="}
for _op, _name in COMPARISONS.items():
    _lower_comparison(_op, _name, ordered=True)
_lower_comparison(operator.ne, "!=", ordered=False)
for _op, _name in ((operator.and_, "and_"), (operator.or_, "or_"), (operator.xor, "xor")):
    _lower_logic(_op, _name)


_define(operator.neg, (Lanes,), lambda kind: kind)
_define(operator.invert, (Mask,), lambda kind: kind)


@lower_builtin(operator.neg, Lanes)
def _negative(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.fneg(args[0])


@lower_builtin(operator.invert, Mask)
def _inverted(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.not_(args[0])


@lower_builtin(operator.add, Dual, Dual)
def _dual_add(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    (a, da), (b, db) = (split_dual(context, builder, sig.return_type, x) for x in args)
    number, change = builder.fadd(a, b, flags=FLAGS), builder.fadd(da, db, flags=FLAGS)
    return make_dual(context, builder, sig.return_type, number, change)


@lower_builtin(operator.mul, Dual, Dual)
def _dual_mul(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    (a, da), (b, db) = (split_dual(context, builder, sig.return_type, x) for x in args)
    change = builder.fadd(builder.fmul(a, db, flags=FLAGS), builder.fmul(da, b, flags=FLAGS), flags=FLAGS)
    return make_dual(context, builder, sig.return_type, builder.fmul(a, b, flags=FLAGS), change)


@intrinsic
def plus(typingctx: Any, sum: Any, x: Any, y: Any) -> Any:
    """sum + x y, a fused operation for every product that it takes."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        def add(sum: Any, x: Any, y: Any) -> Any:
            return builder.fadd(sum, builder.fmul(x, y, flags=FLAGS), flags=FLAGS)

        if isinstance(x, Lanes):
            return add(*args)
        (s, ds), (a, da), (b, db) = (split_dual(context, builder, x, arg) for arg in args)
        return make_dual(context, builder, x, add(s, a, b), add(add(ds, a, db), da, b))

    return x(x, x, x), codegen


@intrinsic
def minus(typingctx: Any, x: Any, y: Any) -> Any:
    """x − y of numbers as they are rounded: 0 for two equal products, of which one would be fused with ``-``."""
    return x(x, y), lambda context, builder, sig, args: builder.fsub(*args)


@intrinsic
def zeros(typingctx: Any, layout: Any) -> Any:
    """Zero in every lane."""
    kind = Lanes(layout.dtype, layout.across)
    return kind(layout), lambda context, builder, sig, args: constant(vector(kind.dtype), 0.0)


@intrinsic
def full(typingctx: Any, like: Any, x: Any) -> Any:
    """The scalar ``x`` in every lane."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return splat(builder, vector(like.dtype), context.cast(builder, args[1], sig.args[1], like.dtype))

    return like(like, types.unliteral(x)), codegen


@intrinsic
def width(typingctx: Any, like: Any) -> Any:
    """The number of lanes."""
    return types.intp(like), lambda context, builder, sig, args: context.get_constant(types.intp, WIDTH[like.dtype])


@intrinsic
def dual(typingctx: Any, number: Any, change: Any) -> Any:
    """A number and its derivative."""
    kind = Dual(number)
    return kind(number, change), lambda context, builder, sig, args: make_dual(context, builder, kind, *args)


@intrinsic
def planes(typingctx: Any, x: Any) -> Any:
    """How many vectors a value consists of."""
    count = 2 if isinstance(x, Dual) else 1
    return types.intp(x), lambda context, builder, sig, args: context.get_constant(types.intp, count)


@intrinsic
def number(typingctx: Any, x: Any) -> Any:
    """The number without its derivative."""
    if isinstance(x, Lanes):
        return x(x), lambda context, builder, sig, args: args[0]
    return x.lanes(x), lambda context, builder, sig, args: split_dual(context, builder, x, args[0])[0]


@intrinsic
def tangent(typingctx: Any, x: Any) -> Any:
    """The derivative."""
    return x.lanes(x), lambda context, builder, sig, args: split_dual(context, builder, x, args[0])[1]


@intrinsic
def where(typingctx: Any, mask: Any, x: Any, y: Any) -> Any:
    """``x`` where the mask is set, else ``y``."""
    return x(mask, x, x), lambda context, builder, sig, args: builder.select(*args)


@intrinsic
def shifted(typingctx: Any, x: Any, y: Any) -> Any:
    """The last lane of ``x``, then all of ``y`` but its last."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        size = WIDTH[x.dtype]
        order = ir.Constant(ir.VectorType(I32, size), list(range(size - 1, 2 * size - 1)))
        return builder.shuffle_vector(*args, order)

    return x(x, x), codegen


@intrinsic
def any_lane(typingctx: Any, mask: Any) -> Any:
    """Whether the mask is set in any lane."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = ir.IntType(WIDTH[mask.dtype])
        return builder.icmp_unsigned("!=", builder.bitcast(args[0], bits), ir.Constant(bits, 0))

    return types.boolean(mask), codegen


@intrinsic
def all_lanes(typingctx: Any, mask: Any) -> Any:
    """Whether the mask is set in every lane."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = ir.IntType(WIDTH[mask.dtype])
        return builder.icmp_unsigned("==", builder.bitcast(args[0], bits), ir.Constant(bits, -1))

    return types.boolean(mask), codegen


@intrinsic
def lane_bits(typingctx: Any, mask: Any) -> Any:
    """The mask as a number, the first lane its lowest bit."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.zext(builder.bitcast(args[0], ir.IntType(WIDTH[mask.dtype])), ir.IntType(64))

    return types.int64(mask), codegen


@intrinsic
def lowest_bit(typingctx: Any, bits: Any) -> Any:
    """The place of the lowest bit that is set."""
    return types.int64(types.int64), lambda context, builder, sig, args: builder.cttz(
        args[0], ir.Constant(ir.IntType(1), 1)
    )


@intrinsic
def double_items(typingctx: Any, layout: Any) -> Any:
    """The layout of float64 that takes one row at a time."""
    kind = LayoutType(float64, ITEMS)
    return kind(layout), lambda context, builder, sig, args: context.get_dummy_value()
