"""Checks of k, the size of the subsets: an int in [0, n], or an array of integers, whose values are read elsewhere."""

from operator import index
from typing import Any

from ksubset._call.argument_checks import check_framework, check_shape, kind
from ksubset._call.backend import Backend
from ksubset._engine.ops import Array


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


def _is_array(x: object) -> bool:
    """An array rather than a scalar that happens to have a dtype."""
    return hasattr(x, "shape") and hasattr(x, "ndim") and not _is_numpy_scalar(x)


def _is_numpy_scalar(x: object) -> bool:
    return type(x).__module__ == "numpy" and not hasattr(x, "__setitem__")
