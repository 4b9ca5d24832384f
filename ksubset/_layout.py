"""The form in which the engines see a batch: items first, rows last, and at most half of the items chosen.

A row that chooses more than half of its items is the row of the negated logits that chooses the others, so no
polynomial ever needs more than n/2 + 1 coefficients.
"""

from dataclasses import dataclass
from math import prod

from ksubset._typing import Array, Ops


def device(x: Array) -> object:
    """Where ``x`` is; None for a tracer, whose operations follow their operands."""
    return getattr(x, "device", None)


def fill(ops: Ops, shape: tuple[int, ...], value: float, like: Array) -> Array:
    """A constant array with the dtype and on the device of ``like``."""
    return ops.xp.full(shape, value, dtype=like.dtype, device=device(like))


def constant(ops: Ops, values: list[float], like: Array) -> Array:
    """A one-dimensional array with the dtype and on the device of ``like``."""
    return ops.xp.asarray(values, dtype=like.dtype, device=device(like))


def iota(ops: Ops, size: int, like: Array) -> Array:
    """The integers 0 … size − 1 on the device of ``like``."""
    return ops.xp.arange(size, device=device(like))


def pad(ops: Ops, x: Array, before: int, after: int) -> Array:
    """Append zeros at both ends of the first axis."""
    tail, place = tuple(x.shape[1:]), device(x)
    parts = [ops.xp.zeros((size, *tail), dtype=x.dtype, device=place) if size else None for size in (before, after)]
    parts.insert(1, x)
    return _joined(ops, parts)


def resize(ops: Ops, x: Array, size: int) -> Array:
    """Cut off the end of the first axis, or append zeros to it."""
    return pad(ops, x[: min(size, x.shape[0]), ...], 0, max(0, size - x.shape[0]))


def _joined(ops: Ops, parts: list[Array | None]) -> Array:
    kept = [part for part in parts if part is not None]
    return ops.xp.concat(kept, axis=0) if len(kept) > 1 else kept[0]


def contiguous(ops: Ops, x: Array) -> Array:
    """Lay ``x`` out in memory in the order of its axes, which eager frameworks otherwise inherit from their inputs."""
    shape = tuple(x.shape)
    return ops.xp.reshape(ops.xp.reshape(x, (-1,)), shape)


def items_first(ops: Ops, x: Array) -> Array:
    """Turn (..., n) into (n, rows)."""
    return contiguous(ops, ops.xp.permute_dims(flat_rows(ops, x), (1, 0)))


def items_last(ops: Ops, x: Array, batch: tuple[int, ...]) -> Array:
    """Turn (n, rows) back into (..., n)."""
    return ops.xp.reshape(ops.xp.permute_dims(x, (1, 0)), (*batch, x.shape[0]))


def flat_rows(ops: Ops, x: Array) -> Array:
    """Turn (..., n) into (rows, n)."""
    return ops.xp.reshape(x, (prod(x.shape[:-1]), x.shape[-1]))


@dataclass(frozen=True)
class Rows:
    """Rows ready for the engines.

    Attributes
    ----------
    logits, by_row
        (n, rows) and (rows, n), negated where ``sign`` is −1.
    count
        How many items each row chooses, at most n // 2: an int, or (rows,).
    sign
        +1, or −1 for a row that stands for its complement: an int, or (rows,) in the dtype of the logits.
    width
        A static upper bound of ``count``.
    """

    logits: Array
    by_row: Array
    count: int | Array
    sign: int | Array
    width: int

    @property
    def size(self) -> int:
        """The number of items, n."""
        return int(self.logits.shape[0])


def orient(ops: Ops, logits: Array, k: int | Array, width: int) -> Rows:
    """Flatten the batch and exchange chosen for unchosen where that makes the count smaller."""
    xp, n = ops.xp, logits.shape[-1]
    by_row = flat_rows(ops, logits)
    if isinstance(k, int):
        sign, count = (-1, n - k) if 2 * k > n else (1, k)
        by_row = by_row if sign == 1 else -by_row
    else:
        k = xp.reshape(xp.broadcast_to(k, logits.shape[:-1]), (-1,))
        sign = 1 - 2 * xp.astype(2 * k > n, logits.dtype)
        by_row = by_row * sign[:, None]
        count = xp.minimum(k, n - k)
    return Rows(items_first(ops, by_row), by_row, count, sign, width)
