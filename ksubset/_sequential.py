"""The sequential engine: node after node, prefixes and suffixes of the count (Algorithms 1 and 2, by blocks).

The lowest levels of the tree gather a few items to a node; this engine takes the place of the levels above. The
prefix of a node is the distribution of the count of all nodes before it; its suffix holds, for each count so far,
the probability that the nodes after it complete k. Their correlation is the node's outside polynomial. The loop over
nodes is a parameter, `Ops.scan`, so that a compiler can keep it a loop.
"""

from collections.abc import Callable, Iterable
from functools import reduce
from operator import add
from typing import Any, TypeAlias

from ksubset._layout import fill, iota, pad
from ksubset._typing import Array, Ops, Scan

Pair: TypeAlias = tuple[Array, Array]
"""A value and its derivative."""


def root(ops: Ops, scan: Scan, nodes: Array, k: int | Array, width: int) -> tuple[Array, Array]:
    """P(Σz = k), (rows,), and the outside polynomials of ``nodes``, (a, m, rows), not yet divided by it."""
    last, prefixes = forth(ops, scan, nodes, width)
    end = _target(ops, nodes, k, width)
    return ops.xp.sum(last * end, axis=0), back(ops, scan, nodes, prefixes, end)


def forth(ops: Ops, scan: Scan, nodes: Array, width: int) -> tuple[Array, Array]:
    """The distribution of the count of all nodes, (width + 1, rows), and of those before each."""
    steps = ops.xp.permute_dims(nodes, (1, 0, 2))
    result: tuple[Array, Array] = scan(
        _with_before(lambda f, x: _convolve(ops, f, x)), _start(ops, nodes, width), steps, False
    )
    return result


def back(ops: Ops, scan: Scan, nodes: Array, prefixes: Array, end: Array) -> Array:
    """The outside polynomials of ``nodes``, (a, m, rows), where ``end`` weighs the counts of all."""
    size = nodes.shape[0]
    steps = ops.xp.permute_dims(nodes, (1, 0, 2))

    def step(suffix: Array, pair: tuple[Array, Array]) -> tuple[Array, Array]:
        x, prefix = pair
        return _gather(ops, suffix, x), _outer(ops, prefix, suffix, size)

    _, outer = scan(step, end, (steps, prefixes), True)
    return ops.xp.permute_dims(outer, (1, 0, 2))


def root_tangents(
    ops: Ops, scan: Scan, nodes: Array, tangents: Array, k: int | Array, width: int
) -> tuple[Array, Array, Array, Array]:
    """P, its derivative, the outside polynomials divided by P, and their derivatives."""
    xp, end = ops.xp, _target(ops, nodes, k, width)
    (last, dlast), prefixes = forth_tangents(ops, scan, nodes, tangents, width)
    outer, douter = back_tangents(ops, scan, nodes, tangents, prefixes, (end, xp.zeros_like(end)))
    total, dtotal = xp.sum(last * end, axis=0), xp.sum(dlast * end, axis=0)
    outer = outer / total
    return total, dtotal, outer, (douter - outer * dtotal) / total


def forth_tangents(ops: Ops, scan: Scan, nodes: Array, tangents: Array, width: int) -> tuple[Pair, Pair]:
    """`forth` and its derivative: each of its results becomes a pair."""
    steps, start = _steps(ops, nodes, tangents), _start(ops, nodes, width)

    def step(carry: Pair, pair: Pair) -> Pair:
        (f, df), (x, dx) = carry, pair
        return _convolve(ops, f, x), _convolve(ops, df, x) + _convolve(ops, f, dx)

    result: tuple[Pair, Pair] = scan(_with_before(step), (start, ops.xp.zeros_like(start)), steps, False)
    return result


def back_tangents(ops: Ops, scan: Scan, nodes: Array, tangents: Array, prefixes: Pair, end: Pair) -> Pair:
    """`back` and its derivative, ``prefixes`` and ``end`` with theirs."""
    size, steps = nodes.shape[0], _steps(ops, nodes, tangents)

    def step(carry: Pair, pairs: tuple[Pair, Pair]) -> tuple[Pair, Pair]:
        (s, ds), ((x, dx), (f, df)) = carry, pairs
        outer, douter = _outer(ops, f, s, size), _outer(ops, df, s, size) + _outer(ops, f, ds, size)
        return (_gather(ops, s, x), _gather(ops, ds, x) + _gather(ops, s, dx)), (outer, douter)

    _, (outer, douter) = scan(step, end, (steps, prefixes), True)
    return ops.xp.permute_dims(outer, (1, 0, 2)), ops.xp.permute_dims(douter, (1, 0, 2))


def _steps(ops: Ops, nodes: Array, tangents: Array) -> Pair:
    """Nodes and their tangents, node after node."""
    return ops.xp.permute_dims(nodes, (1, 0, 2)), ops.xp.permute_dims(tangents, (1, 0, 2))


def _with_before(step: Callable[[Any, Any], Any]) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Make a step that also records the state it started from."""
    return lambda carry, x: (step(carry, x), carry)


def _start(ops: Ops, nodes: Array, width: int) -> Array:
    """All probability at count 0: (width + 1, rows)."""
    one = fill(ops, (1, nodes.shape[2]), 1.0, nodes)
    return pad(ops, one, 0, width)


def _target(ops: Ops, nodes: Array, k: int | Array, width: int) -> Array:
    """1 at count k: (width + 1, rows)."""
    xp, rows = ops.xp, nodes.shape[2]
    counts = xp.broadcast_to(iota(ops, width + 1, nodes)[:, None], (width + 1, rows))
    return xp.astype(counts == k, nodes.dtype)


def _convolve(ops: Ops, f: Array, x: Array) -> Array:
    """out[c] = Σ_a x[a] · f[c − a]."""
    size, a = f.shape[0], x.shape[0]
    padded = pad(ops, f, a - 1, 0)
    return _total(x[i, ...] * padded[a - 1 - i : a - 1 - i + size, ...] for i in range(a))


def _gather(ops: Ops, s: Array, x: Array) -> Array:
    """out[c] = Σ_a x[a] · s[c + a]."""
    size, a = s.shape[0], x.shape[0]
    padded = pad(ops, s, 0, a - 1)
    return _total(x[i, ...] * padded[i : i + size, ...] for i in range(a))


def _outer(ops: Ops, f: Array, s: Array, a: int) -> Array:
    """out[a] = Σ_c f[c] · s[c + a]."""
    size, padded = f.shape[0], pad(ops, s, 0, a - 1)
    return ops.xp.stack([ops.xp.sum(f * padded[i : i + size, ...], axis=0) for i in range(a)], axis=0)


def _total(terms: Iterable[Array]) -> Array:
    return reduce(add, terms)
