"""Windowed counts: the tree for rows with very many items.

A node of m items needs only the counts within some standard deviations of its mean. Each level stores a window of one
static width, placed for every node around the mean of its own items; products of long windows go through a Fourier
transform. What lies outside carries probability below rounding, so that the law of a sample has a small *absolute*
error. Where n or the count is small enough for direct sums, those are used instead and the error is relative.
"""

from math import ceil, sqrt
from typing import Any

from ksubset._engine.arrays import iota, pad
from ksubset._engine.ops import Array, Ops
from ksubset._engine.polynomial import product
from ksubset._engine.rows import Rows
from ksubset._engine.tree import SHORT, Counts, FullCounts

DIRECT_SIZE = 16_384
"""Rows of at most this many items use direct sums."""

DIRECT_WIDTH = 512
"""So do rows that choose, or leave out, at most this many."""

REACH = 9.0
"""Standard deviations from the mean of a node to the ends of its window: probabilities beyond are below rounding."""

LONGEST_SUM = 64
"""Windows of at most this many coefficients are combined by direct sums even here."""


def choose_counts(ops: Ops, rows: Rows) -> Counts:
    """Full counts, or windows where n and the number of chosen items are both large."""
    if not is_windowed(rows.size, rows.width):
        return FullCounts(ops, rows.width, bearable_error(ops, rows.p) if rows.width >= SHORT else None)
    return WindowedCounts(ops, rows)


def is_windowed(n: int, width: int) -> bool:
    """Whether counts are kept in windows."""
    return n > DIRECT_SIZE and width > DIRECT_WIDTH


def bearable_error(ops: Ops, p: Array) -> Array | None:
    """2⁻⁶³ for the rows whose count varies, where arithmetic is slow below the smallest normal float32, 2⁻¹²⁶.

    With variance Σpq ≥ 1/4 the counts next to k, which every marginal is a ratio of, have probabilities far above
    the n log n times 2⁻⁶³ that may be lost. No product of two coefficients above it is subnormal. The other rows,
    whose results may hang on coefficients of any size, keep theirs: 0.
    """
    xp = ops.xp
    if not ops.eager_on_cpu or xp.finfo(p.dtype).bits > 32:
        return None
    varied = xp.sum(p * (1 - p), axis=0) >= 0.25
    return xp.astype(varied, p.dtype) * 2.0**-63


class WindowedCounts(Counts):
    """For each node only the counts within ``reach`` standard deviations of its mean."""

    def __init__(self, ops: Ops, rows: Rows) -> None:
        super().__init__(ops)
        self.n, self.width = rows.size, rows.width
        self.floor = 4 * float(ops.xp.finfo(rows.p.dtype).eps)
        self.offsets = self._place(rows.p)

    def size(self, level: int) -> int:
        """The number of coefficients at a level: twice `REACH` standard deviations and Bennett's correction."""
        most, n, k = 1 << level, self.n, self.width
        spread = sqrt(min(most / 4, k * (1 - k / n)))
        window = ceil(2 * (REACH * spread + REACH**2 / 3 + 1))
        return max(2, min(most, k, window) + 1)

    def _place(self, mean: Array) -> list[Array]:
        """The first count of every node's window at every level, integers (nodes, rows)."""
        xp, whole = self.ops.xp, iota(self.ops, 1, mean).dtype
        items, offsets = xp.ones_like(mean), [xp.astype(xp.zeros_like(mean), whole)]
        while mean.shape[0] > 2:
            mean, items = _paired_sum(xp, mean), _paired_sum(xp, items)
            size = self.size(len(offsets))
            start = xp.astype(xp.round(xp.where(xp.isnan(mean), xp.zeros_like(mean), mean)), whole) - size // 2
            last = xp.clip(xp.astype(items, whole) + 1 - size, 0, None)
            lowest = _paired_sum(xp, offsets[-1])
            offsets.append(xp.maximum(xp.minimum(start, last), lowest))
        return offsets

    def offset(self, level: int) -> int | Array:
        return self.offsets[level]

    def _shift(self, level: int) -> Array:
        """By how much a parent's window starts above the sum of its children's, for the pairs of ``level``."""
        pairs = self.offsets[level].shape[0] // 2
        return self.offsets[level + 1][:pairs, ...] - _paired_sum(self.ops.xp, self.offsets[level])[:pairs, ...]

    def multiply(self, level: int, left: Array, right: Array) -> Array:
        full = 2 * left.shape[0] - 1
        if left.shape[0] <= LONGEST_SUM:
            coefficients = product(self.ops, left, right, full)
        else:
            coefficients = self._clean(_fourier(self.ops, left, right, full))
        return _slide(self.ops, coefficients, self._shift(level), self.size(level + 1))

    def _clean(self, x: Array) -> Array:
        """Set entries to 0 that a Fourier transform cannot tell from 0."""
        magnitude = self.ops.xp.abs(x)
        top = self.ops.xp.max(magnitude, axis=0)
        return x * self.ops.xp.astype(magnitude > self.floor * top, x.dtype)


def _paired_sum(xp: Any, x: Array) -> Array:
    """Sums of paired nodes, the lone one kept."""
    half = x.shape[0] // 2
    return xp.concat([x[:half, ...] + x[half : 2 * half, ...], x[2 * half :, ...]], axis=0)


def _fourier(ops: Ops, left: Array, right: Array, size: int) -> Array:
    """The first ``size`` coefficients of a product, with an error absolute to the largest.

    If the product has more coefficients, the rest wraps around and spoils the same number of first ones.
    """
    fft, length = ops.devices.fft if ops.devices else ops.xp.fft, 1 << (size - 1).bit_length()
    spectrum = fft.rfft(left, n=length, axis=0) * fft.rfft(right, n=length, axis=0)
    return fft.irfft(spectrum, n=length, axis=0)[:size, ...]


def _slide(ops: Ops, x: Array, start: Array, size: int) -> Array:
    """out[i] = x[start + i] for i < ``size``, 0 outside of ``x``; ``start`` is (nodes, rows)."""
    xp, (width, nodes, rows) = ops.xp, x.shape
    index = xp.clip(iota(ops, size, x)[:, None, None] + start + 1, 0, width + 1)
    if ops.devices:
        return ops.devices.pick(pad(ops, x, 1, 1), index[:, :, None, :])[:, :, 0, :]
    place = iota(ops, nodes, x)[:, None] * rows + iota(ops, rows, x)
    flat = xp.reshape(pad(ops, x, 1, 1), (-1,))
    index = xp.reshape(index * (nodes * rows) + place, (-1,))
    return xp.reshape(xp.take(flat, index, axis=0), (size, nodes, rows))
