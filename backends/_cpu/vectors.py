"""SIMD values for Numba: Lanes, a vector of numbers; Mask, of truth values; Dual, numbers with their derivatives.

Operators become single LLVM instructions. A `Layout` says what the lanes of a vector stand for:

- ``ROWS``: one row of logits per lane. State i of a table is a whole vector, one number for each row.
- ``ITEMS``: one row at a time. A vector holds its items i, i + 1, ….

Kernels are written once; `memory.load` and its kin look at the layout.
"""

import operator
from typing import Any

from llvmlite import ir
from numba import float32, float64, types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import NativeValue, intrinsic, lower_builtin, models, register_model, typeof_impl, unbox

FEATURES = cpu_target.target_context.codegen().magic_tuple()[2]
VECTOR_BYTES = 64 if "+avx512dq" in FEATURES and "+avx512vl" in FEATURES else 32
WIDTH = {float32: VECTOR_BYTES // 4, float64: VECTOR_BYTES // 8}
FLAGS = ("contract",)  # fused multiply-add; infinities and NaN keep their meaning
I32 = ir.IntType(32)
ROWS, ITEMS = "rows", "items"


class LayoutType(types.Type):
    """The Numba type of a `Layout`."""

    def __init__(self, dtype: types.Float, across: str) -> None:
        self.dtype, self.across = dtype, across
        super().__init__(name=f"Layout({dtype}, {across})")


class Layout:
    """Names a dtype and what lanes stand for; passed to a kernel, it selects the compiled version."""

    def __init__(self, dtype: types.Float, across: str) -> None:
        self.kind = self._numba_type_ = LayoutType(dtype, across)


class Lanes(types.Type):
    """A vector of numbers."""

    def __init__(self, dtype: types.Float, across: str) -> None:
        self.dtype, self.across = dtype, across
        super().__init__(name=f"Lanes({dtype}, {across})")


class Mask(types.Type):
    """A vector of truth values."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        super().__init__(name=f"Mask({dtype})")


class Dual(types.Type):
    """A vector of numbers and a vector of their derivatives."""

    def __init__(self, lanes: Lanes) -> None:
        self.dtype, self.across, self.lanes = lanes.dtype, lanes.across, lanes
        super().__init__(name=f"Dual({lanes})")


def vector(dtype: types.Float, element: ir.Type | None = None) -> ir.VectorType:
    """The LLVM vector of ``dtype``, or of as many other elements."""
    number = ir.FloatType() if dtype == float32 else ir.DoubleType()
    return ir.VectorType(element or number, WIDTH[dtype])


def integers(dtype: types.Float) -> ir.VectorType:
    """The LLVM vector of integers as wide as ``dtype``."""
    return vector(dtype, ir.IntType(dtype.bitwidth))


def constant(kind: ir.VectorType, x: float) -> ir.Constant:
    """``x`` in every lane."""
    return ir.Constant(kind, [x] * kind.count)


def splat(builder: Any, kind: ir.VectorType, scalar: Any) -> Any:
    """A run-time scalar in every lane."""
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, undefined, constant(ir.VectorType(I32, kind.count), 0))


register_model(LayoutType)(models.OpaqueModel)
typeof_impl.register(Layout)(lambda value, context: value._numba_type_)


@unbox(LayoutType)
def _unbox_layout(kind: Any, value: Any, c: Any) -> NativeValue:
    return NativeValue(c.context.get_dummy_value())


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Lanes) -> None:
        super().__init__(manager, kind, vector(kind.dtype))


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Mask) -> None:
        super().__init__(manager, kind, vector(kind.dtype, ir.IntType(1)))


@register_model(Dual)
class _DualModel(models.StructModel):
    def __init__(self, manager: Any, kind: Dual) -> None:
        super().__init__(manager, kind, [("value", kind.lanes), ("tangent", kind.lanes)])


def make_dual(context: Any, builder: Any, kind: Dual, number: Any, change: Any) -> Any:
    """Put the two vectors of a Dual together."""
    out = cgutils.create_struct_proxy(kind)(context, builder)
    out.value, out.tangent = number, change
    return out._getvalue()


def split_dual(context: Any, builder: Any, kind: Dual, x: Any) -> tuple[Any, Any]:
    """Take the two vectors of a Dual apart."""
    proxy = cgutils.create_struct_proxy(kind)(context, builder, value=x)
    return proxy.value, proxy.tangent


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
def double_items(typingctx: Any, layout: Any) -> Any:
    """The layout of float64 that takes one row at a time."""
    kind = LayoutType(float64, ITEMS)
    return kind(layout), lambda context, builder, sig, args: context.get_dummy_value()
