"""The kernels for cardinality potentials as functions that XLA calls; see `xla_handlers`.

Operands are the logits (rows, n), the log-weights (rows, high + 1), and further arrays for some kernels. Results are
for the items (rows, n), for the counts (rows, high + 1) unless they are samples, then which rows are served (rows,),
and scratch memory. The attribute ``numbers`` holds a choice where a kernel has one, and the least count.
"""

from typing import Any, NamedTuple

from ksubset.backends._cpu.compiling import inner
from ksubset.backends._cpu.kernels import weighted
from ksubset.backends._cpu.kernels.rows import LINE, carve
from ksubset.backends._cpu.kernels.xla_handlers import (
    ATTRIBUTES,
    OPERANDS,
    RESULTS,
    address_of,
    buffer,
    executes,
    layout_of,
    words,
)
from ksubset.backends._cpu.simd.tables import address_in, table_at
from ksubset.backends._cpu.simd.vectors import zeros


class Call(NamedTuple):
    """The arguments of every kernel, and scratch memory from ``at`` to ``end``."""

    theta: Any
    omega: Any
    high: Any
    n: Any
    rows: Any
    choice: Any
    low: Any
    served: Any
    at: Any
    end: Any


@inner
def read_call(frame, results):
    """The arguments in a call frame, with ``results`` results before ``served``."""
    theta, rows, n = buffer(frame, OPERANDS, 0)
    omega, _, sizes = buffer(frame, OPERANDS, 1)
    served, memory = buffer(frame, RESULTS, results)[0], buffer(frame, RESULTS, results + 1)
    numbers = words(words(words(frame[ATTRIBUTES])[0])[2])
    start = (memory[0] + LINE - 1) // LINE * LINE
    return Call(theta, omega, sizes - 1, n, rows, numbers[0], numbers[1], served, start, memory[0] + memory[1])


def solve_weighted(pointer):
    """μ, or 1 − μ where the first number is 1, and π."""
    frame, layout = words(address_of(pointer)), layout_of(pointer)
    if executes(frame):
        c, out, pi = read_call(frame, 2), buffer(frame, RESULTS, 0)[0], buffer(frame, RESULTS, 1)[0]
        shifts, at = carve(c.at, 2, c.rows, zeros(layout))
        targets, at = carve(at, 1, c.rows, zeros(layout))
        mu, rest = (0, out) if c.choice else (out, 0)
        given = c.omega, c.low, c.served, address_in(shifts, 0), address_in(targets, 0)
        weighted.solve(c.theta, 0, c.high, c.n, c.rows, 0, c.rows, *given, 0, mu, rest, pi, at, c.end, layout)
    return 0


def jacobian_product_weighted(pointer):
    """J · (v, u), the third and the fourth operand."""
    frame, layout = words(address_of(pointer)), layout_of(pointer)
    if executes(frame):
        c, out, pi = read_call(frame, 2), buffer(frame, RESULTS, 0)[0], buffer(frame, RESULTS, 1)[0]
        v, u = buffer(frame, OPERANDS, 2)[0], buffer(frame, OPERANDS, 3)[0]
        weighted.jacobian_product(
            c.theta, 0, c.high, c.n, c.rows, 0, c.rows, c.omega, c.low, c.served, v, u, out, pi, c.at, c.end, layout
        )
    return 0


def sample_weighted(pointer):
    """Subsets, (seeds, draws, share, n), ``draws`` the first number; the third operand are the seeds, (seeds, 2)."""
    frame, layout = words(address_of(pointer)), layout_of(pointer)
    if executes(frame):
        c, like = read_call(frame, 1), zeros(layout)
        seeds, count, _ = buffer(frame, OPERANDS, 2)
        share, out = c.rows // max(count, 1), table_at(buffer(frame, RESULTS, 0)[0], c.n, like)
        theta, omega = table_at(c.theta, c.n, like), table_at(c.omega, c.high + 1, like)
        served = table_at(c.served, 1, like)
        if c.choice == 1 and count > 1:
            rows = c.theta, 0, c.high, c.n, c.rows, 0, c.rows, c.omega, c.low, c.served
            weighted.sample(*rows, seeds, share, 1, 0, 1, address_in(out, 0), c.at, c.end, layout)
            return 0
        for i in range(count):
            first = i * share
            rows = address_in(theta, first * c.n), 0, c.high, c.n, share, 0, share
            sizes = address_in(omega, first * (c.high + 1)), c.low, address_in(served, first)
            drawn = words(seeds)[i], 0, c.choice, 0, 1, address_in(out, first * c.choice * c.n)
            weighted.sample(*rows, *sizes, *drawn, c.at, c.end, layout)
    return 0
