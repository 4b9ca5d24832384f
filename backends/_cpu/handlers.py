"""The kernels as functions that XLA calls, through the C interface of its typed foreign functions.

A handler gets the address of a call frame, in which it finds the buffers of its operands and results. It runs on
whatever thread XLA chooses, without Python: the rows one after the other, in scratch memory that XLA provides as one
more result. The structs are those of ``xla/ffi/api/c_api.h``, whose members keep their places within a major version;
here they are read as words of 64 bits.

Operands are the logits (rows, n), further arrays of that shape, and the counts (rows,) as int32 unless all have the
same. The attribute ``numbers`` holds that k or −1, a choice where a kernel has one, and a bound of min(k, n − k).
"""

from typing import Any, NamedTuple

from numba import types
from numba.extending import intrinsic

from ksubset.backends._cpu import WORD, moments, recursion, sampling
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


class Call(NamedTuple):
    """What every kernel takes: operands, ``most``, and scratch memory from ``at`` to ``end``."""

    theta: Any
    k: Any
    same: Any
    n: Any
    rows: Any
    most: Any
    at: Any
    end: Any


@inner
def inputs(frame, arrays):
    """What every kernel takes; ``arrays`` operands come before the counts."""
    theta, rows, n = buffer(frame, OPERANDS, 0)
    memory, size, _ = buffer(frame, RESULTS, 1)
    numbers = words(attribute(frame, 0), 3)
    same, k = numbers[0], (memory + LINE - 1) // LINE * LINE
    whole, at = carve_counts(k, 0 if same >= 0 else rows)
    if same < 0:
        counts = matrix(buffer(frame, OPERANDS, arrays)[0], 1, rows, types.int32(0))
        for row in range(rows):
            whole[row] = counts[0, row]
    return Call(theta, k, same, n, rows, numbers[2], at, memory + size)


@inner
def marginals(frame, call, layout):
    """λ, μ and 1 − μ, of which one is empty, and the scratch memory behind them."""
    out, other = buffer(frame, RESULTS, 0)[0], words(attribute(frame, 0), 2)[1]
    shifts, at = carve(call.at, 2, call.rows, layout)
    mu = matrix(out, call.rows * (1 - other), call.n, layout)
    return shifts, mu, matrix(out, call.rows * other, call.n, layout), at


def solve_recursion(pointer):
    """μ, or 1 − μ where the second number is 1."""
    frame, layout = words(address_of(pointer), 21), layout_of(pointer)
    if executes(frame):
        c = inputs(frame, 1)
        shifts, mu, rest, at = marginals(frame, c, layout)
        recursion.solve(c.theta, c.k, c.same, c.n, c.most, c.rows, 0, c.rows, shifts, mu, rest, at, c.end, layout)
    return 0


def solve_contour(pointer):
    """μ, or 1 − μ where the second number is 1."""
    frame, layout = words(address_of(pointer), 21), layout_of(pointer)
    if executes(frame):
        c = inputs(frame, 1)
        shifts, mu, rest, at = marginals(frame, c, layout)
        moments.solve(c.theta, c.k, c.same, c.n, c.rows, 0, c.rows, shifts, mu[:0], mu, rest, at, c.end, layout)
    return 0


def jacobian_product_recursion(pointer):
    """J · v, v the second operand."""
    frame, layout = words(address_of(pointer), 21), layout_of(pointer)
    if executes(frame):
        c, v = inputs(frame, 2), buffer(frame, OPERANDS, 1)[0]
        out = matrix(buffer(frame, RESULTS, 0)[0], c.rows, c.n, layout)
        recursion.jacobian_product(
            c.theta, c.k, c.same, c.n, c.most, c.rows, 0, c.rows, out[:0], v, out, c.at, c.end, layout
        )
    return 0


def jacobian_product_contour(pointer):
    """J · v, v the second operand."""
    frame, layout = words(address_of(pointer), 21), layout_of(pointer)
    if executes(frame):
        c, v = inputs(frame, 2), buffer(frame, OPERANDS, 1)[0]
        out = matrix(buffer(frame, RESULTS, 0)[0], c.rows, c.n, layout)
        moments.jacobian_product(c.theta, c.k, c.same, c.n, c.rows, 0, c.rows, out[:0], v, out, c.at, c.end, layout)
    return 0


@inner
def seeded(frame, call, layout):
    """Seeds, each for its share of the rows, how many draws of each, λ, the memory behind it, and all draws."""
    seeds_at, seeds, _ = buffer(frame, OPERANDS, 1)
    share, draws = call.rows // max(seeds, 1), words(attribute(frame, 0), 2)[1]
    shifts, at = carve(call.at, 2, share, layout)
    return words(seeds_at, seeds), share, draws, shifts, at, buffer(frame, RESULTS, 0)[0]


def sample_recursion(pointer):
    """Subsets, as many from each row as the second number says.

    The second operand holds seeds (seeds, 2), each for its share of the rows; draws (seeds, draws, share, n).
    """
    frame, layout = words(address_of(pointer), 21), layout_of(pointer)
    if executes(frame):
        c = inputs(frame, 2)
        seeds, share, draws, shifts, at, out = seeded(frame, c, layout)
        z = matrix(out, len(seeds) * draws * share, c.n, layout)
        for i in range(len(seeds)):
            theta, k, part = rows_from(c, i * share, z.itemsize), 8 * i * share + c.k, z[i * draws * share :]
            recursion.sample(
                theta, k, c.same, c.n, c.most, share, 0, share, shifts, seeds[i] & WORD, draws, part, at, c.end, layout
            )
    return 0


def sample_contour(pointer):
    """The same by independent items."""
    frame, layout = words(address_of(pointer), 21), layout_of(pointer)
    if executes(frame):
        c = inputs(frame, 2)
        seeds, share, draws, shifts, at, out = seeded(frame, c, layout)
        z = matrix(out, len(seeds) * draws * share, c.n, layout)
        for i in range(len(seeds)):
            theta, k, part = rows_from(c, i * share, z.itemsize), 8 * i * share + c.k, z[i * draws * share :]
            sampling.sample(
                theta, k, c.same, c.n, share, 0, share, shifts, seeds[i] & WORD, draws, part, at, c.end, layout
            )
    return 0


@inner
def rows_from(call, row, itemsize):
    """Where a row of the logits starts."""
    return call.theta + row * call.n * itemsize
