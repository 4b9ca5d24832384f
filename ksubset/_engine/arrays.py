"""Constants, and the shapes of arrays."""

from math import prod

from ksubset._engine.ops import Array, Ops


def device(x: Array) -> object:
    """Where ``x`` is; None for a tracer, whose operations follow their operands."""
    return getattr(x, "device", None)


def fill(ops: Ops, shape: tuple[int, ...], value: float, like: Array) -> Array:
    """A constant array with the dtype and on the device of ``like``."""
    return ops.xp.full(shape, value, dtype=like.dtype, device=device(like))


def constant(ops: Ops, values: list[float], like: Array) -> Array:
    """A one-dimensional array with the dtype and on the device of ``like``."""
    return ops.xp.asarray(values, dtype=like.dtype, device=device(like))


def scaled(ops: Ops, z: Array, factor: Array) -> Array:
    """A complex ``z`` times a real ``factor``."""
    return ops.join(ops.xp.real(z) * factor, ops.xp.imag(z) * factor)


def iota(ops: Ops, size: int, like: Array) -> Array:
    """The integers 0 … size − 1 on the device of ``like``."""
    return ops.xp.arange(size, device=device(like))


def entry_at(ops: Ops, x: Array, mark: Array) -> Array:
    """The entry of each row (..., n) that is marked, 0 if there is none."""
    return ops.xp.sum(ops.xp.where(mark, x, ops.xp.zeros_like(x)), axis=-1)


def whole(ops: Ops, k: int | Array, like: Array) -> Array:
    """Counts as an array of whole numbers in the dtype of ``like``."""
    return ops.xp.astype(iota(ops, 1, like)[0] + k, like.dtype)


def pad(ops: Ops, x: Array, before: int, after: int) -> Array:
    """Append zeros at both ends of the first axis."""
    tail, place = tuple(x.shape[1:]), device(x)
    parts = [ops.xp.zeros((size, *tail), dtype=x.dtype, device=place) if size else None for size in (before, after)]
    parts.insert(1, x)
    return _joined(ops, parts)


def _joined(ops: Ops, parts: list[Array | None]) -> Array:
    kept = [part for part in parts if part is not None]
    return ops.xp.concat(kept, axis=0) if len(kept) > 1 else kept[0]


def contiguous(ops: Ops, x: Array) -> Array:
    """Lay ``x`` out in memory in the order of its axes, which eager frameworks otherwise inherit from their inputs."""
    shape = tuple(x.shape)
    return ops.xp.reshape(ops.xp.reshape(x, (-1,)), shape)


def items_first(ops: Ops, x: Array) -> Array:
    """Turn (..., n) into (n, ...)."""
    return contiguous(ops, ops.xp.permute_dims(x, (x.ndim - 1, *range(x.ndim - 1)))) if x.ndim > 1 else x


def items_last(ops: Ops, x: Array) -> Array:
    """Turn (n, ...) back into (..., n)."""
    return ops.xp.permute_dims(x, (*range(1, x.ndim), 0))


def flat_rows(ops: Ops, x: Array) -> Array:
    """Turn (..., n) into (rows, n)."""
    return ops.xp.reshape(x, (prod(x.shape[:-1]), x.shape[-1]))


def place_of(row: int, shape: tuple[int, ...]) -> str:
    """The index of a row of a batch, as the caller would write it."""
    place: list[int] = []
    for size in reversed(shape):
        row, rest = divmod(row, size)
        place.insert(0, rest)
    return "(" + ", ".join(map(str, place)) + ")" if len(place) != 1 else str(place[0])


def broadcast_shapes(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...] | None:
    """The common shape, or None where there is none."""
    rank = max(len(first), len(second))
    pairs = zip((1,) * (rank - len(first)) + first, (1,) * (rank - len(second)) + second, strict=True)
    common = [b if a == 1 else a if b in (1, a) else None for a, b in pairs]
    return None if None in common else tuple(common)  # type: ignore[arg-type]
