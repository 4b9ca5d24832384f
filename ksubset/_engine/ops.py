"""Types shared by the core, and the features it needs from a framework beyond the array API standard."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

Array: TypeAlias = Any
"""An array of any framework that follows the array API standard."""


class Shaped(Protocol):
    """What every array has."""

    @property
    def shape(self) -> Any: ...


T = TypeVar("T", bound=Shaped)
"""The type of an array that a user gives and gets back."""

State: TypeAlias = tuple[Array, ...]
Step: TypeAlias = Callable[[State], State]
Scan: TypeAlias = Callable[[Callable[[Any, Any], tuple[Any, Any]], Any, Any, int], tuple[Any, Any]]
Answers: TypeAlias = Callable[[], tuple[Array, ...]]
Choose: TypeAlias = Callable[[Array, Answers, Answers], tuple[Array, ...]]


def repeat_all(step: Step, state: State, limit: int) -> State:
    """Apply ``step`` exactly ``limit`` times: right for every framework, lazy ones included."""
    for _ in range(limit):
        state = step(state)
    return state


def repeat_until_settled(xp: Any) -> Callable[[Step, State, int], State]:
    """Stop as soon as every row has settled: for eager arrays, whose values are at hand."""

    def repeat(step: Step, state: State, limit: int) -> State:
        for _ in range(limit):
            state = step(state)
            if xp.all(state[-1]):
                break
        return state

    return repeat


def choose_both(xp: Any) -> Choose:
    """Compute both: right for every framework, lazy ones included."""

    def choose(mask: Array, first: Answers, second: Answers) -> tuple[Array, ...]:
        return tuple(xp.where(mask, a, b) for a, b in zip(first(), second(), strict=True))

    return choose


def choose_needed(xp: Any) -> Choose:
    """Compute only answers that some row needs: for eager arrays, whose values are at hand."""
    blend = choose_both(xp)

    def choose(mask: Array, first: Answers, second: Answers) -> tuple[Array, ...]:
        if xp.all(mask):
            return first()
        return blend(mask, first, second) if xp.any(mask) else second()

    return choose


@dataclass(frozen=True)
class Devices:
    """Functions for a compiler that spreads arrays over devices, without which it would gather them.

    Attributes
    ----------
    count
        The number of devices; a long row is divided into one part for each.
    fft
        A namespace with ``rfft`` and ``irfft`` along the first axis, which leave the others as they are.
    pick
        ``pick(x, index)``: x[index[…], node, row], ``x`` (coefficients, nodes, rows) and ``index`` integers (a, nodes,
        draws, rows), without flattening the array.
    """

    count: int
    fft: Any
    pick: Callable[[Array, Array], Array]


@dataclass(frozen=True)
class Ops:
    """A framework as the core sees it.

    Attributes
    ----------
    xp
        The framework's array API namespace.
    matmul
        A stacked matrix product in the full precision of its arguments.
    repeat
        ``repeat(step, state, limit)`` applies ``step`` at most ``limit`` times; it may stop once every entry
        of ``state[-1]``, a boolean array, is true: a further step would change nothing.
    sort
        ``sort(x)`` sorts along the last axis, NaN last.
    ranked
        ``ranked(x, count)``: the count-th and the next largest of each row, (rows,), where that is faster than a sort.
        Where the two are closer than `tilt.NEAR`, any values within that distance of both will do.
        ``count`` is an int or (rows,), at least 0; for 0 the first of the two may be anything.
    kth_largest
        ``kth_largest(x, k)``: the k-th largest along the last axis, which stays, the largest for k = 0; where that is
        faster than a sort. ``k`` is an int or (..., 1).
    stop_gradient
        Cuts an array off from differentiation; the identity where there is none.
    choose
        ``choose(mask, first, second)``: the answers, each a tuple, of ``first()`` in the rows of ``mask`` and of
        ``second()`` in the others. Neither need be computed if no row asks for it.
    scan
        ``scan(step, carry, xs, length)`` is `jax.lax.scan`: ``carry, y = step(carry, x)`` for the entries x of the
        first axis of the arrays ``xs``, or ``length`` times, and the stacked ys. Set where a compiler can keep a loop.
    join
        ``join(re, im)``: re + i im, for reals that broadcast.
    item_sums
        ``item_sums(x)``: sums over the first axis, where the namespace's own are fast and do not lose digits.
    scatter
        ``scatter(x, places, values)``: ``x``, perhaps overwritten, with the values at these places along the last axis.
        Where several values of a row share a place, any of them may end up there. Set where the namespace can do it.
    sums_from_both_ends
        ``sums_from_both_ends(x)``: sums over the first axis up to each entry and from each entry on, where there is
        something better than the namespace's ``cumulative_sum``.
    devices
        See `Devices`; set where arrays may be spread over devices.
    matmul_from
        The number of coefficients from which polynomials are multiplied faster by ``matmul`` than by shifted sums.
    sweeps
        Whether `repeat` stops as soon as it may, and `choose` computes no more than it must, so that work whose extent
        depends on values can be afforded.
    eager_on_cpu
        Whether arrays hold their values at once, so that those may decide shapes, and are computed by the processor's
        own arithmetic, which by default keeps subnormal floats at a hundred times the cost of others.
    """

    xp: Any
    matmul: Callable[[Array, Array], Array]
    sort: Callable[[Array], Array]
    repeat: Callable[[Step, State, int], State] = repeat_all
    ranked: Callable[[Array, int | Array], tuple[Array, Array]] | None = None
    kth_largest: Callable[[Array, int | Array], Array] | None = None
    choose: Choose | None = None
    stop_gradient: Callable[[Array], Array] = lambda x: x
    scan: Scan | None = None
    join: Callable[[Array, Array], Array] = lambda re, im: re + 1j * im
    item_sums: Callable[[Array], Array] | None = None
    scatter: Callable[[Array, Array, Array], Array] | None = None
    sums_from_both_ends: Callable[[Array], tuple[Array, Array]] | None = None
    devices: Devices | None = None
    matmul_from: int = 24
    sweeps: bool = False
    eager_on_cpu: bool = False


def scan(ops: Ops, step: Callable[[Any, Any], tuple[Any, Any]], carry: Any, xs: Any, length: int) -> tuple[Any, Any]:
    """``carry, y = step(carry, x)`` for the entries x of the first axis of the arrays ``xs``; the ys stacked."""
    if ops.scan:
        return ops.scan(step, carry, xs, length)
    found = []
    for j in range(length):
        carry, y = step(carry, tuple(x[j, ...] for x in xs))
        found.append(y)
    return carry, tuple(ops.xp.stack(ys, axis=0) for ys in zip(*found, strict=True))


def choose(ops: Ops, mask: Array, first: Answers, second: Answers) -> tuple[Array, ...]:
    """The answers of ``first`` where ``mask``, of ``second`` elsewhere."""
    return (ops.choose or choose_both(ops.xp))(mask, first, second)
