"""Cardinality potentials by kernels in XLA's programs.

A kernel marks the rows that one tilt does not serve. If there are any, NumPy computes them while the program waits.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ksubset._engine.ops import Array
from ksubset._law import functions
from ksubset._law.size_weighted import SizeWeighted, split
from ksubset.backends._cpu.dispatch_weighted import KernelRows, Orientation

_shaped: Any = jax.ShapeDtypeStruct  # JAX leaves it untyped
Foreign = Callable[..., Any]
"""``call(handler, shapes, operands, numbers, way)``: results of these shapes, and which rows are served."""


def kernel(call: Foreign, law: SizeWeighted, parameters: Array, *v: Array, function: Callable[..., Array]) -> Array:
    """The value of a function of `dispatch.FUNCTIONS`."""
    rows = parameters.reshape(-1, parameters.shape[-1])
    way, chosen = Orientation(law.items_among(rows.shape[-1]), law), function is functions.marginals
    theta, omega = split(rows)
    operands = [-theta if way.flipped else theta, way.these_counts(omega)]
    results = [operands[0].shape, operands[1].shape]
    if v:
        along, u = split(v[0].reshape(rows.shape))
        operands += [-along if way.flipped else along, way.these_counts(u)]
        items, counts, served = call("jacobian_product_weighted", results, operands, [0, way.low], way)
        items = -items if way.flipped else items
    else:
        items, counts, served = call("solve_weighted", results, operands, [int(chosen == way.flipped), way.low], way)
    counts = way.all_counts(counts)
    out = jnp.concatenate([items, counts if v or chosen else 1 - counts], axis=-1)
    given = rows, *(x.reshape(rows.shape) for x in v)
    return _completed(served, out, partial(_left, law, function), *given).reshape(parameters.shape)


def kernel_draw(call: Foreign, law: SizeWeighted, parameters: Array, seed: Array, *, draws: int) -> Array:
    """Subsets of rows (keys, share, 2n + 1) from a seed for each key, (keys, 2): (keys, draws, share, n)."""
    keys, share, size = parameters.shape
    rows, way = parameters.reshape(-1, size), Orientation(law.items_among(size), law)
    theta, omega = split(rows)
    operands = [-theta if way.flipped else theta, way.these_counts(omega), seed]
    z, served = call("sample_weighted", [(keys, draws, share, way.n)], operands, [draws, way.low], way)
    z = 1 - z if way.flipped else z
    return _completed(served, z, partial(_left_draws, law), rows, seed)


def _completed(served: Array, out: Array, compute: Callable[..., Any], *given: Array) -> Array:
    """``out``, or if a row is not served, ``compute`` applied to it."""

    def complete() -> Array:
        completed: Array = jax.pure_callback(compute, _shaped(out.shape, out.dtype), served, out, *given)
        return completed

    done: Array = jax.lax.cond(jnp.all(served > 0), lambda: out, complete)
    return done


def _left(
    law: SizeWeighted, function: Callable[..., Array], served: Any, found: Any, rows: Any, *v: Any
) -> "np.ndarray":
    """``found``, with the remaining rows filled in by the core."""
    call = KernelRows(np.asarray(rows), law)
    completed: np.ndarray = call.completed(function, np.asarray(served) > 0, np.array(found), *map(np.asarray, v))
    return completed


def _left_draws(law: SizeWeighted, served: Any, found: Any, rows: Any, seed: Any) -> "np.ndarray":
    """``found``, (keys, draws, share, n), with the core's samples in the remaining rows."""
    z: np.ndarray = np.array(found)
    rows, served = (np.asarray(x).reshape(len(z), z.shape[2], *x.shape[1:]) for x in (rows, served))
    for part, theirs, ours, key in zip(rows, served, z, np.asarray(seed), strict=True):
        KernelRows(part, law).complete_draws(theirs > 0, ours, key)
    return z
