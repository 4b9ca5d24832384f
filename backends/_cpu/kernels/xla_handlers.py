"""The kernels as functions that XLA calls, through the C interface of its typed foreign functions.

A handler gets the address of a call frame, in which it finds the buffers of its operands and results. It runs on
whatever thread XLA chooses, without Python: the rows one after the other, in scratch memory that XLA provides as one
more result. The structs come from ``xla/ffi/api/c_api.h``; their members keep their places within a major version;
here they are read as words of 64 bits.

Operands are the logits (rows, n), further arrays of that shape, and the counts (rows,) as int32 unless all have the
same. The attribute ``numbers`` holds that k or −1, a choice where a kernel has one, and a bound on min(k, n − k).
"""

from typing import Any, NamedTuple

from numba import int32, int64, types
from numba.extending import intrinsic

from ksubset.backends._cpu.compiling import inlined, inner
from ksubset.backends._cpu.kernels import divergences, moments, recursion, sampling, scalars, scores, selection
from ksubset.backends._cpu.kernels.rows import LINE, carve
from ksubset.backends._cpu.kernels.team import ALONE
from ksubset.backends._cpu.simd.tables import address_in, table_at
from ksubset.backends._cpu.simd.vectors import zeros

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


@inlined
def words(address):
    """Memory as integers of 64 bits."""
    return table_at(address, 0, int64(0))


@inner
def executes(frame):
    """Whether the kernel is to run; if XLA asks for the version instead, the answer is written where it belongs."""
    if frame[EXTENSION] == 0:
        return frame[STAGE] & HALF == EXECUTE
    extension = words(frame[EXTENSION])
    if extension[1] & HALF == METADATA:
        words(extension[3])[3] = MINOR << 32 | MAJOR
    return False


@inner
def buffer(frame, side, i):
    """The address of operand or result ``i``, its first dimension and its last."""
    fields = words(words(frame[side])[i])
    sizes = words(fields[5])
    return fields[3], sizes[0], sizes[fields[4] - 1]


class Call(NamedTuple):
    """The arguments of every kernel: operands, numbers, and scratch memory from ``at`` to ``end``."""

    theta: Any
    k: Any
    same: Any
    n: Any
    rows: Any
    choice: Any
    most: Any
    shifts: Any
    at: Any
    end: Any


@inner
def read_call(frame, arrays, like):
    """The arguments in a call frame; ``arrays`` operands come before the counts. λ and counts are in scratch memory."""
    theta, rows, n = buffer(frame, OPERANDS, 0)
    memory, size, _ = buffer(frame, RESULTS, 1)
    numbers = words(words(words(frame[ATTRIBUTES])[0])[2])
    same, start = numbers[0], (memory + LINE - 1) // LINE * LINE
    k, at = carve(start, 1, 0 if same >= 0 else rows, int64(0))
    shifts, at = carve(at, 2, rows, like)
    if same < 0:
        counts = table_at(buffer(frame, OPERANDS, arrays)[0], 0, int32(0))
        for row in range(rows):
            k[row] = counts[row]
    return Call(theta, start, same, n, rows, numbers[1], numbers[2], address_in(shifts, 0), at, memory + size)


def moments_recursion(pointer):
    """μ, or 1 − μ where the second number is 1."""
    frame, layout = words(address_of(pointer)), layout_of(pointer)
    if executes(frame):
        c, out = read_call(frame, 1, zeros(layout)), buffer(frame, RESULTS, 0)[0]
        mu, rest = (0, out) if c.choice else (out, 0)
        recursion.solve(c.theta, c.k, c.same, c.n, c.most, c.rows, 0, c.rows, c.shifts, mu, rest, c.at, c.end, layout)
    return 0


def moments_contour(pointer):
    """μ, or 1 − μ where the second number is 1."""
    frame, layout = words(address_of(pointer)), layout_of(pointer)
    if executes(frame):
        c, out = read_call(frame, 1, zeros(layout)), buffer(frame, RESULTS, 0)[0]
        mu, rest = (0, out) if c.choice else (out, 0)
        moments.solve(c.theta, c.k, c.same, c.n, c.rows, 0, c.rows, c.shifts, 0, mu, rest, c.at, c.end, *ALONE, layout)
    return 0


def scalars_recursion(pointer):
    """Entropies, or log-normalisers where the second number is 1."""
    frame, layout = words(address_of(pointer)), layout_of(pointer)
    if executes(frame):
        c, out = read_call(frame, 1, zeros(layout)), buffer(frame, RESULTS, 0)[0]
        rows = c.theta, c.k, c.same, c.n, c.most, c.rows, 0, c.rows
        scalars.recursion(*rows, c.choice, out, c.at, c.end, layout)
    return 0


def scalars_contour(pointer):
    """Entropies, or log-normalisers where the second number is 1."""
    frame, layout = words(address_of(pointer)), layout_of(pointer)
    if executes(frame):
        c, out = read_call(frame, 1, zeros(layout)), buffer(frame, RESULTS, 0)[0]
        rows = c.theta, c.k, c.same, c.n, c.rows, 0, c.rows
        scalars.contour(*rows, c.choice, out, c.at, c.end, *ALONE, layout)
    return 0


def mode_selection(pointer):
    """The likeliest subsets."""
    frame, layout = words(address_of(pointer)), layout_of(pointer)
    if executes(frame):
        c, out = read_call(frame, 1, zeros(layout)), buffer(frame, RESULTS, 0)[0]
        selection.mode(c.theta, c.k, c.same, c.n, c.rows, 0, c.rows, out, c.at, c.end, layout)
    return 0


def scores_recursion(pointer):
    """Log-probabilities of the second operand, (draws · rows, n)."""
    frame, layout = words(address_of(pointer)), layout_of(pointer)
    if executes(frame):
        c, out = read_call(frame, 2, zeros(layout)), buffer(frame, RESULTS, 0)[0]
        z, subsets, _ = buffer(frame, OPERANDS, 1)
        rows = c.theta, c.k, c.same, c.n, c.most, c.rows, 0, c.rows
        scores.recursion(*rows, z, subsets // max(c.rows, 1), out, c.at, c.end, layout)
    return 0


def scores_contour(pointer):
    """Log-probabilities of the second operand, (draws · rows, n)."""
    frame, layout = words(address_of(pointer)), layout_of(pointer)
    if executes(frame):
        c, out = read_call(frame, 2, zeros(layout)), buffer(frame, RESULTS, 0)[0]
        z, subsets, _ = buffer(frame, OPERANDS, 1)
        rows = c.theta, c.k, c.same, c.n, c.rows, 0, c.rows
        scores.contour(*rows, z, subsets // max(c.rows, 1), out, c.at, c.end, *ALONE, layout)
    return 0


def divergences_recursion(pointer):
    """Divergences to the second operand."""
    frame, layout = words(address_of(pointer)), layout_of(pointer)
    if executes(frame):
        c, other, out = read_call(frame, 2, zeros(layout)), buffer(frame, OPERANDS, 1)[0], buffer(frame, RESULTS, 0)[0]
        rows = c.theta, c.k, c.same, c.n, c.most, c.rows, 0, c.rows
        divergences.recursion(*rows, other, out, c.at, c.end, layout)
    return 0


def divergences_contour(pointer):
    """Divergences to the second operand."""
    frame, layout = words(address_of(pointer)), layout_of(pointer)
    if executes(frame):
        c, other, out = read_call(frame, 2, zeros(layout)), buffer(frame, OPERANDS, 1)[0], buffer(frame, RESULTS, 0)[0]
        rows = c.theta, c.k, c.same, c.n, c.rows, 0, c.rows
        divergences.contour(*rows, other, out, c.at, c.end, *ALONE, layout)
    return 0


def jacobian_product_recursion(pointer):
    """J · v, v the second operand."""
    frame, layout = words(address_of(pointer)), layout_of(pointer)
    if executes(frame):
        c, v, out = read_call(frame, 2, zeros(layout)), buffer(frame, OPERANDS, 1)[0], buffer(frame, RESULTS, 0)[0]
        recursion.jacobian_product(c.theta, c.k, c.same, c.n, c.most, c.rows, 0, c.rows, 0, v, out, c.at, c.end, layout)
    return 0


def jacobian_product_contour(pointer):
    """J · v, v the second operand."""
    frame, layout = words(address_of(pointer)), layout_of(pointer)
    if executes(frame):
        c, v, out = read_call(frame, 2, zeros(layout)), buffer(frame, OPERANDS, 1)[0], buffer(frame, RESULTS, 0)[0]
        moments.jacobian_product(c.theta, c.k, c.same, c.n, c.rows, 0, c.rows, 0, v, out, c.at, c.end, *ALONE, layout)
    return 0


class Part(NamedTuple):
    """The rows that one seed is for."""

    theta: Any
    k: Any
    seed: Any
    rows: Any
    out: Any


@inner
def seeds_of(frame):
    """How many seeds there are; the second operand holds them, (seeds, 2), each for its share of the rows."""
    return buffer(frame, OPERANDS, 1)[1]


@inner
def part_of(frame, call, i, like):
    """Share ``i``; draws are (seeds, draws, share, n)."""
    seeds, count, _ = buffer(frame, OPERANDS, 1)
    share, theta = call.rows // max(count, 1), table_at(call.theta, call.n, like)
    out = table_at(buffer(frame, RESULTS, 0)[0], call.n, like)
    row, drawn = address_in(theta, i * share * call.n), address_in(out, i * call.choice * share * call.n)
    return Part(row, call.k + 8 * i * share, words(seeds)[i], share, drawn)


def sample_recursion(pointer):
    """Subsets; the second number says how many are drawn from each row."""
    frame, layout = words(address_of(pointer)), layout_of(pointer)
    if executes(frame):
        c, keys = read_call(frame, 2, zeros(layout)), seeds_of(frame)
        if c.choice == 1 and keys > 1:
            rows, out = (c.theta, c.k, c.same, c.n, c.most, c.rows, 0, c.rows), buffer(frame, RESULTS, 0)[0]
            seeds, share = buffer(frame, OPERANDS, 1)[0], c.rows // keys
            recursion.sample(*rows, c.shifts, seeds, share, 1, 0, out, c.at, c.end, layout)
            return 0
        for i in range(keys):
            p = part_of(frame, c, i, zeros(layout))
            rows = p.theta, p.k, c.same, c.n, c.most, p.rows, 0, p.rows
            recursion.sample(*rows, c.shifts, p.seed, 0, c.choice, 0, p.out, c.at, c.end, layout)
    return 0


def sample_contour(pointer):
    """The same by independent items."""
    frame, layout = words(address_of(pointer)), layout_of(pointer)
    if executes(frame):
        c = read_call(frame, 2, zeros(layout))
        for i in range(seeds_of(frame)):
            p = part_of(frame, c, i, zeros(layout))
            rows = p.theta, p.k, c.same, c.n
            last = p.seed, c.choice, 0, p.out, c.at, c.end
            sampling.sample(*rows, p.rows, 0, p.rows, c.shifts, *last, *ALONE, layout)
    return 0
