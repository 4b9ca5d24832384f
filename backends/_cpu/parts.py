"""Functions that only kernels call: LLVM optimises them, and makes machine code of them, as parts of a kernel alone.

Numba would do both for each function together with all that it calls, and again in each of its callers, which takes a
third of the time of a kernel that is compiled.
"""

from collections.abc import Callable
from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler


class Part(JITCodeLibrary):
    """A function to be linked with its callers."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class PartCompiler(Compiler):
    """Compiles a function to a `Part`, for which Numba has a flag, but an entry to be known by has to be found."""

    def __init__(self, typingctx: Any, targetctx: Any, library: Any, *others: Any) -> None:
        super().__init__(typingctx, targetctx, library or Part(targetctx.codegen(), "part of a kernel"), *others)
        self.state.flags.no_compile = True

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        result = super().compile_extra(func)
        entry: Any = [].append  # a function of C, each equal to itself alone; nobody calls it
        self.state.targetctx.insert_user_function(entry, result.fndesc, [result.library])
        return result._replace(entry_point=entry)


class ApartCompiler(PartCompiler):
    """Compiles a function to a `Part` that LLVM leaves outside of its callers."""

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        result = super().compile_extra(func)
        compiled: Any = result.library.get_function(result.fndesc.mangled_name)
        compiled.add_function_attribute("noinline")
        return result
