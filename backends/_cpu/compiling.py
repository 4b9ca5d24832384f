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
from ksubset.backends._cpu.parts import ApartCompiler, PartCompiler

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


def _hidden(function: Callable[..., Any], compiler: type[PartCompiler], *, inline: bool) -> Any:
    """``inline`` is always given: Numba takes it over from the first caller where it is not."""
    return njit(function, forceinline=inline, pipeline_class=compiler, **OPTIONS, **HIDDEN)


def inner(function: Callable[..., Any]) -> Any:
    """Compile a function that only kernels call; LLVM decides whether it becomes a part of its callers."""
    return _hidden(function, PartCompiler, inline=False)


def apart(function: Callable[..., Any]) -> Any:
    """Compile a loop that no caller may take in, because its constants need all registers."""
    return _hidden(function, ApartCompiler, inline=False)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a small function into the functions of a kernel that call it, rather than beside them."""
    return _hidden(function, PartCompiler, inline=True)


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
