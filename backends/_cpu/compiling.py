"""How kernels are compiled: without the GIL, IEEE semantics, cached on disk where there is a folder for it.

Only the kernels that Python calls are cached: they contain the functions they call.
"""

import logging
from collections.abc import Callable
from typing import Any

from numba import njit, types
from numba.core import event
from numba.core.ccallback import CFunc

from ksubset.backends._cpu.caching import cache_for
from ksubset.backends._cpu.parts import PartCompiler

LOGGER = logging.getLogger("ksubset")
OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False}
HIDDEN = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "pipeline_class": PartCompiler}
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
    dispatcher = njit(function, **OPTIONS)
    dispatcher._cache = cache_for(function)
    _kernels.append(dispatcher)
    return dispatcher


def handler(function: Callable[..., Any], kind: Any) -> int:
    """Compile a function that XLA calls with a pointer, and give its address; ``kind`` selects the version."""
    signature, options = ((types.CPointer(kind),), types.intp), {"error_model": "numpy", "_nrt": False}
    compiled: Any = CFunc(function, signature, {}, options)
    compiled._cache = cache_for(function)
    compiled.compile()
    address: int = compiled.address
    return address
