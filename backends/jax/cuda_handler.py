"""The function that XLA calls to launch a CUDA kernel, on its own stream and memory; see ``_cpu.kernels.xla_handlers``.

It runs without Python. The attribute ``numbers`` of a call holds the kernel's place in a table, the blocks, the
threads, the bytes of shared memory, the number of the kernel's parameters, and for each its kind and a value: an
integer, the index of an operand or of a result, or nothing for a null pointer. JAX keeps compiled programs on disk, so
they hold no address. The addresses of kernels, which each process loads where it lowers a program, and of the driver's
launch are in the table, which compiled code finds by its name.
"""

from typing import Any

from llvmlite import binding, ir
from numba import int64
from numba.core import cgutils
from numba.extending import intrinsic

from ksubset.backends._cpu.compiling import inner
from ksubset.backends._cpu.kernels.xla_handlers import (
    ATTRIBUTES,
    OPERANDS,
    RESULTS,
    address_of,
    buffer,
    executes,
    words,
)

NUMBER, OPERAND, RESULT, NOTHING = range(4)
"""What a parameter is."""

MOST_PARAMETERS = 24
API, CONTEXT = 2, 3  # words of a call frame
CREATE_ERROR, GET_STREAM = 6, 10  # words of the interface
INTERNAL = 13  # of XLA_FFI_Error_Code

TABLE = "ksubset_cuda_table"
LAUNCH, FAILURE, FIRST_KERNEL = range(3)
"""Places in the table: the driver's `cuLaunchKernel`, a message where that fails, and kernels from there on."""

WORD = ir.IntType(64)
PART = ir.IntType(32)


def enter(table: int) -> None:
    """Let compiled code find the table, by its address."""
    binding.add_symbol(TABLE, table)


@intrinsic
def table_address(typingctx: Any) -> Any:
    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        found = builder.module.globals.get(TABLE) or ir.GlobalVariable(builder.module, WORD, TABLE)
        return builder.ptrtoint(found, WORD)

    return int64(), code


@intrinsic
def stack(typingctx: Any) -> Any:
    """The address of some words of the function's own."""

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.ptrtoint(cgutils.alloca_once(builder, ir.ArrayType(WORD, 2 * MOST_PARAMETERS)), WORD)

    return int64(), code


@intrinsic
def called(typingctx: Any, address: Any, argument: Any) -> Any:
    """A function of the interface."""

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        function = builder.inttoptr(args[0], ir.FunctionType(WORD, [WORD]).as_pointer())
        return builder.call(function, [args[1]])

    return int64(address, argument), code


@intrinsic
def launched(
    typingctx: Any, address: Any, kernel: Any, blocks: Any, threads: Any, shared: Any, stream: Any, cells: Any
) -> Any:
    """`cuLaunchKernel` (kernel, a grid, a block, shared memory, stream, parameters, none further): 0, or an error."""

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        address, kernel, blocks, threads, shared, stream, cells = args
        one, nothing = ir.Constant(PART, 1), ir.Constant(WORD, 0)
        grid, block, memory = (builder.trunc(x, PART) for x in (blocks, threads, shared))
        given = [kernel, grid, one, one, block, one, one, memory, stream, cells, nothing]
        function = builder.inttoptr(address, ir.FunctionType(PART, [x.type for x in given]).as_pointer())
        return builder.zext(builder.call(function, given), WORD)

    return int64(address, kernel, blocks, threads, shared, stream, cells), code


@inner
def put_parameters(frame, numbers, cells):
    """The kernel's parameters, and after them the addresses of these."""
    for i in range(numbers[4]):
        kind, value = numbers[5 + 2 * i], numbers[6 + 2 * i]
        if kind == OPERAND:
            value = buffer(frame, OPERANDS, value)[0]
        elif kind == RESULT:
            value = buffer(frame, RESULTS, value)[0]
        words(cells)[i] = value
        words(cells)[MOST_PARAMETERS + i] = cells + 8 * i


def launch(pointer):
    """Launch the kernel; 0, or an error."""
    frame = words(address_of(pointer))
    if executes(frame):
        numbers, table = words(words(words(frame[ATTRIBUTES])[0])[2]), words(table_address())
        request = stack()
        words(request)[0], words(request)[1], words(request)[2], words(request)[3] = 32, 0, frame[CONTEXT], 0
        error = called(words(frame[API])[GET_STREAM], request)
        if error != 0:
            return error
        stream, cells = words(request)[3], stack()
        put_parameters(frame, numbers, cells)
        kernel, parameters = table[FIRST_KERNEL + numbers[0]], cells + 8 * MOST_PARAMETERS
        if launched(table[LAUNCH], kernel, numbers[1], numbers[2], numbers[3], stream, parameters) != 0:
            words(request)[2], words(request)[3] = table[FAILURE], INTERNAL
            return called(words(frame[API])[CREATE_ERROR], request)
    return 0
