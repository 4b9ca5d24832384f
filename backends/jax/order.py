"""Order statistics for JAX on a CPU, by halving the integers that floats are ordered like.

XLA's sort takes ten times as long.
"""

from collections.abc import Callable
from typing import Any, TypeAlias, cast

import jax
import jax.numpy as jnp
import numpy as np

from ksubset._engine.ops import Array
from ksubset._engine.tilt import NEAR
from ksubset.backends.jax.sharding import repeat

Bounds: TypeAlias = tuple[Array, Array]


def kth_largest(x: Array, k: int | Array, *, fixed: bool = False) -> Array:
    """The k-th largest along the last axis, which stays; the largest for k = 0.

    With ``fixed`` there is one step for each bit, so that no row waits for a row on another device.
    """

    def apart(bounds: Bounds) -> Array:
        return bounds[0] < bounds[1]

    return _value(_reached(_keys(x), jnp.maximum(k, 1), -1, apart, fixed), x.dtype)


def ranked(x: Array, count: int | Array, *, fixed: bool = False) -> tuple[Array, Array]:
    """The count-th largest along the first axis and the next one; see `ksubset._engine.ops.Ops`."""
    keys = _keys(x)
    flip = np.iinfo(keys.dtype).max

    def apart(bounds: Bounds) -> Array:
        low, high = bounds
        return (low < high) & ~(_value(high, x.dtype) - _value(low, x.dtype) <= NEAR)

    low = _reached(keys, count, 0, apart, fixed)
    above, low = keys >= low, low[0]
    parted = jnp.sum(above, axis=0) == count
    upper = jnp.where(parted, jnp.min(jnp.where(above, keys, flip), axis=0), low)
    lower = jnp.where(parted, jnp.max(jnp.where(above, ~flip, keys), axis=0), low)
    return _value(upper, x.dtype), _value(lower, x.dtype)


def _reached(keys: Array, count: int | Array, axis: int, apart: Callable[[Bounds], Array], fixed: bool) -> Array:
    """The largest key that ``count`` keys along an axis reach, which stays; or one below it, where ``apart`` allows."""

    def halve(bounds: Bounds) -> Bounds:
        low, high = bounds
        middle = (low >> 1) + (high >> 1) + (low & high & 1)
        enough = jnp.sum(keys > middle, axis=axis, keepdims=True) >= count
        return jnp.where(enough, middle + 1, low), jnp.where(enough, high, middle)

    ends = jnp.min(keys, axis=axis, keepdims=True), jnp.max(keys, axis=axis, keepdims=True)
    if fixed:
        return repeat(halve, ends, 8 * keys.dtype.itemsize)[0]
    return jax.lax.while_loop(lambda bounds: jnp.any(apart(bounds)), halve, ends)[0]


def _keys(x: Array) -> Array:
    """Integers that are ordered as floats are, and stand for them."""
    x = cast("Any", jax.lax).optimization_barrier(x)  # XLA's own evaluation of loops over constants has been wrong
    whole = jnp.int64 if x.dtype == jnp.float64 else jnp.int32
    bits = jax.lax.bitcast_convert_type(x, whole)
    return jnp.where(bits < 0, bits ^ np.iinfo(whole).max, bits)


def _value(key: Array, dtype: Any) -> Array:
    return jax.lax.bitcast_convert_type(jnp.where(key < 0, key ^ np.iinfo(key.dtype).max, key), dtype)
