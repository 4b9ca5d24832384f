"""How kernels are compiled: without the GIL, IEEE semantics, cached on disk where a folder is writable.

Only the kernels that Python calls are cached: they contain the functions they call. Numba looks at the time stamp of a
kernel's own file alone, so after an edit elsewhere in this package delete the cache.
"""

import warnings
from collections.abc import Callable
from typing import Any

from numba import njit

OPTIONS = {"nogil": True, "error_model": "numpy"}
HIDDEN = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_warned: list[bool] = []


def inner(function: Callable[..., Any]) -> Any:
    """Compile a function that only kernels call."""
    return njit(function, **OPTIONS, **HIDDEN)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a small function into the functions of a kernel that call it, rather than beside them."""
    return njit(function, forceinline=True, **OPTIONS, **HIDDEN)


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls."""
    try:
        return njit(function, cache=True, **OPTIONS)
    except RuntimeError:  # Numba found no folder to cache in
        _warn_once()
        return njit(function, **OPTIONS)


def _warn_once() -> None:
    if not _warned:
        _warned.append(True)
        message = "no folder is writable for compiled kernels (set NUMBA_CACHE_DIR): each process compiles them anew"
        warnings.warn(message, RuntimeWarning, stacklevel=2)
