"""The types of SIMD values: Lanes, a vector of numbers; Mask, of truth values; Dual, numbers with their derivatives.

A `Layout` gives the meaning of the lanes of a vector:

- ``ROWS``: one row of logits per lane. State i of a table is a whole vector, one number for each row.
- ``ITEMS``: one row at a time. A vector holds its items i, i + 1, ….

Kernels are written once; `memory.load` and its kin look at the layout.
"""

from typing import Any

from llvmlite import ir
from numba import float32, float64, types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import NativeValue, models, register_model, typeof_impl, unbox

FEATURES = cpu_target.target_context.codegen().magic_tuple()[2]
VECTOR_BYTES = 64 if "+avx512dq" in FEATURES and "+avx512vl" in FEATURES else 32
WIDTH = {float32: VECTOR_BYTES // 4, float64: VECTOR_BYTES // 8}
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
    """The LLVM vector of ``dtype``, or a vector of the same number of other elements."""
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
