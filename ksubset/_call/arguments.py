"""Checks of types, dtypes, shapes and Python ints: each names the argument, the value given and the value expected."""

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


def check_k(k: object, logits: Array, backend: Backend, xp: Any, like: str = "logits", name: str = "k") -> int | Array:
    """An int in [0, n], or integers whose shape broadcasts to the batch shape of the logits."""
    if type(k) is not int and (isinstance(k, bool) or not (backend.is_array(k) or hasattr(k, "__index__"))):
        raise TypeError(f"{name} must be an int or an integer array; got {kind(k)}")
    if type(k) is int or not _is_array(k):
        return check_int(index(k), logits.shape[-1], name)  # type: ignore[arg-type]  # it has an index, as was checked
    check_framework(k, name, logits, backend, like)
    return _check_k_array(k, tuple(logits.shape[:-1]), xp, like, name)


def check_int(k: int, n: int, name: str = "k") -> int:
    """A size of subsets of n items."""
    if not 0 <= k <= n:
        raise ValueError(f"{name} must be in [0, {n}], the number of items; got {k}")
    return k


def _check_k_array(k: Array, batch: tuple[int, ...], xp: Any, like: str, name: str) -> Array:
    if not xp.isdtype(k.dtype, "integral"):
        raise TypeError(f"{name} must have an integer dtype; got {k.dtype}")
    check_shape(k, name, batch, exact=False, like=like)
    return xp.broadcast_to(_roomy(k, xp), batch)


def _roomy(k: Array, xp: Any) -> Array:
    """Signed and of at least 32 bits, so that 2k and n − k do not overflow."""
    if k.dtype in (xp.int32, xp.int64):
        return k
    return xp.astype(k, xp.int64 if k.dtype == xp.uint64 else xp.int32)


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


def _is_array(x: object) -> bool:
    """An array rather than a scalar that happens to have a dtype."""
    return hasattr(x, "shape") and hasattr(x, "ndim") and not _is_numpy_scalar(x)


def _is_numpy_scalar(x: object) -> bool:
    return type(x).__module__ == "numpy" and not hasattr(x, "__setitem__")


def kind(x: object) -> str:
    """A short name for the type of a value, with its framework where that is not Python itself, and its array."""
    module = type(x).__module__.partition(".")[0]
    remedy = ": give what its to_numpy() returns" if hasattr(type(x), "to_numpy") else ""
    return type(x).__name__ if module == "builtins" else f"{module}.{type(x).__name__}{remedy}"
