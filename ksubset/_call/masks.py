"""Finite logits that look like masks, in rows that leave no choice but to take masked items."""

import sys
import warnings
from typing import Any

import array_api_compat

from ksubset._engine.arrays import place_of
from ksubset._engine.ops import Array

LOW = -9e3
"""Masks are below: -1e4 rounds to -9984 in bfloat16, and is often added to a score."""

PER_ROW = "give each row a k of its own, such as real.sum(-1).clip(max=k), real marking what is no padding"
_told: set[tuple[str, int]] = set()


class MaskWarning(UserWarning):
    """A row reaches k items only with some that lie 10⁴ below the others, as if a finite number masked padding.

    Padding is then chosen. If a row may have fewer than k real items, give each row its own k,
    ``real.sum(-1).clip(max=k)``. The warning comes once for each line that calls the library, where values can be read
    at no cost, and not with ``validate=False``.
    """

    __module__ = "ksubset"


def warn_of_masks(logits: Array, least: int | Array, name: str) -> None:
    """Warn about the first row of (..., n) that must choose some items that look masked, to choose ``least`` items."""
    xp = array_api_compat.array_namespace(logits)
    ones = xp.ones(logits.shape[-1], dtype=xp.float32, device=array_api_compat.device(logits))
    real = xp.matmul(xp.astype(logits > LOW, xp.float32), ones)  # in a third of the time of sums along short rows
    flat = xp.reshape(real < (least if isinstance(least, int) else xp.astype(least, xp.float32)), (-1,))
    if not xp.any(flat):
        return
    rows = xp.reshape(logits, (-1, logits.shape[-1]))[flat]
    masked = _look_masked(rows, xp)
    if xp.any(masked):
        found = int(xp.argmax(xp.astype(masked, xp.int32)))
        row = int(xp.nonzero(flat)[0][found])
        items, low = int(xp.reshape(real, (-1,))[row]), float(xp.min(xp.where(rows == -xp.inf, xp.inf, rows)[found, :]))
        place = f" in row {place_of(row, tuple(real.shape))}" if real.ndim else ""
        _warn(f"{name} of {low:.3g} look like a mask{place}, where fewer than k items are left, {items}: {PER_ROW}")


def _warn(message: str) -> None:
    """Once for each line that calls the library, or torch, which calls its layers."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in ("ksubset", "torch"):
        frame = frame.f_back
    place = frame.f_code.co_filename, frame.f_lineno
    if place not in _told:
        warnings.warn_explicit(message, MaskWarning, *place, module=frame.f_globals.get("__name__", ""))
        _told.add(place)


def _look_masked(rows: Array, xp: Any) -> Array:
    """Whether the low items of a row lie below the rest by 10⁴ and by the rest's range, or all are low and equal.

    Halves are compared, because their differences do not overflow.
    """
    half, inf = rows / 2, xp.inf
    low = rows <= LOW
    ceiling, bottom = xp.max(half, axis=-1), xp.min(half, axis=-1)
    mask = xp.max(xp.where(low, half, -inf), axis=-1)
    floor = xp.min(xp.where(low, inf, half), axis=-1)
    above = xp.max(xp.where(low | (rows == inf), -inf, half), axis=-1)
    apart = (floor - mask >= -LOW / 2) & (floor - mask >= above - floor)
    return xp.where(xp.all(low, axis=-1), ceiling == bottom, apart)
