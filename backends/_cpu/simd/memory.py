"""How vectors reach memory: vectors of a table, items of a row, rows of a matrix.

A row of a `tables.Table` is a plane of vectors: one plane for Lanes, a second one with the derivatives for Dual.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ksubset.backends._cpu.simd.lanes import (
    I32,
    ITEMS,
    ROWS,
    WIDTH,
    Dual,
    constant,
    make_dual,
    splat,
    split_dual,
    vector,
)
from ksubset.backends._cpu.simd.tables import data_of, pitch_of


def _planes(context: Any, builder: Any, kind: Any, table: Any, start: Any, like: Any) -> list[Any]:
    """Pointers to the vectors that start at a position of each plane."""
    first = builder.gep(data_of(context, builder, kind, table), [start])
    out = [first]
    if isinstance(like, Dual):
        out.append(builder.gep(first, [pitch_of(context, builder, kind, table)]))
    return [builder.bitcast(p, vector(like.dtype).as_pointer()) for p in out]


def _scaled(builder: Any, j: Any, like: Any) -> Any:
    """Where vector ``j`` of a table starts."""
    return builder.mul(j, ir.Constant(j.type, WIDTH[like.dtype]))


def read(builder: Any, address: Any, dtype: Any) -> Any:
    """Load a vector that is only aligned as its elements are."""
    out = builder.load(address)
    out.align = dtype.bitwidth // 8
    return out


def write(builder: Any, x: Any, address: Any, dtype: Any) -> None:
    """Store a vector that is only aligned as its elements are."""
    builder.store(x, address).align = dtype.bitwidth // 8


@intrinsic
def load(typingctx: Any, table: Any, j: Any, like: Any) -> Any:
    """Vector ``j`` of a table."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        start = _scaled(builder, args[1], like)
        parts = [read(builder, p, like.dtype) for p in _planes(context, builder, table, args[0], start, like)]
        return make_dual(context, builder, like, *parts) if isinstance(like, Dual) else parts[0]

    return like(table, types.intp, like), codegen


@intrinsic
def store(typingctx: Any, table: Any, j: Any, x: Any) -> Any:
    """Write vector ``j`` of a table."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        parts = split_dual(context, builder, x, args[2]) if isinstance(x, Dual) else (args[2],)
        start = _scaled(builder, args[1], x)
        for part, place in zip(parts, _planes(context, builder, table, args[0], start, x), strict=True):
            write(builder, part, place, x.dtype)
        return context.get_dummy_value()

    return types.none(table, types.intp, x), codegen


@intrinsic
def step(typingctx: Any, like: Any) -> Any:
    """How many states a vector covers."""
    size = WIDTH[like.dtype] if like.across == ITEMS else 1
    return types.intp(like), lambda context, builder, sig, args: context.get_constant(types.intp, size)


@intrinsic
def rows_at_once(typingctx: Any, like: Any) -> Any:
    """How many rows a vector covers."""
    size = WIDTH[like.dtype] if like.across == ROWS else 1
    return types.intp(like), lambda context, builder, sig, args: context.get_constant(types.intp, size)


def _tile_masks(size: int, half: int) -> tuple[ir.Constant, ir.Constant]:
    """Shuffles that exchange the off-diagonal blocks, ``half`` wide, of two rows of a tile."""
    kind = ir.VectorType(I32, size)
    low = [j if not j & half else size + j - half for j in range(size)]
    high = [j + half if not j & half else size + j for j in range(size)]
    return ir.Constant(kind, low), ir.Constant(kind, high)


def _transposed(builder: Any, tile: list[Any]) -> list[Any]:
    """The columns of a square tile."""
    tile, half = list(tile), 1
    while half < len(tile):
        low, high = _tile_masks(len(tile), half)
        for i in range(len(tile)):
            if not i & half:
                a, b = tile[i], tile[i + half]
                tile[i], tile[i + half] = builder.shuffle_vector(a, b, low), builder.shuffle_vector(a, b, high)
        half *= 2
    return tile


def _masked(builder: Any, name: str, dtype: Any, result: Any, *args: Any) -> Any:
    """Call LLVM's masked load or store of a whole vector, aligned as numbers are."""
    place = next(i for i, a in enumerate(args) if isinstance(a.type, ir.PointerType))
    args = (*args[: place + 1], I32(dtype.bitwidth // 8), *args[place + 1 :])
    return _masked_call(builder, f"{name}.v{WIDTH[dtype]}f{dtype.bitwidth}", result, *args)


def _masked_call(builder: Any, name: str, result: Any, *args: Any) -> Any:
    kind = ir.FunctionType(result, [a.type for a in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.{name}.p0"), args)


def _first_lanes(builder: Any, count: Any, dtype: Any) -> Any:
    """A mask of the lanes before ``count``."""
    kind = ir.VectorType(I32, WIDTH[dtype])
    lanes = ir.Constant(kind, list(range(kind.count)))
    return builder.icmp_signed("<", lanes, splat(builder, kind, builder.trunc(count, I32)))


def _row_places(context: Any, builder: Any, kind: Any, array: Any, start: Any, pitch: Any, last: Any = None) -> Any:
    """Where each row of a tile starts, ``pitch`` numbers apart; rows after ``last`` start where it does."""
    data = data_of(context, builder, kind, array)
    for r in range(WIDTH[kind.dtype]):
        row = ir.Constant(start.type, r)
        if last is not None:
            row = builder.select(builder.icmp_signed("<", row, last), row, last)
        place = builder.gep(data, [builder.add(start, builder.mul(pitch, row))])
        yield builder.bitcast(place, vector(kind.dtype).as_pointer())


@intrinsic
def read_tile(typingctx: Any, source: Any, start: Any, pitch: Any, last: Any, columns: Any, x: Any, i: Any) -> Any:
    """Items i, i + 1, … of ``x`` from ``columns`` columns of the rows of a matrix; the rest of the tile is 0."""
    dtype, kind = source.dtype, vector(source.dtype)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        mask = _first_lanes(builder, args[4], dtype)
        places = _row_places(context, builder, sig.args[0], *args[:4])
        empty = constant(kind, 0.0)
        tile = [_masked(builder, "load", dtype, kind, p, mask, empty) for p in places]
        first = builder.mul(args[6], ir.Constant(args[6].type, WIDTH[dtype]))
        pitch = ir.Constant(first.type, WIDTH[dtype])
        targets = _row_places(context, builder, sig.args[5], args[5], first, pitch)
        for row, place in zip(_transposed(builder, tile), targets, strict=True):
            write(builder, row, place, dtype)
        return context.get_dummy_value()

    return types.none(source, types.intp, types.intp, types.intp, types.intp, x, types.intp), codegen


@intrinsic
def write_tile(typingctx: Any, x: Any, i: Any, target: Any, start: Any, pitch: Any, columns: Any) -> Any:
    """Items i, i + 1, … of ``x`` to ``columns`` columns of the rows of a matrix, a row for each lane."""
    dtype = x.dtype

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        first = builder.mul(args[1], ir.Constant(args[1].type, WIDTH[dtype]))
        pitch = ir.Constant(first.type, WIDTH[dtype])
        tile = [read(builder, p, dtype) for p in _row_places(context, builder, sig.args[0], args[0], first, pitch)]
        mask = _first_lanes(builder, args[5], dtype)
        places = _row_places(context, builder, sig.args[2], *args[2:5])
        for row, place in zip(_transposed(builder, tile), places, strict=True):
            _masked(builder, "store", dtype, ir.VoidType(), row, place, mask)
        return context.get_dummy_value()

    return types.none(x, types.intp, target, types.intp, types.intp, types.intp), codegen


@intrinsic
def load_numbers(typingctx: Any, table: Any, position: Any, like: Any) -> Any:
    """One number for each lane, from a position of the first plane, whatever the layout."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _planes(context, builder, table, args[0], args[1], like)[0]
        return read(builder, place, like.dtype)

    return like(table, types.intp, like), codegen


@intrinsic
def store_numbers(typingctx: Any, table: Any, position: Any, x: Any) -> Any:
    """Write every lane to a position of the first plane, whatever the layout."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        write(builder, args[2], _planes(context, builder, table, args[0], args[1], x)[0], x.dtype)
        return context.get_dummy_value()

    return types.none(table, types.intp, x), codegen


def _masked_items(
    context: Any, builder: Any, kind: Any, array: Any, at: Any, i: Any, n: Any, like: Any
) -> tuple[Any, Any]:
    """A pointer to items i, i + 1, … of a row that starts ``at`` a position, and a mask of those before ``n``."""
    data = data_of(context, builder, kind, array)
    lanes = ir.VectorType(data.type.pointee, WIDTH[like.dtype])
    place = builder.bitcast(builder.gep(data, [builder.add(at, i)]), lanes.as_pointer())
    return place, _first_lanes(builder, builder.sub(n, i), like.dtype)


@intrinsic
def load_items(typingctx: Any, table: Any, at: Any, i: Any, n: Any, filling: Any) -> Any:
    """Items i, i + 1, … of a row of n that starts ``at`` a position; where lanes are items, those from n on are filled.

    Lanes of float64 may be read from a table of float32.
    """
    like = filling

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        array, at, i, n, filling = args
        if like.across == ROWS:
            return read(
                builder, _planes(context, builder, table, array, _scaled(builder, i, like), like)[0], like.dtype
            )
        place, mask = _masked_items(context, builder, table, array, at, i, n, like)
        if table.dtype == like.dtype:
            return _masked(builder, "load", like.dtype, vector(like.dtype), place, mask, filling)
        single = ir.VectorType(ir.FloatType(), WIDTH[like.dtype])
        narrow = builder.fptrunc(filling, single)
        found = _masked_call(builder, f"load.v{single.count}f32", single, place, ir.Constant(I32, 4), mask, narrow)
        return builder.fpext(found, vector(like.dtype))

    return like(table, types.intp, types.intp, types.intp, like), codegen


@intrinsic
def store_items(typingctx: Any, table: Any, at: Any, i: Any, n: Any, x: Any) -> Any:
    """Write items i, i + 1, … of a row of n that starts ``at`` a position."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        array, at, i, n, value = args
        if x.across == ROWS:
            write(builder, value, _planes(context, builder, table, array, _scaled(builder, i, x), x)[0], x.dtype)
        else:
            place, mask = _masked_items(context, builder, table, array, at, i, n, x)
            _masked(builder, "store", x.dtype, ir.VoidType(), value, place, mask)
        return context.get_dummy_value()

    return types.none(table, types.intp, types.intp, types.intp, x), codegen
