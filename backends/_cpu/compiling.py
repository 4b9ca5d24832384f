"""How kernels are compiled: without the GIL, IEEE semantics, cached on disk where a folder is writable.

Only the kernels that Python calls are cached: they contain the functions they call. Numba looks at the time stamp of a
kernel's own file alone, so after an edit elsewhere in this package delete the cache.
"""

import logging
import warnings
from collections.abc import Callable
from typing import Any

from numba import cfunc, njit, types
from numba.core import event

LOGGER = logging.getLogger("ksubset")
OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False}
HIDDEN = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_said: set[str] = set()
_kernels: list[Any] = []


class _Listener(event.Listener):
    """Says, once in a process, why the first call takes long."""

    def on_start(self, event: Any) -> None:
        if event.data["dispatcher"] in _kernels and "compiling" not in _said:
            _said.add("compiling")
            LOGGER.warning("compiling CPU kernels for ksubset: some ten seconds, once for each function and dtype")

    def on_end(self, event: Any) -> None:
        pass


event.register("numba:compile", _Listener())


def inner(function: Callable[..., Any]) -> Any:
    """Compile a function that only kernels call."""
    return njit(function, **OPTIONS, **HIDDEN)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a small function into the functions of a kernel that call it, rather than beside them."""
    return njit(function, forceinline=True, **OPTIONS, **HIDDEN)


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls."""
    try:
        dispatcher = njit(function, cache=True, **OPTIONS)
    except RuntimeError:  # Numba found no folder to cache in
        dispatcher = njit(function, **OPTIONS)
        _warn_once()
    _kernels.append(dispatcher)
    return dispatcher


def handler(function: Callable[..., Any], kind: Any) -> int:
    """Compile a function that XLA calls with a pointer, and give its address; ``kind`` selects the version."""
    signature = types.intp(types.CPointer(kind))
    try:
        compiled = cfunc(signature, cache=True, error_model="numpy", _nrt=False)(function)
    except RuntimeError:
        compiled = cfunc(signature, error_model="numpy", _nrt=False)(function)
        _warn_once()
    _kernels.append(compiled)
    address: int = compiled.address
    return address


def _warn_once() -> None:
    if "uncached" not in _said:
        _said.add("uncached")
        message = "no folder is writable for compiled kernels (set NUMBA_CACHE_DIR): each process compiles them anew"
        warnings.warn(message, RuntimeWarning, stacklevel=2)
