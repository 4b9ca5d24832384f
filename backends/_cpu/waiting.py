"""Waiting for other threads without sleeping: to be woken takes longer than what is waited for."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ksubset.backends._cpu.compiling import kernel

TURNS = 200_000
"""Looks at the flags before it is better to sleep: some tenths of a millisecond."""


@intrinsic
def _fresh(typingctx: Any, at: Any) -> Any:
    """The 64-bit integer at an address, read anew each time."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.load_atomic(place, "acquire", 8)

    return types.int64(types.int64), codegen


@kernel
def await_flags(at, count):
    """Wait until ``count`` integers from the address ``at`` on are not 0, or for a while."""
    ready = 0
    for _ in range(TURNS):
        while ready < count and _fresh(at + 8 * ready) != 0:
            ready += 1
        if ready == count:
            return
