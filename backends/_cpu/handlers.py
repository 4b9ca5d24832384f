"""The kernels as functions that XLA calls, through the C interface of its typed foreign functions.

A handler gets the address of a call frame, in which it finds the buffers of its operands and results. It runs on
whatever thread XLA chooses, without Python: the rows one after the other, in scratch memory that XLA provides as one
more result. The structs are those of ``xla/ffi/api/c_api.h``, whose members keep their places within a major version;
here they are read as words of 64 bits.

Operands are the logits (rows, n), further arrays of that shape, and the counts (rows,) as int32 unless all have the
same. The attribute ``numbers`` holds that k or −1, and a choice where a kernel has one; ``rule`` holds the window.
"""

from typing import Any

from numba import types
from numba.extending import intrinsic

from ksubset.backends._cpu import WORD, kernels
from ksubset.backends._cpu.compiling import inner
from ksubset.backends._cpu.rows import LINE, carve, carve_counts, matrix

MAJOR, MINOR = 0, 1  # the oldest version of the interface that has all that is read here
METADATA, EXECUTE = 1, 3  # of XLA_FFI_Extension_Type and XLA_FFI_ExecutionStage
HALF = 0xFFFF_FFFF
EXTENSION, STAGE, OPERANDS, RESULTS, ATTRIBUTES = 1, 4, 9, 14, 20  # words of a call frame


@intrinsic
def layout_of(typingctx: Any, frame: Any) -> Any:
    """The layout that the type of a handler's argument names."""
    return frame.dtype(frame), lambda context, builder, sig, args: context.get_dummy_value()


@intrinsic
def address_of(typingctx: Any, frame: Any) -> Any:
    """A pointer as an integer."""
    return types.intp(frame), lambda context, builder, sig, args: builder.ptrtoint(
        args[0], context.get_value_type(types.intp)
    )


@inner
def words(address, count):
    """Memory as integers of 64 bits."""
    return matrix(address, 1, count, address)[0]


@inner
def executes(frame):
    """Whether the kernel is to run; if XLA asks for the version instead, the answer is written where it belongs."""
    if frame[EXTENSION] == 0:
        return frame[STAGE] & HALF == EXECUTE
    extension = words(frame[EXTENSION], 4)
    if extension[1] & HALF == METADATA:
        words(extension[3], 4)[3] = MINOR << 32 | MAJOR
    return False


@inner
def buffer(frame, side, i):
    """The address of operand or result ``i``, its first dimension and its last."""
    fields = words(words(frame[side], i + 1)[i], 6)
    sizes = words(fields[5], fields[4])
    return fields[3], sizes[0], sizes[-1]


@inner
def attribute(frame, i):
    """The address of the numbers of attribute ``i``, an array; attributes are in the order of their names."""
    return words(words(frame[ATTRIBUTES], i + 1)[i], 3)[2]


@inner
def inputs(frame, arrays):
    """What every kernel takes first, its window, and its scratch memory; ``arrays`` operands come before the counts."""
    theta, rows, n = buffer(frame, OPERANDS, 0)
    memory, size, _ = buffer(frame, RESULTS, 1)
    same, rule = words(attribute(frame, 0), 1)[0], matrix(attribute(frame, 1), 1, 3, types.float64(0))
    k = (memory + LINE - 1) // LINE * LINE
    whole, at = carve_counts(k, 0 if same >= 0 else rows)
    if same < 0:
        counts = matrix(buffer(frame, OPERANDS, arrays)[0], 1, rows, types.int32(0))
        for row in range(rows):
            whole[row] = counts[0, row]
    head = theta, k, same, n, rows, types.intp(0), rows
    return head, (rule[0, 0], rule[0, 1], rule[0, 2]), at, memory + size


def solve(pointer):
    """μ, or 1 − μ where the second number is 1."""
    frame, layout = words(address_of(pointer), 21), layout_of(pointer)
    if executes(frame):
        head, rule, at, end = inputs(frame, 1)
        out, n, rows = buffer(frame, RESULTS, 0)[0], head[3], head[4]
        shifts, at = carve(at, 1, rows, layout)
        other = words(attribute(frame, 0), 2)[1]
        mu, rest = matrix(out, rows * (1 - other), n, layout), matrix(out, rows * other, n, layout)
        kernels.solve(*head, shifts, mu[:0], mu, rest, *rule, at, end, layout)
    return 0


def jacobian_product(pointer):
    """J · v, v the second operand."""
    frame, layout = words(address_of(pointer), 21), layout_of(pointer)
    if executes(frame):
        head, rule, at, end = inputs(frame, 2)
        out = matrix(buffer(frame, RESULTS, 0)[0], head[4], head[3], layout)
        kernels.jacobian_product(*head, out[:0], buffer(frame, OPERANDS, 1)[0], out, *rule, at, end, layout)
    return 0


def sample(pointer):
    """Subsets, as many from each row as the second number says.

    The second operand holds seeds (seeds, 2), each for its share of the rows; draws (seeds, draws, share, n).
    """
    frame, layout = words(address_of(pointer), 21), layout_of(pointer)
    if executes(frame):
        (theta, k, same, n, rows, start, _), rule, at, end = inputs(frame, 2)
        seeds_at, seeds, _ = buffer(frame, OPERANDS, 1)
        share, draws = rows // max(seeds, 1), words(attribute(frame, 0), 2)[1]
        shifts, at = carve(at, 1, share, layout)
        z = matrix(buffer(frame, RESULTS, 0)[0], seeds * draws * share, n, layout)
        for i in range(seeds):
            head = theta + i * share * n * z.itemsize, k + 8 * i * share, same, n, share, start, share
            part = z[i * draws * share : (i + 1) * draws * share]
            seed = words(seeds_at, seeds)[i] & WORD
            kernels.sample(*head, shifts, seed, draws, part, *rule, at, end, layout)
    return 0
