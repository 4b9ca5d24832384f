"""Products of the factors f_i = 1 + p_i (e^iφ − 1) of a row's items, possibly millions of them.

Seen from its likelier side a factor is 1 + a (cos φ − 1) ± i a sin φ, a ≤ 1/2, up to a turn by φ that only counts the
likely items. They are multiplied in one of two ways:

- as their product less 1. Rounding errors are then relative to the a, even for a million tiny ones, and nothing over-
  or underflows;
- as they are, |q − p| + 2a cos²(φ/2) ± i a sin φ, where an item is nearly even. Where φ is near π such an f_i may be
  tiny, and leaving one out divides by it: the product has to keep its relative accuracy. There are at most 8V of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

from ksubset._engine.arrays import fill
from ksubset._engine.items import Items
from ksubset._engine.nodes import Nodes, at_each
from ksubset._engine.ops import Array, Ops, scan
from ksubset._engine.summation import dividing

EVEN = 0.125
"""pq above which an item is nearly even; |f|² is at least 1/2 for all others."""

FAR = 0.25
"""cos²(φ/2) of nodes so far from π that no |f|² is below it."""

COLUMNS = 2048
"""Numbers that are worth one step of a loop over the items: a long row is laid out in this many columns."""

LONGEST_LOOP = 64
"""The most steps of the loop: equal items all round the same way, and in more steps the errors would add up."""

Combine: TypeAlias = Callable[[Array, Array], Array]


def product(x: Array, y: Array) -> Array:
    """x · y."""
    return x * y


def less_one(x: Array, y: Array) -> Array:
    """(1 + x)(1 + y) − 1."""
    return x * y + (x + y)


@dataclass(frozen=True)
class Factors:
    """The items of a batch, (items, parts, ...), a part for each device, as they enter either product.

    Attributes
    ----------
    a, signed
        min(p, q), and the same with the sign of q − p.
    small, small_signed
        The same, 0 for nearly even items.
    lean, twice, even_signed
        |q − p|, 2a and ± a of nearly even items; 1, 0 and 0 for all others.
    """

    a: Array
    signed: Array
    small: Array
    small_signed: Array
    lean: Array
    twice: Array
    even_signed: Array


def factors(ops: Ops, x: Items) -> Factors:
    """Prepare the items (n, ...) for the products."""
    xp, unlikely, even = ops.xp, ops.xp.where(x.chosen, x.q, x.p), x.spread > EVEN
    signed, none = xp.where(x.chosen, -unlikely, unlikely), xp.zeros_like(unlikely)
    lean = xp.where(even, xp.where(x.chosen, -x.lean, x.lean), none + 1)
    small = xp.where(even, none, unlikely), xp.where(even, none, signed)
    nearly = lean, xp.where(even, 2 * unlikely, none), xp.where(even, signed, none)
    return Factors(*(_in_parts(ops, y) for y in (unlikely, signed, *small, *nearly)))


def product_at_each(ops: Ops, x: Items, nodes: Nodes) -> Array:
    """The product of all factors at every node, (nodes, ...)."""
    given, items = (nodes.fall, nodes.sine, nodes.half_cosine * nodes.half_cosine), factors(ops, x)
    if ops.scan:
        return _in_a_loop(ops, items, *given)
    return at_each(ops, lambda *node: (_pairwise(ops, items, *node),), given)[0]


def _pairwise(ops: Ops, x: Factors, fall: Array, sine: Array, floor: Array) -> Array:
    """At one node of each row, (...), pair by pair."""
    xp = ops.xp
    if ops.eager_on_cpu and xp.all(floor > FAR):
        return 1 + _reduced(xp, less_one, ops.join(x.a * fall, x.signed * sine))
    deviation = _reduced(xp, less_one, ops.join(x.small * fall, x.small_signed * sine))
    return (1 + deviation) * _reduced(xp, product, ops.join(x.lean + x.twice * floor, x.even_signed * sine))


def _in_a_loop(ops: Ops, x: Factors, fall: Array, sine: Array, floor: Array) -> Array:
    """At all nodes, by a loop over items that is compiled once; a long row is laid out in columns first."""
    xp, n = ops.xp, x.a.shape[0]
    numbers: object = prod(fall.shape)  # of rows whose number a program leaves open there may be many
    gathered = COLUMNS // max(1, numbers) if isinstance(numbers, int) else 1
    columns = max(1, min(gathered, n), -(-n // LONGEST_LOOP))
    fall, sine, floor = (y[:, None, None, ...] for y in (fall, sine, floor))
    fillings = (x.small, 0.0), (x.small_signed, 0.0), (x.lean, 1.0), (x.twice, 0.0), (x.even_signed, 0.0)
    given = tuple(_in_columns(ops, y, columns, filling) for y, filling in fillings)

    def step(carry: tuple[Array, Array], item: tuple[Array, ...]) -> tuple[tuple[Array, Array], tuple[()]]:
        small, small_signed, lean, twice, signed = item
        deviation = less_one(carry[0], ops.join(small * fall, small_signed * sine))
        return (deviation, carry[1] * ops.join(lean + twice * floor, signed * sine)), ()

    zero = 0 * (fall + given[0][0, ...])
    none = ops.join(zero, zero)
    deviation, found = scan(ops, step, (none, none + 1), given, given[0].shape[0])[0]
    deviation, found = (
        _reduce_axis(xp, combine, _reduce_axis(xp, combine, y, 1), 1)
        for combine, y in ((less_one, deviation), (product, found))
    )
    return (1 + deviation) * found


def _reduced(xp: Any, combine: Combine, x: Array) -> Array:
    """Combine all items (items, parts, ...), first within each part."""
    return _reduce_axis(xp, combine, _reduce_axis(xp, combine, x, 0), 0)


def _reduce_axis(xp: Any, combine: Combine, x: Array, axis: int) -> Array:
    """Combine the first half of an axis with the second until one entry is left; 0 for an empty axis."""
    before = (slice(None),) * axis
    while (size := x.shape[axis]) > 1:
        half = size // 2
        first, second, odd = (
            x[(*before, part, ...)] for part in (slice(half), slice(half, 2 * half), slice(2 * half, None))
        )
        x = combine(first, second)
        x = xp.concat([x, odd], axis=axis) if size > 2 * half else x
    return xp.sum(x, axis=axis)


def _in_parts(ops: Ops, x: Array) -> Array:
    """(n, ...) to (n/parts, parts, ...)."""
    devices = dividing(ops, x.shape[0])
    if not devices:
        return x[:, None, ...]
    return ops.xp.permute_dims(ops.xp.reshape(x, (devices.count, -1, *x.shape[1:])), (1, 0, *range(2, x.ndim + 1)))


def _in_columns(ops: Ops, x: Array, columns: int, filling: float) -> Array:
    """(items, ...) to (steps, columns, ...), at least one step."""
    steps = max(1, -(-x.shape[0] // columns))
    more = steps * columns - x.shape[0]
    x = ops.xp.concat([x, fill(ops, (more, *x.shape[1:]), filling, x)], axis=0) if more else x
    return ops.xp.reshape(x, (steps, columns, *x.shape[1:]))
