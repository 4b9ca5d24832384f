"""Numbers in memory for Numba: a `Table` is an address and the distance between its rows.

Arrays would do, but Numba counts references to them, and a call that counts spills every vector.
"""

import operator
from typing import Any

from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_getattr, infer_global, signature
from numba.extending import intrinsic, lower_builtin, lower_getattr, make_attribute_wrapper, models, register_model


class Table(types.Type):
    """Numbers of one dtype; ``pitch`` of them from a row to the next."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Table({dtype})")


@register_model(Table)
class _TableModel(models.StructModel):
    def __init__(self, manager: Any, kind: Table) -> None:
        super().__init__(manager, kind, [("data", types.CPointer(kind.dtype)), ("pitch", types.intp)])


make_attribute_wrapper(Table, "pitch", "pitch")
POSITION, PLACE = types.intp, types.UniTuple(types.intp, 2)


@infer_getattr
class _Attributes(AttributeTemplate):
    key = Table

    def resolve_itemsize(self, table: Any) -> Any:
        return types.intp


@lower_getattr(Table, "itemsize")
def _itemsize(context: Any, builder: Any, kind: Any, table: Any) -> Any:
    return context.get_constant(types.intp, kind.dtype.bitwidth // 8)


def data_of(context: Any, builder: Any, kind: Any, table: Any) -> Any:
    """A pointer to the first number."""
    return cgutils.create_struct_proxy(kind)(context, builder, value=table).data


def pitch_of(context: Any, builder: Any, kind: Any, table: Any) -> Any:
    """The distance between rows."""
    return cgutils.create_struct_proxy(kind)(context, builder, value=table).pitch


@intrinsic
def table_at(typingctx: Any, address: Any, pitch: Any, like: Any) -> Any:
    """The table at an address, of the dtype of a layout or a vector, or of numbers such as ``like``."""
    kind = Table(getattr(like, "dtype", like))

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        out = cgutils.create_struct_proxy(kind)(context, builder)
        out.data = builder.inttoptr(args[0], context.get_value_type(types.CPointer(kind.dtype)))
        out.pitch = args[1]
        return out._getvalue()

    return kind(types.intp, types.intp, like), codegen


@intrinsic
def address_in(typingctx: Any, table: Any, i: Any) -> Any:
    """The address of number ``i``."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = builder.gep(data_of(context, builder, table, args[0]), [args[1]])
        return builder.ptrtoint(place, context.get_value_type(types.intp))

    return types.intp(table, types.intp), codegen


@infer_global(operator.getitem)
class _Get(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        table, index = args
        if isinstance(table, Table):
            return signature(table.dtype, table, PLACE if isinstance(index, types.BaseTuple) else POSITION)
        return None


@infer_global(operator.setitem)
class _Set(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        table, index, _ = args
        if isinstance(table, Table):
            place = PLACE if isinstance(index, types.BaseTuple) else POSITION
            return signature(types.none, table, place, table.dtype)
        return None


def _place(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    data, index = data_of(context, builder, sig.args[0], args[0]), args[1]
    if sig.args[1] == PLACE:
        row, column = cgutils.unpack_tuple(builder, index, 2)
        index = builder.add(builder.mul(row, pitch_of(context, builder, sig.args[0], args[0])), column)
    return builder.gep(data, [index])


def _get(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.load(_place(context, builder, sig, args))


def _set(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    builder.store(args[2], _place(context, builder, sig, args))
    return context.get_dummy_value()


for _index in (POSITION, PLACE):
    lower_builtin(operator.getitem, Table, _index)(_get)
    lower_builtin(operator.setitem, Table, _index, types.Any)(_set)
