"""How kernels are compiled: cached on disk where a folder is writable, without the GIL, IEEE semantics."""

import warnings
from collections.abc import Callable
from typing import Any

from numba import njit

OPTIONS = {"nogil": True, "error_model": "numpy"}


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    try:
        return njit(function, cache=True, **OPTIONS, **options)
    except RuntimeError:  # Numba found no folder to cache in
        _warn_once()
        return njit(function, **OPTIONS, **options)


def _warn_once() -> None:
    if not _warned:
        _warned.append(True)
        message = "no folder is writable for compiled kernels (set NUMBA_CACHE_DIR): each process compiles them anew"
        warnings.warn(message, RuntimeWarning, stacklevel=2)


_warned: list[bool] = []


def inner(function: Callable[..., Any]) -> Any:
    """Compile a function that only kernels call."""
    return _compiled(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a small function into the functions of a kernel that call it, rather than beside them."""
    return _compiled(function, no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=True)


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls."""
    return _compiled(function)
