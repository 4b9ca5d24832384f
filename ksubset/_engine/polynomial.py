"""Truncated products of polynomials with non-negative coefficients, by direct sums.

A polynomial is an array whose first axis runs over coefficients; the other axes hold independent polynomials. Direct
sums of non-negative terms keep the *relative* accuracy of every coefficient, which a Fourier transform does not.

Few coefficients are combined by shifted multiply-adds over whole arrays. Many are combined in blocks: with s
coefficients to a block, the windows R[c − i], i < s, form a small matrix that one matrix product applies to all
blocks of L at once; the blocks' results are then added at their offsets.
"""

from math import isqrt, prod

from ksubset._engine.arrays import contiguous, pad
from ksubset._engine.ops import Array, Ops


def product(ops: Ops, left: Array, right: Array, size: int) -> Array:
    """The first ``size`` coefficients of left · right: out[c] = Σ_a left[a] · right[c − a].

    Both have the same number m of coefficients, and m ≤ ``size`` < 2m.
    """
    if left.shape[0] < ops.matmul_from:
        return _shifted_product(ops, left, right, size)
    return _blocked_product(ops, left, right, size)


def _shifted_product(ops: Ops, left: Array, right: Array, size: int) -> Array:
    """Horner's rule in the left polynomial: out ← left[i] · right + x · out."""
    a = left.shape[0]
    out = left[a - 1, ...] * right[: size - a + 1, ...]
    for i in range(a - 2, -1, -1):
        term = left[i, ...] * right[: min(a, size - i), ...]
        more, done = term.shape[0] - 1, out.shape[0]
        parts = [term[:1, ...], term[1:, ...] + (out[:more, ...] if more < done else out)]
        out = ops.xp.concat([*parts, out[more:, ...]] if more < done else parts, axis=0)
    return out


def _blocked_product(ops: Ops, left: Array, right: Array, size: int) -> Array:
    xp, tail = ops.xp, tuple(left.shape[1:])
    s, blocks = _partition(left.shape[0])
    window = pad(ops, right, s - 1, size - right.shape[0] + 1)
    terms = ops.matmul(_blocks(ops, left, s, blocks), _sheared(ops, _last(ops, window), s)[..., s - 1 :])
    out = terms[:, blocks - 1, : size - (blocks - 1) * s]
    for block in range(blocks - 2, -1, -1):
        term = terms[:, block, : size - block * s]
        out = xp.concat([term[:, :s], term[:, s:] + out], axis=1)
    return _first(ops, out, tail)


def _partition(coefficients: int) -> tuple[int, int]:
    """The length and number of blocks; near √a of each, building the matrix and adding up its results cost the same."""
    s = -(-4 * isqrt(coefficients) // 3)
    return s, -(-coefficients // s)


def _last(ops: Ops, x: Array) -> Array:
    """(coefficients, …) to (polynomials, coefficients); the last axis, whose rows may be sharded, comes first."""
    reverse = tuple(range(len(x.shape) - 1, -1, -1))
    return ops.xp.reshape(contiguous(ops, ops.xp.permute_dims(x, reverse)), (prod(x.shape[1:]), x.shape[0]))


def _first(ops: Ops, x: Array, tail: tuple[int, ...]) -> Array:
    """The reverse of `_last`: to (coefficients, *tail)."""
    reverse = tuple(range(len(tail), -1, -1))
    return contiguous(ops, ops.xp.permute_dims(ops.xp.reshape(x, (*reversed(tail), x.shape[-1])), reverse))


def _blocks(ops: Ops, x: Array, s: int, blocks: int) -> Array:
    """(coefficients, …) to (polynomials, blocks, s), the last block filled with zeros."""
    return ops.xp.reshape(_last(ops, pad(ops, x, 0, blocks * s - x.shape[0])), (-1, blocks, s))


def _sheared(ops: Ops, x: Array, rows: int) -> Array:
    """Stack ``rows`` copies of each row of ``x``, copy i rotated right by i places.

    Copies laid end to end and cut at a length one less than their own are sheared at no further cost. Entries rotated
    past an end are wrong; callers slice them away.
    """
    xp, (count, width) = ops.xp, x.shape
    tiled = xp.broadcast_to(x[:, None, :], (count, rows, width))
    flat = xp.reshape(tiled, (count, rows * width))[:, : rows * (width - 1)]
    return xp.reshape(flat, (count, rows, width - 1))
