"""Waiting for other threads without sleeping: waking up takes longer than the wait itself."""

import os
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ksubset.backends._cpu.compiling import inlined, kernel

TURNS = 200_000
"""Looks at the flags before it is better to sleep: some tenths of a millisecond."""


@intrinsic
def fresh(typingctx: Any, at: Any) -> Any:
    """The 64-bit integer at an address, read anew each time."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.load_atomic(place, "acquire", 8)

    return types.int64(types.int64), codegen


@intrinsic
def put(typingctx: Any, at: Any, value: Any) -> Any:
    """Write a 64-bit integer to an address; a thread that reads it also sees everything written before it."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        builder.store_atomic(args[1], place, "release", 8)
        return context.get_dummy_value()

    return types.none(types.int64, types.int64), codegen


if hasattr(os, "sched_yield"):
    give_way = types.ExternalFunction("sched_yield", types.int32())
else:

    @inlined
    def give_way():
        """Go on looking: this system's function has another name."""
        return 0


@kernel
def await_flags(at, count):
    """Wait until ``count`` integers from the address ``at`` on are not 0, or for a while."""
    ready = 0
    for _ in range(TURNS):
        while ready < count and fresh(at + 8 * ready) != 0:
            ready += 1
        if ready == count:
            return
