"""Checks of types, dtypes and shapes: each names the argument, the value given and the value expected."""

from numbers import Integral
from operator import index
from typing import Any

import array_api_compat

from ksubset._call.backend import Backend
from ksubset._engine.arrays import broadcast_shapes
from ksubset._engine.ops import Array


def check_floating(x: Array, name: str, xp: Any) -> None:
    """Of a real floating dtype of 16 to 64 bits."""
    if x.dtype in (xp.float32, xp.float64):
        return
    if not xp.isdtype(x.dtype, "real floating"):
        raise TypeError(f"{name} must have a real floating dtype; got {x.dtype}")
    if not 16 <= xp.finfo(x.dtype).bits <= 64:
        raise TypeError(f"{name} must have a dtype of 16 to 64 bits; got {x.dtype}")


def check_logits(logits: Array, xp: Any, name: str = "logits") -> None:
    """Real floating, at least one-dimensional."""
    check_floating(logits, name, xp)
    if logits.ndim < 1:
        raise ValueError(f"{name} must have shape (..., n); got a 0-dimensional array")


def check_framework(x: Array, name: str, logits: Array, backend: Backend, like: str = "logits") -> None:
    """The same framework and device as the logits."""
    if not backend.is_array(x, logits):
        raise TypeError(f"{name} must be an array of the same framework as {like}, {kind(logits)}; got {kind(x)}")
    if not backend.same_device(x, logits):
        given, expected = array_api_compat.device(x), array_api_compat.device(logits)
        raise ValueError(f"{name} must be on the device of {like}, {expected}; got {given}")


def check_shape(x: Array, name: str, shape: tuple[int, ...], *, exact: bool, like: str = "logits") -> None:
    """``x`` broadcasts to ``shape``; if ``exact``, it ends in the n of ``shape`` and broadcasts with it."""
    given = tuple(x.shape)
    if exact and (not given or given[-1] != shape[-1]):
        raise ValueError(f"{name} must have shape (..., {shape[-1]}), like {like}; got {given}")
    together = broadcast_shapes(given, shape)
    if together is None or (not exact and together != shape):
        raise ValueError(f"{name} must broadcast {'with' if exact else 'to'} the shape {shape} of {like}; got {given}")


def seed_of(rng: object, least: int, most: int | None = None) -> int | None:
    """``rng`` as an int that the framework's generator takes, Python's or NumPy's; None if it is not an int."""
    if isinstance(rng, bool) or not isinstance(rng, Integral):
        return None
    seed = int(rng)
    if seed < least or (most is not None and seed > most):
        known = f"in [{least}, {most}]" if most is not None else f"at least {least}"
        raise ValueError(f"rng must be {known} where it is an int; got {seed}")
    return seed


def checked_shape(shape: object) -> tuple[int, ...]:
    """A valid ``sample_shape``."""
    if isinstance(shape, tuple) and not shape:
        return shape
    if not isinstance(shape, tuple | list) or not all(map(_is_size, shape)):
        raise TypeError(f"sample_shape must be a tuple of non-negative ints; got {shape!r}")
    return tuple(size if isinstance(size, int) else index(size) for size in shape)  # ints may be traced


def _is_size(x: Any) -> bool:
    return (isinstance(x, int) or hasattr(x, "__index__")) and not isinstance(x, bool) and x >= 0


def as_int(x: object, name: str) -> int:
    """``x`` as an int; it may be any object that stands for an int, but not a bool."""
    if isinstance(x, bool) or not hasattr(x, "__index__"):
        raise TypeError(f"{name} must be an int; got {kind(x)}")
    return index(x)


def kind(x: object) -> str:
    """A short name for the type of a value, with its framework where that is not Python itself, and its array."""
    module = type(x).__module__.partition(".")[0]
    remedy = ": give what its to_numpy() returns" if hasattr(type(x), "to_numpy") else ""
    return type(x).__name__ if module == "builtins" else f"{module}.{type(x).__name__}{remedy}"
