"""Subnormal numbers cost a processor a hundred times a normal one: kernels let x86 flush them to 0 while they run."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from ksubset.backends._cpu.simd.lanes import I32

ON_X86 = cpu_target.target_context.codegen().magic_tuple()[0].startswith(("x86_64", "i686"))
FLUSH = 0x8040  # results that are subnormal become 0, operands count as 0


def _control(builder: Any, name: str, place: Any) -> None:
    byte = ir.IntType(8).as_pointer()
    function = ir.FunctionType(ir.VoidType(), [byte])
    function = cgutils.get_or_insert_function(builder.module, function, f"llvm.x86.sse.{name}")
    builder.call(function, [builder.bitcast(place, byte)])


@intrinsic
def flush_subnormals(typingctx: Any) -> Any:
    """Start flushing; returns what `restore_mode` needs."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if not ON_X86:
            return I32(0)
        place = cgutils.alloca_once(builder, I32)
        _control(builder, "stmxcsr", place)
        mode = builder.load(place)
        builder.store(builder.or_(mode, I32(FLUSH)), place)
        _control(builder, "ldmxcsr", place)
        return mode

    return types.uint32(), codegen


@intrinsic
def restore_mode(typingctx: Any, mode: Any) -> Any:
    """Go back to the caller's treatment of subnormal numbers."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if ON_X86:
            place = cgutils.alloca_once(builder, I32)
            builder.store(args[0], place)
            _control(builder, "ldmxcsr", place)
        return context.get_dummy_value()

    return types.none(types.uint32), codegen
